package driver;

import java.util.List;
import org.apache.flink.statefun.flink.core.StatefulFunctionsConfig;
import org.apache.flink.statefun.flink.core.StatefulFunctionsUniverse;
import org.apache.flink.statefun.flink.core.StatefulFunctionsUniverseProvider;
import org.apache.flink.statefun.flink.core.spi.Modules;
import org.apache.flink.statefun.flink.io.datastream.SinkFunctionSpec;
import org.apache.flink.statefun.flink.io.datastream.SourceFunctionSpec;
import org.apache.flink.statefun.sdk.FunctionType;
import org.apache.flink.statefun.sdk.io.EgressIdentifier;
import org.apache.flink.statefun.sdk.io.IngressIdentifier;
import org.apache.flink.statefun.sdk.reqreply.generated.FromFunction.Invocation;
import org.apache.flink.statefun.sdk.reqreply.generated.TypedValue;

/** What the module file binds, and the driver's own ingress and egresses beside it. */
final class Bindings implements StatefulFunctionsUniverseProvider {
  private static final IngressIdentifier<Invocation> INGRESS = new IngressIdentifier<>(Invocation.class, "driver", "ingress");

  private final String job;
  private final List<String> egresses;

  Bindings(String job, List<String> egresses) {
    this.job = job;
    this.egresses = egresses;
  }

  @Override
  public StatefulFunctionsUniverse get(ClassLoader loader, StatefulFunctionsConfig config) {
    StatefulFunctionsUniverse universe = Modules.loadFromClassPath(config).createStatefulFunctionsUniverse();
    bindIngress(universe, new Feed(job));
    for (String egress : egresses) {
      int slash = egress.lastIndexOf('/');
      EgressIdentifier<TypedValue> id =
          new EgressIdentifier<>(egress.substring(0, slash), egress.substring(slash + 1), TypedValue.class);
      universe.bindEgress(new SinkFunctionSpec<>(id, new Capture(job, egress)));
    }
    return universe;
  }

  static void bindIngress(StatefulFunctionsUniverse universe, Feed feed) {
    universe.bindIngress(new SourceFunctionSpec<>(INGRESS, feed));
    universe.<Object>bindIngressRouter(
        (IngressIdentifier<Object>) (IngressIdentifier<?>) INGRESS,
        (element, downstream) -> {
          Invocation message = (Invocation) element;
          FunctionType type = new FunctionType(message.getTarget().getNamespace(), message.getTarget().getType());
          downstream.forward(type, message.getTarget().getId(), message.getArgument());
        });
  }
}
