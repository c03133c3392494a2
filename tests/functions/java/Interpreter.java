import static org.apache.flink.statefun.sdk.java.ValueSpec.named;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.FloatNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.apache.flink.statefun.sdk.java.Address;
import org.apache.flink.statefun.sdk.java.Context;
import org.apache.flink.statefun.sdk.java.StatefulFunction;
import org.apache.flink.statefun.sdk.java.TypeName;
import org.apache.flink.statefun.sdk.java.ValueSpec;
import org.apache.flink.statefun.sdk.java.io.KafkaEgressMessage;
import org.apache.flink.statefun.sdk.java.io.KinesisEgressMessage;
import org.apache.flink.statefun.sdk.java.message.EgressMessageBuilder;
import org.apache.flink.statefun.sdk.java.message.Message;
import org.apache.flink.statefun.sdk.java.message.MessageBuilder;
import org.apache.flink.statefun.sdk.java.types.SimpleType;
import org.apache.flink.statefun.sdk.java.types.Type;

/** The command language of ../README.md. */
final class Interpreter implements StatefulFunction {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final Type<JsonNode> PROGRAM = json("workload/program");
  private static final Type<JsonNode> RECORD = json("workload/record");

  private static final ValueSpec<Long> TOTAL = named("total").withLongType();
  private static final ValueSpec<JsonNode> JOURNAL =
      named("journal").withCustomType(json("workload/journal"));

  private static final List<Cell<?>> CELLS =
      List.of(
          cell(named("flag").withBooleanType(), JsonNode::asBoolean, BooleanNode::valueOf),
          cell(named("number").withIntType(), JsonNode::asInt, IntNode::valueOf),
          cell(named("count").withLongType(), JsonNode::asLong, Interpreter::decimal),
          cell(named("ratio").withDoubleType(), JsonNode::asDouble, DoubleNode::valueOf),
          cell(named("small").withFloatType(), JsonNode::floatValue, FloatNode::valueOf),
          cell(named("text").withUtf8StringType(), JsonNode::asText, TextNode::valueOf),
          cell(named("note").withCustomType(json("workload/note")), note -> note, note -> note));

  /** A value with both ways between it and the JSON that {@code set} takes. */
  private static final class Cell<T> {
    final ValueSpec<T> spec;
    final Function<JsonNode, T> taken;
    final Function<T, JsonNode> shown;

    Cell(ValueSpec<T> spec, Function<JsonNode, T> taken, Function<T, JsonNode> shown) {
      this.spec = spec;
      this.taken = taken;
      this.shown = shown;
    }

    JsonNode read(Context context) {
      return context.storage().get(spec).map(shown).orElse(JsonNodeFactory.instance.nullNode());
    }

    void set(Context context, JsonNode value) {
      context.storage().set(spec, taken.apply(value));
    }

    Message message(String address, JsonNode value) {
      return messageTo(address, spec.type(), taken.apply(value));
    }

    JsonNode read(Message message) {
      return shown.apply(message.as(spec.type()));
    }
  }

  private static <T> Cell<T> cell(
      ValueSpec<T> spec, Function<JsonNode, T> taken, Function<T, JsonNode> shown) {
    return new Cell<>(spec, taken, shown);
  }

  private static Cell<?> cellOf(JsonNode operation) {
    var name = operation.get("cell").asText();
    return CELLS.stream().filter(cell -> cell.spec.name().equals(name)).findAny().get();
  }

  static ValueSpec<?>[] values() {
    var values = new ArrayList<ValueSpec<?>>(List.of(TOTAL, JOURNAL));
    CELLS.forEach(cell -> values.add(cell.spec));
    return values.toArray(ValueSpec<?>[]::new);
  }

  @Override
  public CompletableFuture<Void> apply(Context context, Message message) throws IOException {
    if (message.is(PROGRAM)) {
      run(context, message.as(PROGRAM));
    } else {
      told(context, message);
    }
    return context.done();
  }

  private static void told(Context context, Message message) {
    var cell = CELLS.stream().filter(one -> message.is(one.spec.type())).findAny().get();
    var told = record(context, "told").put("caller", caller(context)).put("cell", cell.spec.name());
    send(context, told.set("value", cell.read(message)));
  }

  private static void run(Context context, JsonNode program) throws IOException {
    var id = program.get("id").asText();
    var caller = caller(context);
    if (!Objects.equals(caller, program.get("from").textValue())) {
      send(context, record(context, "complaint").put("program", id).put("caller", caller));
    }
    for (var operation : program.get("do")) {
      run(context, operation, id);
    }
  }

  private static void run(Context context, JsonNode operation, String program) throws IOException {
    switch (operation.get("op").asText()) {
      case "add":
        var sum = context.storage().get(TOTAL).orElse(0L) + operation.get("amount").asLong();
        context.storage().set(TOTAL, sum);
        break;
      case "set":
        cellOf(operation).set(context, operation.get("value"));
        break;
      case "clear":
        context.storage().remove(cellOf(operation).spec);
        break;
      case "read":
        var cell = cellOf(operation);
        var read = record(context, "read").put("program", program).put("cell", cell.spec.name());
        send(context, read.set("value", cell.read(context)));
        break;
      case "mark":
        mark(context, operation.get("number").asLong());
        break;
      case "send":
        context.send(programTo(operation));
        break;
      case "send_after":
        sendAfter(context, Duration.ofMillis(operation.get("ms").asLong()), operation);
        break;
      case "cancel":
        context.cancelDelayedMessage(operation.get("token").asText());
        break;
      case "tell":
        var to = operation.get("to").asText();
        context.send(cellOf(operation).message(to, operation.get("value")));
        break;
      case "egress":
        var text = operation.get("text").asText();
        send(context, record(context, "egress").put("program", program).put("text", text));
        break;
      case "kafka":
        context.send(
            KafkaEgressMessage.forEgress(TypeName.typeNameFromString("workload/kafka"))
                .withTopic(operation.get("topic").asText())
                .withUtf8Key(operation.get("key").asText())
                .withUtf8Value(operation.get("text").asText())
                .build());
        break;
      case "kinesis":
        context.send(
            KinesisEgressMessage.forEgress(TypeName.typeNameFromString("workload/kinesis"))
                .withStream(operation.get("stream").asText())
                .withUtf8PartitionKey(operation.get("key").asText())
                .withUtf8Value(operation.get("text").asText())
                .build());
        break;
      case "fail_once":
        if (isNew(operation.get("mark"))) {
          throw new IllegalStateException("fails once: " + operation.get("mark"));
        }
        break;
      case "crash_once":
        if (isNew(operation.get("mark"))) {
          Runtime.getRuntime().halt(1);
        }
        break;
      case "report":
        report(context, operation.get("round"));
        break;
      default:
        throw new IllegalArgumentException("unknown operation " + operation);
    }
  }

  private static void mark(Context context, long number) {
    var journal = (ObjectNode) context.storage().get(JOURNAL).orElseGet(JSON::createObjectNode);
    var caller = Objects.toString(caller(context), "");
    var entry = journal.has(caller) ? (ObjectNode) journal.get(caller) : journal.putObject(caller);
    var last = entry.path("last").asLong();
    entry.put("count", entry.path("count").asLong() + 1);
    entry.put("disorder", entry.path("disorder").asLong() + (number == last + 1 ? 0 : 1));
    entry.put("last", number);
    context.storage().set(JOURNAL, journal);
  }

  private static void sendAfter(Context context, Duration delay, JsonNode operation) {
    if (operation.hasNonNull("token")) {
      context.sendAfter(delay, operation.get("token").asText(), programTo(operation));
    } else {
      context.sendAfter(delay, programTo(operation));
    }
  }

  private static void report(Context context, JsonNode round) {
    var report = record(context, "report");
    report.set("round", round);
    report.put("total", context.storage().get(TOTAL).map(String::valueOf).orElse(null));
    report.set("journal", context.storage().get(JOURNAL).orElse(null));
    var cells = report.putObject("cells");
    CELLS.forEach(cell -> cells.set(cell.spec.name(), cell.read(context)));
    send(context, report);
  }

  private static ObjectNode record(Context context, String kind) {
    return JSON.createObjectNode().put("kind", kind).put("at", text(context.self()));
  }

  private static void send(Context context, JsonNode record) {
    context.send(
        EgressMessageBuilder.forEgress(TypeName.typeNameFromString("workload/records"))
            .withCustomType(RECORD, record)
            .build());
  }

  private static Message programTo(JsonNode operation) {
    return messageTo(operation.get("to").asText(), PROGRAM, operation.get("program"));
  }

  private static <T> Message messageTo(String address, Type<T> type, T value) {
    var parts = address.split("/", 3);
    var target = new Address(TypeName.typeNameOf(parts[0], parts[1]), parts[2]);
    return MessageBuilder.forAddress(target).withCustomType(type, value).build();
  }

  private static String caller(Context context) {
    return context.caller().map(Interpreter::text).orElse(null);
  }

  private static String text(Address address) {
    return address.type().asTypeNameString() + "/" + address.id();
  }

  private static JsonNode decimal(long number) {
    return TextNode.valueOf(Long.toString(number));
  }

  /** Whether the mark was not there yet. It is now. */
  private static boolean isNew(JsonNode mark) throws IOException {
    try {
      Files.createFile(Path.of(System.getenv("MARKS"), mark.asText()));
      return true;
    } catch (FileAlreadyExistsException there) {
      return false;
    }
  }

  private static Type<JsonNode> json(String name) {
    return SimpleType.simpleTypeFrom(
        TypeName.typeNameFromString(name), JSON::writeValueAsBytes, JSON::readTree);
  }
}
