package driver;

import java.util.Base64;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.statefun.sdk.reqreply.generated.TypedValue;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.sink.RichSinkFunction;

/** An egress: each record is a line at once. The places where checkpoints cut the records are reported, too, so that those that a restart undoes can be taken back. */
final class Capture extends RichSinkFunction<TypedValue> implements CheckpointedFunction {
  private final String job;
  private final String egress;

  Capture(String job, String egress) {
    this.job = job;
    this.egress = egress;
  }

  @Override
  public void initializeState(FunctionInitializationContext context) {
    ObjectNode event = event("resumed");
    context.getRestoredCheckpointId().ifPresent(checkpoint -> event.put("checkpoint", checkpoint));
    Lines.print(event);
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) {
    Lines.print(event("cut").put("checkpoint", context.getCheckpointId()));
  }

  @Override
  public void invoke(TypedValue record, Context context) {
    ObjectNode event = event("record").put("typename", record.getTypename()).put("has_value", record.getHasValue());
    Lines.print(event.put("value", Base64.getEncoder().encodeToString(record.getValue().toByteArray())));
  }

  private ObjectNode event(String event) {
    int lane = getRuntimeContext().getIndexOfThisSubtask();
    return Lines.event(event, job).put("egress", egress).put("lane", lane);
  }
}
