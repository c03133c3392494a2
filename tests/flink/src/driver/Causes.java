package driver;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.util.SerializedThrowable;

/** Why something failed: class and message of each cause, the outermost first. */
final class Causes {
  private Causes() {}

  static ArrayNode of(Throwable failure) {
    ArrayNode causes = Lines.object().putArray("causes");
    for (Throwable cause = original(failure); cause != null; cause = original(cause.getCause())) {
      causes.addObject().put("class", cause.getClass().getName()).put("message", cause.getMessage());
    }
    return causes;
  }

  private static Throwable original(Throwable failure) {
    return failure instanceof SerializedThrowable serialized
        ? serialized.deserializeError(Causes.class.getClassLoader())
        : failure;
  }
}
