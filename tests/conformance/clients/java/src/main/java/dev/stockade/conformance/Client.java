package dev.stockade.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The conformance session's client in Java: runs the steps of a session and prints one JSON result a step.
 *
 * <p>Usage: Client SESSION.json (its form: ../README.md)
 */
public final class Client {
  /** An operation of the table. */
  interface Step {
    Map<String, Object> run(Session session, Given given) throws Exception;
  }

  private static final Map<String, Step> STEPS =
      Map.ofEntries(
          Map.entry("create", SandboxSteps::create),
          Map.entry("get", SandboxSteps::get),
          Map.entry("watch", SandboxSteps::watch),
          Map.entry("delete", SandboxSteps::delete),
          Map.entry("reach", SandboxSteps::reach),
          Map.entry("exec", ExecSteps::execute),
          Map.entry("run", ExecSteps::run),
          Map.entry("attach", ExecSteps::attach),
          Map.entry("cancel", ExecSteps::cancel),
          Map.entry("files", FileSteps::files),
          Map.entry("read_file", FileSteps::readFile),
          Map.entry("copy", FileSteps::copy),
          Map.entry("archive", FileSteps::archive),
          Map.entry("check", RecordSteps::check),
          Map.entry("record", RecordSteps::record),
          Map.entry("get_decision", RecordSteps::getDecision),
          Map.entry("audit", RecordSteps::audit),
          Map.entry("trace", RecordSteps::trace),
          Map.entry("keys", CacheSteps::keys),
          Map.entry("vectors", CacheSteps::vectors),
          Map.entry("vector_stream", CacheSteps::vectorStream));

  private static final Gson GSON = new GsonBuilder().serializeNulls().create();

  private Client() {}

  public static void main(String[] arguments) throws Exception {
    try (var session = Session.open(arguments[0])) {
      for (var row : session.steps()) {
        var told = new LinkedHashMap<String, Object>();
        told.put("step", row.name());
        told.putAll(outcome(session, row));
        System.out.println(GSON.toJson(told));
      }
    }
  }

  /** What came of a step: a result, a call's error, or a fault of this client. */
  private static Map<String, Object> outcome(Session session, Session.Row row) {
    try {
      return Map.of("result", STEPS.get(row.operation()).run(session, row.with()));
    } catch (StatusException | StatusRuntimeException error) {
      return Map.of("error", Session.failure(error));
    } catch (Exception error) {
      return Map.of("broken", error.toString());
    }
  }
}
