package dev.stockade.conformance;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.stockade.sandbox.v1.AttachExecRequest;
import dev.stockade.sandbox.v1.Command;
import dev.stockade.sandbox.v1.Ending;
import dev.stockade.sandbox.v1.ExecAttach;
import dev.stockade.sandbox.v1.ExecInput;
import dev.stockade.sandbox.v1.ExecRequest;
import dev.stockade.sandbox.v1.ExecServiceGrpc;
import dev.stockade.sandbox.v1.ExecSignal;
import dev.stockade.sandbox.v1.ExecStart;
import dev.stockade.sandbox.v1.ExecState;
import dev.stockade.sandbox.v1.GetExecRequest;
import dev.stockade.sandbox.v1.RunCommandRequest;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Steps that run programs. */
final class ExecSteps {
  /** Longer output is told by its digest alone. */
  private static final int TEXT_BYTES = 65536;

  private ExecSteps() {}

  static ExecServiceGrpc.ExecServiceBlockingV2Stub service(Session session) {
    return ExecServiceGrpc.newBlockingV2Stub(session.channel("sandbox"));
  }

  static Command.Builder command(Given given) {
    var command = Command.newBuilder().addAllArgs(given.texts("args"));
    if (given.has("timeout_ms")) {
      command.setTimeout(Durations.fromMillis(given.number("timeout_ms")));
    }
    return command.setMaxOutputBytes(given.number("max_output_bytes"));
  }

  /** Runs a program with the given stdin, and sends the given signal when it first writes. */
  static Map<String, Object> execute(Session session, Given given) throws Exception {
    var call = service(session).exec();
    call.write(starting(session, given));
    for (var text : given.texts("stdin")) {
      call.write(telling(ExecInput.newBuilder().setStdin(ByteString.copyFromUtf8(text))));
    }
    if (!given.has("signal")) {
      call.write(telling(ExecInput.newBuilder().setCloseStdin(true)));
      call.halfClose();
    }
    ByteString.Output stdout = ByteString.newOutput();
    ByteString.Output stderr = ByteString.newOutput();
    for (var event = call.read(); event != null; event = call.read()) {
      if (event.hasStdout() && given.has("signal") && stdout.size() == 0) {
        var signal = ExecSignal.newBuilder().setSignal((int) given.number("signal"));
        call.write(telling(ExecInput.newBuilder().setSignal(signal)));
      }
      event.getStdout().getData().writeTo(stdout);
      event.getStderr().getData().writeTo(stderr);
      if (event.hasEnded()) {
        return told(stdout.toByteString(), stderr.toByteString(), event.getEnded());
      }
    }
    throw new IllegalStateException("the stream ended without `ended`");
  }

  static Map<String, Object> run(Session session, Given given) throws Exception {
    var stdin = String.join("", given.texts("stdin")) + "x".repeat((int) given.number("stdin_bytes"));
    var request =
        RunCommandRequest.newBuilder()
            .setSandbox(session.sandbox)
            .setCommand(command(given))
            .setStdin(ByteString.copyFromUtf8(stdin))
            .build();
    var stub = service(session);
    if (given.has("deadline_ms")) {
      stub = stub.withDeadlineAfter(given.number("deadline_ms"), TimeUnit.MILLISECONDS);
    }
    var answer = stub.runCommand(request);
    return told(answer.getStdout(), answer.getStderr(), answer.getEnding());
  }

  /** Starts a program, goes away after its first output, and comes back for the rest. */
  static Map<String, Object> attach(Session session, Given given) throws Exception {
    var call = service(session).exec();
    var start = starting(session, given).getStart().toBuilder().setNoStdin(true).setDetachOnCancel(true);
    call.write(ExecRequest.newBuilder().setStart(start).build());
    var exec = call.read().getStarted().getExec();
    var before = call.read().getStdout().getData();
    call.cancel("gone", null);
    var place = ExecAttach.newBuilder().setSandbox(session.sandbox).setExec(exec).setOffset(before.size());
    var back = service(session).attachExec();
    back.write(AttachExecRequest.newBuilder().setAttach(place).build());
    var after = ByteString.EMPTY;
    for (var event = back.read(); event != null; event = back.read()) {
      after = after.concat(event.getStdout().getData());
      if (event.hasEnded()) {
        return Map.of(
            "before", before.toStringUtf8(),
            "after", after.toStringUtf8(),
            "ending", event.getEnded().getReason().name());
      }
    }
    throw new IllegalStateException("the stream ended without `ended`");
  }

  /** Goes away from a program that runs; it is killed. */
  static Map<String, Object> cancel(Session session, Given given) throws Exception {
    var call = service(session).exec();
    var start = starting(session, given).getStart().toBuilder().setNoStdin(true);
    call.write(ExecRequest.newBuilder().setStart(start).build());
    var exec = call.read().getStarted().getExec();
    call.cancel("gone", null);
    var request = GetExecRequest.newBuilder().setSandbox(session.sandbox).setExec(exec).build();
    var found =
        Session.polled(
            () -> service(session).getExec(request).getExec(),
            info -> info.getState() == ExecState.EXEC_STATE_ENDED);
    return Map.of("ending", found.getEnding().getReason().name());
  }

  private static ExecRequest starting(Session session, Given given) {
    var start = ExecStart.newBuilder().setSandbox(session.sandbox).setCommand(command(given));
    return ExecRequest.newBuilder().setStart(start).build();
  }

  private static ExecRequest telling(ExecInput.Builder input) {
    return ExecRequest.newBuilder().setInput(input).build();
  }

  private static Map<String, Object> told(ByteString stdout, ByteString stderr, Ending ending) throws Exception {
    var told = new HashMap<String, Object>();
    told.put("stdout_bytes", stdout.size());
    told.put("stdout_sha256", sha256(stdout.toByteArray()));
    told.put("stderr", stderr.toStringUtf8());
    told.put("ending", ending.getReason().name());
    told.put("exit_code", ending.hasExitCode() ? ending.getExitCode() : null);
    told.put("signal", ending.hasSignal() ? ending.getSignal() : null);
    told.put("partial", ending.getOutputPartial());
    if (stdout.size() <= TEXT_BYTES) {
      told.put("stdout", stdout.toStringUtf8());
    }
    return told;
  }

  static String sha256(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }
}
