// The conformance session's client in TypeScript: runs the steps of a session and prints one JSON result a step.
//
// Usage: client.mjs SESSION.json (its form: ../README.md)
import { ConnectError } from "@stockade/client";

import { keys, vectors, vectorStream } from "./cache.js";
import { attach, cancel, execute, run } from "./exec.js";
import { archive, copy, files, readFile } from "./files.js";
import { audit, check, getDecision, record, trace } from "./record.js";
import { create, get, reach, remove, watch } from "./sandbox.js";
import { failure, type Given, type Result, Session } from "./session.js";

const steps: Record<string, (session: Session, given: Given) => Promise<Result>> = {
  create,
  get,
  watch,
  delete: remove,
  reach,
  exec: execute,
  run,
  attach,
  cancel,
  files,
  read_file: readFile,
  copy,
  archive,
  check,
  record,
  get_decision: getDecision,
  audit,
  trace,
  keys,
  vectors,
  vector_stream: vectorStream,
};

/** What came of a step: a result, a call's error, or a fault of this client. */
async function outcome(session: Session, step: { do: string; with: Given }): Promise<Result> {
  try {
    return { result: await steps[step.do](session, step.with) };
  } catch (error) {
    return error instanceof ConnectError ? { error: failure(error) } : { broken: String(error) };
  }
}

const [session, rows] = Session.open(process.argv[2]);
for (const row of rows) console.log(JSON.stringify({ step: row.name, ...(await outcome(session, row)) }));
process.exit(0); // idle connections would keep the process for minutes
