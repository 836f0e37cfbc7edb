// Connections to Stockade over local sockets, TLS and mutual TLS, and the reason of an error.
import { existsSync, readFileSync } from "node:fs";
import { connect as dial } from "node:net";
import { userInfo } from "node:os";

import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { type ErrorInfo, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

export { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
export { BadRequestSchema, type ErrorInfo, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** What a server takes. Held here too: Node would wait for ever to send the rest of a message that was refused. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** PEM files of a secured connection. `ca` alone proves the server; with `cert` and `key` the client is proved too. */
export interface Tls {
  ca: string;
  cert?: string;
  key?: string;
  /** The name that the server's certificate is for, where it is not the target's. */
  serverName?: string;
}

/**
 * A transport to `target`, `unix:/path` or `host:port`, for `createClient`. Without `security` the target must be local,
 * since nothing is encrypted. No connection is made before the first call.
 */
export function connect(target: string, security?: Tls): Transport {
  const common = { interceptors: [unavailable], readMaxBytes: MAX_MESSAGE_BYTES, writeMaxBytes: MAX_MESSAGE_BYTES };
  if (target.startsWith("unix:")) {
    const createConnection = () => dial(target.slice("unix:".length));
    return createGrpcTransport({ ...common, baseUrl: "http://localhost", nodeOptions: { createConnection } });
  }
  if (security === undefined) return createGrpcTransport({ ...common, baseUrl: `http://${target}` });
  return createGrpcTransport({ ...common, baseUrl: `https://${target}`, nodeOptions: secureOptions(security) });
}

/**
 * The target of a service of the stack on this machine, by its short name: sandbox, policy, cache or audit. Inside a
 * sandbox one socket leads to all of them as the agent; outside, the operator's own directory is used.
 */
export function local(service: "sandbox" | "policy" | "cache" | "audit"): string {
  const runDir = process.env.STOCKADE_STACK_RUN_DIR || "/run/stockade";
  if (existsSync(`${runDir}/api.sock`)) return `unix:${runDir}/api.sock`;
  return `unix:${runDir}/operators/${process.env.SUDO_USER || userInfo().username}/${service}.sock`;
}

/** What a failed call says about its cause: its reason is a name of stockade.errors.v1.Reason without REASON_. */
export function errorInfo(error: unknown): ErrorInfo | undefined {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0];
}

function secureOptions(security: Tls) {
  return {
    ca: readFileSync(security.ca),
    cert: security.cert === undefined ? undefined : readFileSync(security.cert),
    key: security.key === undefined ? undefined : readFileSync(security.key),
    servername: security.serverName,
  };
}

/** A connection that cannot be made is UNAVAILABLE, as in every other language: not INTERNAL, as Node's errors come. */
const unavailable: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    const failed = ConnectError.from(error);
    const systemError = failed.cause instanceof Error && "code" in failed.cause;
    if (failed.code !== Code.Internal || !systemError) throw failed;
    throw new ConnectError(failed.rawMessage, Code.Unavailable, undefined, undefined, failed.cause);
  }
};
