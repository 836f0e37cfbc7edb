// Steps on the life of a sandbox.
import { connect, createClient } from "@stockade/client";
import { SandboxState } from "@stockade/client/stockade/sandbox/v1/sandbox";
import { SandboxService } from "@stockade/client/stockade/sandbox/v1/sandbox_service";

import type { Given, Result, Session } from "./session.js";

const stateName = (state?: SandboxState) => `SANDBOX_STATE_${SandboxState[state ?? 0]}`;

/** Creates a sandbox twice with one request_id. */
export async function create(session: Session, given: Given): Promise<Result> {
  const request = {
    agent: given.agent,
    agentType: given.agent_type,
    requestId: given.request_id,
    limits: { memoryBytes: BigInt(given.memory_bytes ?? 0), diskBytes: BigInt(given.disk_bytes ?? 0) },
  };
  const { sandbox: first } = await session.sandboxes.createSandbox(request);
  const { sandbox: again } = await session.sandboxes.createSandbox(request);
  session.sandbox = first!.name;
  return {
    same: first!.name === again!.name,
    state: stateName(first!.state),
    profile: first!.profile,
    known: first!.agentTypeKnown,
  };
}

export async function get(session: Session, given: Given): Promise<Result> {
  const { sandbox } = await session.sandboxes.getSandbox({ name: given.name ?? session.sandbox });
  return { state: stateName(sandbox?.state), agent: sandbox?.agent };
}

/** Watches the sandbox, changes a label, sees it, goes away and comes back. */
export async function watch(session: Session, given: Given): Promise<Result> {
  const filter = { names: [session.sandbox] };
  const leaving = new AbortController();
  const events = session.sandboxes.watchSandboxes({ filter }, { signal: leaving.signal })[Symbol.asyncIterator]();
  const first = (await events.next()).value.sandbox;
  while ((await events.next()).value.sandbox !== undefined);
  await session.sandboxes.updateSandbox({
    name: session.sandbox,
    updateMask: { paths: ["labels"] },
    labels: { session: given.label },
  });
  let seen = first;
  while (seen?.labels.session === undefined) seen = (await events.next()).value.sandbox;
  leaving.abort();
  for await (const { sandbox: back } of session.sandboxes.watchSandboxes({ filter })) {
    return { first: stateName(first?.state), label: seen.labels.session, again: back?.labels.session };
  }
  throw new Error("the second watch ended without a message");
}

/** Deletes the sandbox twice: the second time is no error. */
export async function remove(session: Session): Promise<Result> {
  const ended = await session.sandboxes.deleteSandbox({ name: session.sandbox });
  const again = await session.sandboxes.deleteSandbox({ name: session.sandbox });
  return { state: stateName(ended.sandbox?.state), again: stateName(again.sandbox?.state) };
}

/** Asks for sandboxes over another connection than the session's. */
export async function reach(_: Session, given: Given): Promise<Result> {
  await createClient(SandboxService, connect(given.target, given.tls)).listSandboxes({}, { timeoutMs: 10_000 });
  return { reached: true };
}
