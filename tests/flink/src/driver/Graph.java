package driver;

import static org.apache.flink.configuration.CoreOptions.ALWAYS_PARENT_FIRST_LOADER_PATTERNS_ADDITIONAL;
import static org.apache.flink.statefun.flink.core.StatefulFunctionsConfigValidator.PARENT_FIRST_CLASSLOADER_PATTERNS;

import org.apache.flink.api.common.JobExecutionResult;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.statefun.flink.core.StatefulFunctionsConfig;
import org.apache.flink.statefun.flink.core.StatefulFunctionsJob;
import org.apache.flink.statefun.flink.core.StatefulFunctionsUniverseProvider;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.graph.StreamGraph;

/** Lets StateFun's own main build its job, up to the point where it would run it. */
final class Graph extends StreamExecutionEnvironment {
  private StreamGraph built;

  private Graph(Configuration settings) {
    super(settings);
  }

  static StreamGraph of(Configuration settings, StatefulFunctionsUniverseProvider universe) throws Exception {
    settings.set(ALWAYS_PARENT_FIRST_LOADER_PATTERNS_ADDITIONAL, PARENT_FIRST_CLASSLOADER_PATTERNS);
    Graph environment = new Graph(settings);
    environment.configure(settings, Graph.class.getClassLoader());
    environment.setParallelism(settings.getInteger("parallelism.default", 1));
    StatefulFunctionsConfig config = StatefulFunctionsConfig.fromFlinkConfiguration(settings);
    config.setProvider(universe);
    StatefulFunctionsJob.main(environment, config);
    return environment.built;
  }

  @Override
  public JobExecutionResult execute(StreamGraph graph) {
    built = graph;
    return null;
  }
}
