// What the steps of a session share: clients of the services, the sandbox, and how a failed call is told.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { BadRequestSchema, type Client, type ConnectError, connect, createClient, errorInfo, type Tls } from "@stockade/client";
import { AuditService } from "@stockade/client/stockade/audit/v1/audit_service";
import { TraceService } from "@stockade/client/stockade/audit/v1/trace_service";
import { EmbeddingCacheService } from "@stockade/client/stockade/embeddingcache/v1/embedding_cache_service";
import { DecisionService } from "@stockade/client/stockade/networkpolicy/v1/decision_service";
import { ExecService } from "@stockade/client/stockade/sandbox/v1/exec_service";
import { FileService } from "@stockade/client/stockade/sandbox/v1/file_service";
import { SandboxService } from "@stockade/client/stockade/sandbox/v1/sandbox_service";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each operation reads its own part of the table's input
export type Given = Record<string, any>;
export type Result = Record<string, unknown>;

const WAIT_MS = 20_000;

interface SessionFile {
  targets: Record<"sandbox" | "policy" | "cache" | "audit", string>;
  tls: Tls | null;
  steps: { name: string; do: string; with: Given }[];
}

export class Session {
  sandbox = "";

  private constructor(
    readonly sandboxes: Client<typeof SandboxService>,
    readonly execs: Client<typeof ExecService>,
    readonly files: Client<typeof FileService>,
    readonly decisions: Client<typeof DecisionService>,
    readonly cache: Client<typeof EmbeddingCacheService>,
    readonly audit: Client<typeof AuditService>,
    readonly traces: Client<typeof TraceService>,
  ) {}

  static open(path: string): [Session, SessionFile["steps"]] {
    const { targets, tls, steps } = JSON.parse(readFileSync(path, "utf8")) as SessionFile;
    const sandbox = connect(targets.sandbox, tls ?? undefined);
    const audit = connect(targets.audit, tls ?? undefined);
    const session = new Session(
      createClient(SandboxService, sandbox),
      createClient(ExecService, sandbox),
      createClient(FileService, sandbox),
      createClient(DecisionService, connect(targets.policy, tls ?? undefined)),
      createClient(EmbeddingCacheService, connect(targets.cache, tls ?? undefined)),
      createClient(AuditService, audit),
      createClient(TraceService, audit),
    );
    return [session, steps];
  }
}

/** Code, and what google.rpc's details say: reason, domain, metadata, and the fields that break a rule. */
export function failure(error: ConnectError): Result {
  const info = errorInfo(error);
  const [bad] = error.findDetails(BadRequestSchema);
  return {
    code: error.code,
    ...(info && { reason: info.reason, domain: info.domain, metadata: info.metadata }),
    ...(bad && { fields: bad.fieldViolations.map((violation) => violation.field) }),
  };
}

/** Reads again and again until the reading is good or time is up; the last reading. */
export async function polled<T>(read: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  for (const end = Date.now() + WAIT_MS; ; await sleep(100)) {
    const value = await read();
    if (good(value) || Date.now() > end) return value;
  }
}

/** Everything that a stream of messages brings. */
export async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}
