// Steps that run programs.
import { createHash } from "node:crypto";

import { ConnectError } from "@stockade/client";
import { type Ending, EndingReason, ExecState } from "@stockade/client/stockade/sandbox/v1/exec_service";

import { type Given, polled, type Result, type Session } from "./session.js";

/** Longer output is told by its digest alone. */
const TEXT_BYTES = 65536;

type Input =
  | { case: "stdin"; value: Uint8Array }
  | { case: "closeStdin"; value: boolean }
  | { case: "signal"; value: { signal: number } };

const endingName = (ending?: Ending) => `ENDING_REASON_${EndingReason[ending?.reason ?? 0]}`;

function command(given: Given) {
  const timeout = given.timeout_ms && { seconds: BigInt(Math.floor(given.timeout_ms / 1000)), nanos: (given.timeout_ms % 1000) * 1e6 };
  return { args: given.args as string[], timeout: timeout || undefined, maxOutputBytes: BigInt(given.max_output_bytes ?? 0) };
}

/** The requests of one Exec: `start`, then inputs as they come, until `end`. */
class Requests {
  private readonly waiting: Input[];
  private wake = () => {};
  private ended = false;

  constructor(
    private readonly start: { sandbox: string; command: ReturnType<typeof command>; noStdin?: boolean; detachOnCancel?: boolean },
    inputs: Input[] = [],
  ) {
    this.waiting = inputs;
  }

  send(input: Input) {
    this.waiting.push(input);
    this.wake();
  }

  end() {
    this.ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator]() {
    yield { request: { case: "start" as const, value: this.start } };
    for (;;) {
      while (this.waiting.length > 0) yield { request: { case: "input" as const, value: { input: this.waiting.shift()! } } };
      if (this.ended) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** Runs a program with the given stdin, and sends the given signal when it first writes. */
export async function execute(session: Session, given: Given): Promise<Result> {
  const inputs: Input[] = (given.stdin ?? []).map((text: string) => ({ case: "stdin", value: Buffer.from(text) }));
  if (given.signal === undefined) inputs.push({ case: "closeStdin", value: true });
  const requests = new Requests({ sandbox: session.sandbox, command: command(given) }, inputs);
  if (given.signal === undefined) requests.end();
  const output: { stdout: Uint8Array[]; stderr: Uint8Array[] } = { stdout: [], stderr: [] };
  for await (const { event } of session.execs.exec(requests)) {
    if (event.case === "stdout" || event.case === "stderr") {
      if (given.signal !== undefined && output.stdout.length === 0) {
        requests.send({ case: "signal", value: { signal: given.signal } });
      }
      output[event.case].push(event.value.data);
    } else if (event.case === "ended") {
      requests.end();
      return told(Buffer.concat(output.stdout), Buffer.concat(output.stderr), event.value);
    }
  }
  throw new Error("the stream ended without `ended`");
}

export async function run(session: Session, given: Given): Promise<Result> {
  const stdin = Buffer.from((given.stdin ?? []).join("") + "x".repeat(given.stdin_bytes ?? 0));
  const request = { sandbox: session.sandbox, command: command(given), stdin };
  const answer = await session.execs.runCommand(request, { timeoutMs: given.deadline_ms });
  return told(answer.stdout, answer.stderr, answer.ending);
}

/** Starts a program, goes away after its first output, and comes back for the rest. */
export async function attach(session: Session, given: Given): Promise<Result> {
  const start = { sandbox: session.sandbox, command: command(given), noStdin: true, detachOnCancel: true };
  const leaving = new AbortController();
  let exec = "";
  let before: Uint8Array = new Uint8Array();
  for await (const { event } of session.execs.exec(new Requests(start), { signal: leaving.signal })) {
    if (event.case === "started") exec = event.value.exec;
    if (event.case !== "stdout") continue;
    before = event.value.data;
    break;
  }
  leaving.abort();
  const place = { sandbox: session.sandbox, exec, offset: BigInt(before.length) };
  const back = (async function* () {
    yield { request: { case: "attach" as const, value: place } };
  })();
  const after: Uint8Array[] = [];
  let ending: Ending | undefined;
  for await (const { event } of session.execs.attachExec(back)) {
    if (event.case === "stdout") after.push(event.value.data);
    if (event.case === "ended") ending = event.value;
  }
  return { before: text(before), after: text(Buffer.concat(after)), ending: endingName(ending) };
}

/** Goes away from a program that runs; it is killed. */
export async function cancel(session: Session, given: Given): Promise<Result> {
  const start = { sandbox: session.sandbox, command: command(given), noStdin: true };
  const leaving = new AbortController();
  let exec = "";
  let code = 0;
  try {
    for await (const { event } of session.execs.exec(new Requests(start), { signal: leaving.signal })) {
      if (event.case === "started") exec = event.value.exec;
      leaving.abort();
    }
  } catch (error) {
    code = ConnectError.from(error).code;
  }
  const found = await polled(
    () => session.execs.getExec({ sandbox: session.sandbox, exec }),
    (answer) => answer.exec?.state === ExecState.ENDED,
  );
  return { code, ending: endingName(found.exec?.ending) };
}

function told(stdout: Uint8Array, stderr: Uint8Array, ending?: Ending): Result {
  return {
    stdout_bytes: stdout.length,
    stdout_sha256: createHash("sha256").update(stdout).digest("hex"),
    stderr: text(stderr),
    ending: endingName(ending),
    exit_code: ending?.exitCode ?? null,
    signal: ending?.signal ?? null,
    partial: ending?.outputPartial,
    ...(stdout.length <= TEXT_BYTES && { stdout: text(stdout) }),
  };
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
