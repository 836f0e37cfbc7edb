package dev.stockade.conformance;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.stockade.audit.v1.Action;
import dev.stockade.audit.v1.AuditServiceGrpc;
import dev.stockade.audit.v1.Entry;
import dev.stockade.audit.v1.EntryFilter;
import dev.stockade.audit.v1.EntryOrder;
import dev.stockade.audit.v1.GetTraceRequest;
import dev.stockade.audit.v1.ListEntriesRequest;
import dev.stockade.audit.v1.ListTracesRequest;
import dev.stockade.audit.v1.Span;
import dev.stockade.audit.v1.TraceServiceGrpc;
import dev.stockade.networkpolicy.v1.CheckRequestRequest;
import dev.stockade.networkpolicy.v1.Decision;
import dev.stockade.networkpolicy.v1.DecisionServiceGrpc;
import dev.stockade.networkpolicy.v1.GetDecisionRequest;
import dev.stockade.networkpolicy.v1.RecordRequestRequest;
import dev.stockade.networkpolicy.v1.RequestOutcome;
import dev.stockade.networkpolicy.v1.RequestToCheck;
import dev.stockade.sandbox.v1.RunCommandRequest;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** Steps on decisions, the audit record and traces. */
final class RecordSteps {
  private static final Metadata.Key<String> TRACEPARENT =
      Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);

  private RecordSteps() {}

  private static DecisionServiceGrpc.DecisionServiceBlockingV2Stub policy(Session session) {
    return DecisionServiceGrpc.newBlockingV2Stub(session.channel("policy"));
  }

  private static Decision decide(Session session, Given given) throws Exception {
    var request =
        RequestToCheck.newBuilder()
            .setAgent(given.text("agent"))
            .setAgentType(given.text("agent_type"))
            .setHost(given.text("host"))
            .setPort((int) given.number("port"));
    return policy(session).checkRequest(CheckRequestRequest.newBuilder().setRequest(request).build()).getDecision();
  }

  /** Asks for one request as often as said; tells the last decision. */
  static Map<String, Object> check(Session session, Given given) throws Exception {
    var decision = decide(session, given);
    for (var asked = 1; asked < given.number("times"); asked++) {
      decision = decide(session, given);
    }
    return Map.of(
        "verdict", decision.getVerdict().name(),
        "rule", decision.getRule(),
        "host", decision.getCanonicalHost(),
        "named", !decision.getDecisionId().isEmpty(),
        "retry_after", Durations.isPositive(decision.getRetryAfter()));
  }

  /** Says twice how an allowed request ended, and reads it back. */
  static Map<String, Object> record(Session session, Given given) throws Exception {
    var id = decide(session, given).getDecisionId();
    var outcome =
        RequestOutcome.newBuilder()
            .setStatus((int) given.number("status"))
            .setBytesReceived(given.number("bytes_received"));
    var request = RecordRequestRequest.newBuilder().setDecisionId(id).setOutcome(outcome).build();
    var first = policy(session).recordRequest(request).getRecorded();
    var again = policy(session).recordRequest(request).getRecorded();
    var found = policy(session).getDecision(GetDecisionRequest.newBuilder().setDecisionId(id).build());
    var kept = found.getRecord().getOutcome();
    return Map.of(
        "recorded", List.of(first, again), "status", kept.getStatus(), "bytes_received", kept.getBytesReceived());
  }

  static Map<String, Object> getDecision(Session session, Given given) throws Exception {
    policy(session).getDecision(GetDecisionRequest.newBuilder().setDecisionId(given.text("decision_id")).build());
    return Map.of();
  }

  /** Reads the record of an agent by pages, once its sandbox's making is in it. */
  static Map<String, Object> audit(Session session, Given given) throws Exception {
    var size = (int) given.number("page_size");
    var filter = EntryFilter.newBuilder().addAgents(given.text("agent")).build();
    var found = Session.polled(() -> pages(session, filter, size), RecordSteps::created);
    var entries = found.stream().flatMap(List::stream).toList();
    var times = entries.stream().map(Entry::getTime).toList();
    return Map.of(
        "pages", found.size() > 1 ? "several" : "one",
        "full", found.subList(0, found.size() - 1).stream().allMatch(page -> page.size() == size),
        "distinct", entries.stream().map(Entry::getId).distinct().count() == entries.size(),
        "in_order", times.equals(times.stream().sorted(Timestamps.comparator()).toList()),
        "created", created(found));
  }

  private static boolean created(List<List<Entry>> found) {
    return found.stream().flatMap(List::stream).anyMatch(e -> e.getAction() == Action.ACTION_SANDBOX_CREATED);
  }

  private static List<List<Entry>> pages(Session session, EntryFilter filter, int size) throws Exception {
    var reader = AuditServiceGrpc.newBlockingV2Stub(session.channel("audit"));
    var request =
        ListEntriesRequest.newBuilder()
            .setFilter(filter)
            .setPageSize(size)
            .setOrder(EntryOrder.ENTRY_ORDER_OLDEST_FIRST);
    var found = new ArrayList<List<Entry>>();
    while (true) {
      var answer = reader.listEntries(request.build());
      found.add(answer.getEntriesList());
      if (answer.getNextPageToken().isEmpty()) {
        return found;
      }
      request.setPageToken(answer.getNextPageToken());
    }
  }

  /** Runs a program in a trace that begins here; looks for it in the process, the record and the kept spans. */
  static Map<String, Object> trace(Session session, Given given) throws Exception {
    var ids = new byte[24];
    new SecureRandom().nextBytes(ids);
    var traceId = HexFormat.of().formatHex(ids, 0, 16);
    var spanId = HexFormat.of().formatHex(ids, 16, 24);
    var headers = new Metadata();
    headers.put(TRACEPARENT, "00-" + traceId + "-" + spanId + "-01");
    var request =
        RunCommandRequest.newBuilder().setSandbox(session.sandbox).setCommand(ExecSteps.command(given)).build();
    var answer =
        ExecSteps.service(session)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
            .runCommand(request);
    var filter = EntryFilter.newBuilder().setTraceId(traceId).build();
    var entries = Session.polled(() -> pages(session, filter, 100).get(0), page -> !page.isEmpty());
    var traces = TraceServiceGrpc.newBlockingV2Stub(session.channel("audit"));
    var listing = ListTracesRequest.newBuilder().setPageSize(1000).build();
    Session.polled(
        () -> traces.listTraces(listing).getTracesList(),
        listed -> listed.stream().anyMatch(summary -> summary.getTraceId().equals(traceId)));
    var asking = GetTraceRequest.newBuilder().setTraceId(traceId).build();
    Predicate<List<Span>> ours = kept -> kept.stream().anyMatch(span -> span.getParentSpanId().equals(spanId));
    var spans = Session.polled(() -> traces.getTrace(asking).getSpansList(), ours);
    return Map.of(
        "process", answer.getStdout().toStringUtf8().contains(traceId),
        "record", !entries.isEmpty(),
        "child", ours.test(spans));
  }
}
