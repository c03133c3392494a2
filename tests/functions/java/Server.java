import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import org.apache.flink.statefun.sdk.java.StatefulFunctionSpec;
import org.apache.flink.statefun.sdk.java.StatefulFunctions;
import org.apache.flink.statefun.sdk.java.TypeName;
import org.apache.flink.statefun.sdk.java.handler.RequestReplyHandler;
import org.apache.flink.statefun.sdk.java.slice.Slice;
import org.apache.flink.statefun.sdk.java.slice.Slices;

/** The interpreters behind the server of the JDK: the SDK brings none. */
public final class Server {
  private static final String[] TYPES = {
    "workload/alpha", "workload/beta", "elsewhere.workload/alpha"
  };

  public static void main(String[] arguments) throws IOException {
    System.setProperty("sun.net.httpserver.nodelay", "true");
    var port = Integer.parseInt(System.getenv("PORT"));
    var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    var server = HttpServer.create(address, 1024);
    var handler = functions().requestReplyHandler();
    server.createContext("/", exchange -> answer(handler, exchange));
    server.setExecutor(Executors.newCachedThreadPool());
    server.start();
    System.out.println("ready");
    System.in.readAllBytes();
    System.exit(0);
  }

  private static StatefulFunctions functions() {
    var functions = new StatefulFunctions();
    for (var type : TYPES) {
      functions.withStatefulFunction(
          StatefulFunctionSpec.builder(TypeName.typeNameFromString(type))
              .withValueSpecs(Interpreter.values())
              .withSupplier(Interpreter::new)
              .build());
    }
    return functions;
  }

  private static void answer(RequestReplyHandler handler, HttpExchange exchange)
      throws IOException {
    try (exchange) {
      var request = Slices.wrap(exchange.getRequestBody().readAllBytes());
      handler
          .handle(request)
          .handle((reply, failure) -> failure == null ? reply(reply) : failure(failure))
          .join()
          .send(exchange);
    }
  }

  private static Answer reply(Slice reply) {
    return new Answer(200, "application/octet-stream", reply.toByteArray());
  }

  private static Answer failure(Throwable failure) {
    return new Answer(500, "text/plain", failure.toString().getBytes(StandardCharsets.UTF_8));
  }

  private static final class Answer {
    private final int status;
    private final String contentType;
    private final byte[] body;

    Answer(int status, String contentType, byte[] body) {
      this.status = status;
      this.contentType = contentType;
      this.body = body;
    }

    void send(HttpExchange exchange) throws IOException {
      exchange.getResponseHeaders().set("content-type", contentType);
      // No body is -1 here; 0 would be chunked.
      exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
      exchange.getResponseBody().write(body);
    }
  }
}
