package driver;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeSet;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.statefun.flink.core.StatefulFunctionsConfig;
import org.apache.flink.statefun.flink.core.StatefulFunctionsUniverse;
import org.apache.flink.statefun.flink.core.StatefulFunctionsUniverseProvider;
import org.apache.flink.statefun.flink.core.spi.Modules;
import org.apache.flink.statefun.sdk.FunctionType;
import org.apache.flink.statefun.sdk.StatefulFunctionProvider;

/** Loads a module file with the real loader, and stops before a job would run. */
final class Check {
  private Check() {}

  /**
   * Answers with what the file {@code binds}, or why it does not load ({@code load}), why a function of each endpoint could not be called
   * ({@code calls}), and why its job could not be built ({@code build}). With {@code ingress} the driver's ingress is bound beside the file's.
   */
  static void check(JsonNode request, ObjectNode answer) throws Exception {
    Path file = Files.createTempFile("module", ".yaml");
    Files.writeString(file, request.get("text").asText());
    Configuration settings = new Configuration();
    settings.setString("statefun.remote.module-name", file.toString());
    try {
      StatefulFunctionsConfig config = StatefulFunctionsConfig.fromFlinkConfiguration(settings);
      StatefulFunctionsUniverse universe = Modules.loadFromClassPath(config).createStatefulFunctionsUniverse();
      describe(universe, answer.putObject("binds"));
      ArrayNode calls = answer.putArray("calls");
      universe.functions().forEach((type, provider) -> call(provider, type, calls));
      universe.namespaceFunctions().forEach((name, provider) -> call(provider, new FunctionType(name, "name"), calls));
    } catch (Throwable failure) {
      answer.set("load", Causes.of(failure));
    }
    try {
      Graph.of(settings, universe(request.path("ingress").asBoolean()));
    } catch (Throwable failure) {
      answer.set("build", Causes.of(failure));
    }
    Files.delete(file);
  }

  private static StatefulFunctionsUniverseProvider universe(boolean withIngress) {
    return (loader, config) -> {
      StatefulFunctionsUniverse universe = Modules.loadFromClassPath(config).createStatefulFunctionsUniverse();
      if (withIngress) {
        Bindings.bindIngress(universe, new Feed("none"));
      }
      return universe;
    };
  }

  /** What happens at the first message, up to where the function would be called. */
  private static void call(StatefulFunctionProvider provider, FunctionType type, ArrayNode failures) {
    try {
      provider.functionOfType(type);
    } catch (Throwable failure) {
      failures.add(Causes.of(failure));
    }
  }

  private static void describe(StatefulFunctionsUniverse universe, ObjectNode binds) {
    list(binds.putArray("functions"), universe.functions().keySet());
    list(binds.putArray("namespaces"), universe.namespaceFunctions().keySet());
    list(binds.putArray("ingresses"), universe.ingress().keySet());
    list(binds.putArray("routers"), universe.routers().keySet());
    list(binds.putArray("egresses"), universe.egress().keySet());
  }

  private static void list(ArrayNode names, Iterable<?> keys) {
    TreeSet<String> sorted = new TreeSet<>();
    keys.forEach(key -> sorted.add(key.toString()));
    sorted.forEach(names::add);
  }
}
