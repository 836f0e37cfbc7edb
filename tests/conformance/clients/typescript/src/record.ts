// Steps on decisions, the audit record and traces.
import { randomBytes } from "node:crypto";

import { EntryOrder } from "@stockade/client/stockade/audit/v1/audit_service";
import { Action, type Entry } from "@stockade/client/stockade/audit/v1/entry";
import type { Span } from "@stockade/client/stockade/audit/v1/trace_service";
import { type Decision, Verdict } from "@stockade/client/stockade/networkpolicy/v1/decision_service";

import { type Given, polled, type Result, type Session } from "./session.js";

async function decide(session: Session, given: Given): Promise<Decision> {
  const request = { agent: given.agent, agentType: given.agent_type, host: given.host, port: given.port };
  return (await session.decisions.checkRequest({ request })).decision!;
}

/** Asks for one request as often as said; tells the last decision. */
export async function check(session: Session, given: Given): Promise<Result> {
  let decision = await decide(session, given);
  for (let asked = 1; asked < (given.times ?? 1); asked++) decision = await decide(session, given);
  const wait = decision.retryAfter;
  return {
    verdict: `VERDICT_${Verdict[decision.verdict]}`,
    rule: decision.rule,
    host: decision.canonicalHost,
    named: decision.decisionId !== "",
    retry_after: wait !== undefined && (wait.seconds > 0n || wait.nanos > 0),
  };
}

/** Says twice how an allowed request ended, and reads it back. */
export async function record(session: Session, given: Given): Promise<Result> {
  const { decisionId } = await decide(session, given);
  const outcome = { status: given.status, bytesReceived: BigInt(given.bytes_received) };
  const recorded = [];
  for (let time = 0; time < 2; time++) {
    recorded.push((await session.decisions.recordRequest({ decisionId, outcome })).recorded);
  }
  const kept = (await session.decisions.getDecision({ decisionId })).record?.outcome;
  return { recorded, status: kept?.status, bytes_received: Number(kept?.bytesReceived) };
}

export async function getDecision(session: Session, given: Given): Promise<Result> {
  await session.decisions.getDecision({ decisionId: given.decision_id });
  return {};
}

/** Reads the record of an agent by pages, once its sandbox's making is in it. */
export async function audit(session: Session, given: Given): Promise<Result> {
  const created = (found: Entry[][]) => found.flat().some((entry) => entry.action === Action.SANDBOX_CREATED);
  const found = await polled(() => pages(session, { agents: [given.agent] }, given.page_size), created);
  const entries = found.flat();
  const times = entries.map(({ time }) => time!.seconds * 1_000_000_000n + BigInt(time!.nanos));
  return {
    pages: found.length > 1 ? "several" : "one",
    full: found.slice(0, -1).every((page) => page.length === given.page_size),
    distinct: new Set(entries.map((entry) => entry.id)).size === entries.length,
    in_order: times.every((time, at) => at === 0 || times[at - 1] <= time),
    created: created(found),
  };
}

async function pages(session: Session, filter: { agents?: string[]; traceId?: string }, pageSize: number): Promise<Entry[][]> {
  const found: Entry[][] = [];
  for (let pageToken = ""; ; ) {
    const answer = await session.audit.listEntries({ filter, pageSize, pageToken, order: EntryOrder.OLDEST_FIRST });
    found.push(answer.entries);
    pageToken = answer.nextPageToken;
    if (pageToken === "") return found;
  }
}

/** Runs a program in a trace that begins here; looks for it in the process, the record and the kept spans. */
export async function trace(session: Session, given: Given): Promise<Result> {
  const [traceId, spanId] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  const answer = await session.execs.runCommand(
    { sandbox: session.sandbox, command: { args: given.args } },
    { headers: { traceparent: `00-${traceId}-${spanId}-01` } },
  );
  const [entries] = await polled(
    () => pages(session, { traceId }, 100),
    ([page]) => page.length > 0,
  );
  await polled(
    () => session.traces.listTraces({ pageSize: 1000 }),
    ({ traces }) => traces.some((summary) => summary.traceId === traceId),
  );
  const ours = ({ spans }: { spans: Span[] }) => spans.some((span) => span.parentSpanId === spanId);
  const kept = await polled(() => session.traces.getTrace({ traceId }), ours);
  return {
    process: Buffer.from(answer.stdout).toString().includes(traceId),
    record: entries.length > 0,
    child: ours(kept),
  };
}
