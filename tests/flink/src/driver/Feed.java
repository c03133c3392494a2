package driver;

import java.util.List;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.statefun.sdk.reqreply.generated.FromFunction.Invocation;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.source.RichSourceFunction;

/** The ingress: the messages of a job from a position on, which is part of each checkpoint. */
final class Feed extends RichSourceFunction<Invocation> implements CheckpointedFunction, CheckpointListener {
  private final String job;
  private volatile boolean running = true;
  private transient ListState<Integer> stored;
  private transient int position;

  Feed(String job) {
    this.job = job;
  }

  @Override
  public void initializeState(FunctionInitializationContext context) throws Exception {
    stored = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("position", Integer.class));
    for (int value : stored.get()) {
      position = value;
    }
    ObjectNode event = Lines.event("started", job).put("position", position).put("restored", context.isRestored());
    event.put("attempt", getRuntimeContext().getAttemptNumber());
    event.set("causes", Causes.of(Driver.job(job).lastFailure()));
    Lines.print(event);
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) throws Exception {
    stored.update(List.of(position));
  }

  @Override
  public void run(SourceContext<Invocation> context) throws Exception {
    while (running) {
      List<Invocation> next = Driver.job(job).from(position);
      synchronized (context.getCheckpointLock()) {
        next.forEach(context::collect);
        position += next.size();
      }
    }
  }

  @Override
  public void cancel() {
    running = false;
  }

  @Override
  public void notifyCheckpointComplete(long checkpoint) {
    Lines.print(Lines.event("checkpoint", job).put("checkpoint", checkpoint));
  }
}
