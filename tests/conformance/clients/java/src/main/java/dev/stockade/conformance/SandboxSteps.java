package dev.stockade.conformance;

import com.google.protobuf.FieldMask;
import dev.stockade.sandbox.v1.CreateSandboxRequest;
import dev.stockade.sandbox.v1.DeleteSandboxRequest;
import dev.stockade.sandbox.v1.GetSandboxRequest;
import dev.stockade.sandbox.v1.Limits;
import dev.stockade.sandbox.v1.ListSandboxesRequest;
import dev.stockade.sandbox.v1.SandboxFilter;
import dev.stockade.sandbox.v1.SandboxServiceGrpc;
import dev.stockade.sandbox.v1.UpdateSandboxRequest;
import dev.stockade.sandbox.v1.WatchSandboxesRequest;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Steps on the life of a sandbox. */
final class SandboxSteps {
  private SandboxSteps() {}

  private static SandboxServiceGrpc.SandboxServiceBlockingV2Stub service(Session session) {
    return SandboxServiceGrpc.newBlockingV2Stub(session.channel("sandbox"));
  }

  /** Creates a sandbox twice with one request_id. */
  static Map<String, Object> create(Session session, Given given) throws Exception {
    var limits =
        Limits.newBuilder().setMemoryBytes(given.number("memory_bytes")).setDiskBytes(given.number("disk_bytes"));
    var request =
        CreateSandboxRequest.newBuilder()
            .setAgent(given.text("agent"))
            .setAgentType(given.text("agent_type"))
            .setRequestId(given.text("request_id"))
            .setLimits(limits)
            .build();
    var first = service(session).createSandbox(request).getSandbox();
    var again = service(session).createSandbox(request).getSandbox();
    session.sandbox = first.getName();
    return Map.of(
        "same", first.getName().equals(again.getName()),
        "state", first.getState().name(),
        "profile", first.getProfile(),
        "known", first.getAgentTypeKnown());
  }

  static Map<String, Object> get(Session session, Given given) throws Exception {
    var name = given.has("name") ? given.text("name") : session.sandbox;
    var found = service(session).getSandbox(GetSandboxRequest.newBuilder().setName(name).build()).getSandbox();
    return Map.of("state", found.getState().name(), "agent", found.getAgent());
  }

  /** Watches the sandbox, changes a label, sees it, goes away and comes back. */
  static Map<String, Object> watch(Session session, Given given) throws Exception {
    var filter = SandboxFilter.newBuilder().addNames(session.sandbox);
    var request = WatchSandboxesRequest.newBuilder().setFilter(filter).build();
    var events = service(session).watchSandboxes(request);
    var first = events.read().getSandbox();
    while (events.read().hasSandbox()) {
      // until all that exist have been sent
    }
    service(session)
        .updateSandbox(
            UpdateSandboxRequest.newBuilder()
                .setName(session.sandbox)
                .setUpdateMask(FieldMask.newBuilder().addPaths("labels"))
                .putLabels("session", given.text("label"))
                .build());
    var seen = first;
    while (!seen.containsLabels("session")) {
      seen = events.read().getSandbox();
    }
    events.cancel("seen", null);
    var again = service(session).watchSandboxes(request);
    var back = again.read().getSandbox();
    again.cancel("seen", null);
    return Map.of(
        "first", first.getState().name(),
        "label", seen.getLabelsOrThrow("session"),
        "again", back.getLabelsOrDefault("session", ""));
  }

  /** Deletes the sandbox twice: the second time is no error. */
  static Map<String, Object> delete(Session session, Given given) throws Exception {
    var request = DeleteSandboxRequest.newBuilder().setName(session.sandbox).build();
    var ended = service(session).deleteSandbox(request).getSandbox();
    var again = service(session).deleteSandbox(request).getSandbox();
    return Map.of("state", ended.getState().name(), "again", again.getState().name());
  }

  /** Asks for sandboxes over another connection than the session's. */
  static Map<String, Object> reach(Session session, Given given) throws Exception {
    var channel = Session.connect(given.text("target"), given.json().get("tls"));
    try {
      SandboxServiceGrpc.newBlockingV2Stub(channel)
          .withDeadlineAfter(10, TimeUnit.SECONDS)
          .listSandboxes(ListSandboxesRequest.getDefaultInstance());
      return Map.of("reached", true);
    } finally {
      channel.shutdownNow();
    }
  }
}
