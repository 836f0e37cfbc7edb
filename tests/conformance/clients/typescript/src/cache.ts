// Steps on the embedding cache: golden keys, vectors bit for bit, and a stream of more than a message holds.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { Dtype, RowFault } from "@stockade/client/stockade/embeddingcache/v1/vector";

import { collected, type Given, type Result, type Session } from "./session.js";

const SPEC = "stockade.embeddingcache.key/1";

interface Model {
  provider: string;
  model: string;
  revision: string;
  dimensions: number;
  dtype?: string;
  role?: string;
  normalise?: boolean;
  parameters?: Record<string, string>;
}

/** Computes every golden key. */
export async function keys(_: Session, given: Given): Promise<Result> {
  const golden = JSON.parse(readFileSync(given.path, "utf8")).keys as { case: string; model: Model; text: string; key: string }[];
  const wrong = golden.filter((one) => key(one.model, one.text).toString("hex") !== one.key);
  return { computed: golden.length, wrong: wrong.map((one) => one.case) };
}

/** A key as docs/embedding-keys.md says. */
function key(model: Model, text: string): Buffer {
  const parameters = Object.entries(model.parameters ?? {})
    .map((pair) => pair.map((word) => Buffer.from(word)))
    .sort(([one], [other]) => Buffer.compare(one, other));
  const fields = [
    SPEC,
    model.provider,
    model.model,
    model.revision,
    String(model.dimensions),
    model.dtype ?? "f32",
    model.role ?? "",
    model.normalise ? "1" : "0",
    Buffer.concat(parameters.flat().map(framed)),
    text,
  ];
  return createHash("sha256").update(Buffer.concat(fields.map(framed))).digest();
}

function framed(field: string | Buffer): Buffer {
  const bytes = Buffer.from(field as string);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(bytes.length));
  return Buffer.concat([length, bytes]);
}

/** Puts rows, one of them bad, and asks for them and for one that is not there. */
export async function vectors(session: Session, given: Given): Promise<Result> {
  const { layer } = given;
  const format = { dimensions: given.dimensions, dtype: Dtype.F32 };
  const rows = { format, vectors: unhex(given.rows) };
  const put = await session.cache.batchPut({ layer, keys: unhex(given.keys), rows });
  const got = await session.cache.batchGet({ layer, keys: unhex(given.ask), format });
  return {
    stored: hex(put.stored),
    faults: put.errors.map((error) => [error.row, `ROW_FAULT_${RowFault[error.fault]}`]),
    hits: hex(got.hits),
    vectors: hex(got.vectors),
  };
}

/** Streams a file of rows in and out again, in chunks, with one key more than there are rows. */
export async function vectorStream(session: Session, given: Given): Promise<Result> {
  const data = readFileSync(given.source);
  const { layer } = given;
  const size = given.dimensions * 4;
  const format = { dimensions: given.dimensions, dtype: Dtype.F32 };
  const names = Array.from({ length: data.length / size + 1 }, (_, row) => createHash("sha256").update(`row ${row}`).digest());
  const puts = (async function* () {
    for (let row = 0; row * size < data.length; row += given.chunk_rows) {
      const part = data.subarray(row * size, (row + given.chunk_rows) * size);
      yield { layer, keys: Buffer.concat(names.slice(row, row + part.length / size)), rows: { format, vectors: part } };
    }
  })();
  const asks = (async function* () {
    yield { layer, keys: Buffer.concat(names), format };
  })();
  const stored = await collected(session.cache.streamPut(puts));
  const replies = await collected(session.cache.streamGet(asks));
  const found = Buffer.concat(replies.map((reply) => reply.vectors));
  return {
    stored: sum(stored.map((reply) => ones(reply.stored))),
    asked: sum(replies.map((reply) => reply.rowCount)),
    found: sum(replies.map((reply) => ones(reply.hits))),
    chunks: replies.length > 1 ? "several" : "one",
    bytes: found.length,
    sha256: createHash("sha256").update(found).digest("hex"),
  };
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => Buffer.from(text, "hex");
const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
const ones = (bitmap: Uint8Array) => [...hex(bitmap)].reduce((total, digit) => total + [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4][parseInt(digit, 16)], 0);
