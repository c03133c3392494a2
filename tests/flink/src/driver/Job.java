package driver;

import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.JobID;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.executiongraph.ErrorInfo;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobgraph.SavepointRestoreSettings;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.statefun.sdk.reqreply.generated.Address;
import org.apache.flink.statefun.sdk.reqreply.generated.FromFunction.Invocation;
import org.apache.flink.statefun.sdk.reqreply.generated.TypedValue;
import org.apache.flink.util.SerializedThrowable;
import com.google.protobuf.ByteString;

/** One job: the messages it is fed, and what was ordered for it. */
final class Job {
  final String name;
  private final List<Invocation> messages = new ArrayList<>();
  /** How many of them the source has passed on. */
  private int passedOn;
  private String failure;
  private JobID id;

  Job(String name) {
    this.name = name;
  }

  /** Submits the job; its end will be an event. */
  String start(JsonNode request) throws Exception {
    Configuration settings = new Configuration();
    for (Map.Entry<String, JsonNode> setting : (Iterable<Map.Entry<String, JsonNode>>) request.get("settings")::fields) {
      settings.setString(setting.getKey(), setting.getValue().asText());
    }
    List<String> egresses = new ArrayList<>();
    request.get("egresses").forEach(egress -> egresses.add(egress.asText()));
    JobGraph graph = Graph.of(settings, new Bindings(name, egresses)).getJobGraph();
    if (request.hasNonNull("restore")) {
      boolean mayDropState = request.path("allow_non_restored_state").asBoolean();
      graph.setSavepointRestoreSettings(SavepointRestoreSettings.forPath(request.get("restore").asText(), mayDropState));
    }
    id = graph.getJobID();
    MiniCluster cluster = Cluster.get();
    cluster.submitJob(graph).get();
    cluster.requestJobResult(id).whenComplete(this::ended);
    return id.toHexString();
  }

  private void ended(JobResult result, Throwable error) {
    Throwable cause = result == null ? error : result.getSerializedThrowable().orElse(null);
    ObjectNode event = Lines.event("ended", name);
    event.put("status", result == null ? "UNKNOWN" : result.getApplicationStatus().name());
    event.set("causes", Causes.of(cause));
    Driver.forget(this);
    Lines.print(event);
  }

  synchronized void feed(JsonNode request) {
    Address target =
        Address.newBuilder()
            .setNamespace(request.get("namespace").asText())
            .setType(request.get("type").asText())
            .setId(request.get("target").asText())
            .build();
    Invocation.Builder message = Invocation.newBuilder().setTarget(target);
    TypedValue.Builder argument = TypedValue.newBuilder().setTypename(request.get("typename").asText());
    if (request.hasNonNull("value")) {
      argument.setHasValue(true).setValue(ByteString.copyFrom(Base64.getDecoder().decode(request.get("value").asText())));
    }
    messages.add(message.setArgument(argument).build());
    notifyAll();
  }

  /** The source throws at its next look. */
  synchronized void fail(String text) {
    failure = text;
    notifyAll();
  }

  /** Holds everything that was fed before. */
  String checkpoint() throws Exception {
    awaitSource();
    return Cluster.get().triggerCheckpoint(id).get(60, TimeUnit.SECONDS);
  }

  String savepoint(String directory) throws Exception {
    awaitSource();
    return Cluster.get().triggerSavepoint(id, directory, false, SavepointFormatType.CANONICAL).get(60, TimeUnit.SECONDS);
  }

  private synchronized void awaitSource() throws InterruptedException {
    long ends = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (passedOn < messages.size()) {
      if (System.nanoTime() > ends) {
        throw new IllegalStateException("the job takes no more than " + passedOn + " messages");
      }
      wait(10);
    }
  }

  void cancel() throws Exception {
    Cluster.get().cancelJob(id).get(60, TimeUnit.SECONDS);
  }

  /** The messages from a position on; waits for one at most a moment. */
  synchronized List<Invocation> from(int position) throws InterruptedException {
    passedOn = position;
    if (failure != null) {
      String text = failure;
      failure = null;
      throw new OrderedFailure(text);
    }
    if (position >= messages.size()) {
      wait(100);
    }
    return position >= messages.size() ? List.of() : List.copyOf(messages.subList(position, messages.size()));
  }

  /** What made the running attempt necessary; null for the first one. */
  Throwable lastFailure() throws Exception {
    ErrorInfo info = Cluster.get().getExecutionGraph(id).get(10, TimeUnit.SECONDS).getFailureInfo();
    SerializedThrowable failure = info == null ? null : info.getException();
    return failure;
  }

  /** A failure that the test asked for. */
  static final class OrderedFailure extends RuntimeException {
    OrderedFailure(String text) {
      super(text);
    }
  }
}
