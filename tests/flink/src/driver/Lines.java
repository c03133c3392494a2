package driver;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/** JSON, one object a line. Nothing else reaches the standard output. */
final class Lines {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static PrintStream out;

  private Lines() {}

  /** Whatever else prints goes to the log. */
  static void claimOutput() {
    out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    System.setOut(System.err);
  }

  static JsonNode parse(String line) throws IOException {
    return JSON.readTree(line);
  }

  static ObjectNode object() {
    return JSON.createObjectNode();
  }

  static ObjectNode event(String event, String job) {
    return object().put("event", event).put("job", job);
  }

  static void event(String event) {
    print(object().put("event", event));
  }

  static synchronized void print(ObjectNode line) {
    try {
      out.println(JSON.writeValueAsString(line));
      out.flush();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
