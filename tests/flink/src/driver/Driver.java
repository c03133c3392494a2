package driver;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * The real StateFun, steered by lines: a request with an {@code id} is answered by one line with that id, and what happens to jobs
 * is reported by lines with an {@code event}. It ends when its input ends.
 */
public final class Driver {
  private static final Map<String, Job> JOBS = new ConcurrentHashMap<>();
  /** What takes its time must hold up neither other requests nor the end. */
  private static final Set<String> SLOW = Set.of("start", "checkpoint", "savepoint", "cancel", "parse");

  private Driver() {}

  public static void main(String[] arguments) throws Exception {
    Lines.claimOutput();
    Thread.currentThread().setContextClassLoader(Driver.class.getClassLoader());
    ExecutorService slow = Executors.newCachedThreadPool();
    Lines.event("ready");
    try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        JsonNode request = Lines.parse(line);
        if (SLOW.contains(request.get("verb").asText())) {
          slow.execute(() -> answer(request));
        } else {
          answer(request);
        }
      }
    } finally {
      removeScratch();
      Runtime.getRuntime().halt(0);
    }
  }

  private static void answer(JsonNode request) {
    ObjectNode answer = Lines.object();
    answer.set("id", request.get("id"));
    try {
      execute(request, answer);
    } catch (Throwable failure) {
      answer.set("failure", Causes.of(failure));
    }
    if (request.has("id")) {
      Lines.print(answer);
    }
  }

  private static void execute(JsonNode request, ObjectNode answer) throws Exception {
    String verb = request.get("verb").asText();
    switch (verb) {
      case "start" -> {
        Job job = new Job(request.get("job").asText());
        JOBS.put(job.name, job); // its functions find it by name
        try {
          answer.put("job_id", job.start(request));
        } catch (Throwable failure) {
          forget(job);
          throw failure;
        }
      }
      case "feed" -> job(request).feed(request);
      case "fail" -> job(request).fail(request.get("text").asText());
      case "checkpoint" -> answer.put("path", job(request).checkpoint());
      case "savepoint" -> answer.put("path", job(request).savepoint(request.get("directory").asText()));
      case "cancel" -> job(request).cancel();
      case "parse" -> Check.check(request, answer);
      default -> throw new IllegalArgumentException("no verb " + verb);
    }
  }

  /** The job as the functions inside of it find it. */
  static Job job(String name) {
    return JOBS.get(name);
  }

  static void forget(Job job) {
    JOBS.remove(job.name, job);
  }

  private static Job job(JsonNode request) {
    Job job = JOBS.get(request.get("job").asText());
    if (job == null) {
      throw new IllegalStateException("the job has ended");
    }
    return job;
  }

  private static void removeScratch() throws IOException {
    try (Stream<Path> all = Files.walk(Path.of(System.getProperty("java.io.tmpdir")))) {
      all.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
  }
}
