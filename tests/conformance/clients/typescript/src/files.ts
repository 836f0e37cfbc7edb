// Steps on files and archives.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { posix } from "node:path";

import { FileInfo_Kind } from "@stockade/client/stockade/sandbox/v1/file_service";

import { collected, type Given, type Result, type Session } from "./session.js";

const CHUNK_BYTES = 256 * 1024;

/** Writes a file, looks at it, reads a range, lists its directory by pages of one, moves and removes it. */
export async function files(session: Session, given: Given): Promise<Result> {
  const { sandbox } = session;
  const { path } = given;
  await write(session, path, Buffer.from(given.text));
  const { info } = await session.files.statFile({ sandbox, path });
  const part = await read(session, path, BigInt(given.offset), BigInt(given.length));
  const names = await list(session, posix.dirname(path));
  await session.files.moveFile({ sandbox, source: path, destination: `${path}.moved` });
  await session.files.removeFile({ sandbox, path: `${path}.moved` });
  return {
    size: Number(info?.sizeBytes),
    kind: `KIND_${FileInfo_Kind[info?.kind ?? 0]}`,
    range: part.toString(),
    names,
    left: await list(session, posix.dirname(path)),
  };
}

export async function readFile(session: Session, given: Given): Promise<Result> {
  return { text: (await read(session, given.path)).toString() };
}

/** Copies a local file in and out again. */
export async function copy(session: Session, given: Given): Promise<Result> {
  await write(session, given.path, readFileSync(given.source));
  const back = await read(session, given.path);
  return { bytes: back.length, sha256: createHash("sha256").update(back).digest("hex") };
}

/** Unpacks an archive, reads one of its files, and packs it again. */
export async function archive(session: Session, given: Given): Promise<Result> {
  const { sandbox } = session;
  const { path } = given;
  const unpacked = await session.files.uploadArchive(
    (async function* () {
      yield { content: { case: "start" as const, value: { sandbox, path } } };
      yield { content: { case: "data" as const, value: Buffer.from(given.archive, "base64") } };
    })(),
  );
  const member = await read(session, `${path}/${given.member}`);
  const parts = (await collected(session.files.downloadArchive({ sandbox, path }))).map((part) => part.content);
  const packed = Buffer.concat(parts.flatMap((part) => (part.case === "data" ? [part.value] : [])));
  const summary = parts.at(-1);
  return {
    unpacked: Number(unpacked.unpackedBytes),
    text: member.toString(),
    packed: summary?.case === "summary" ? Number(summary.value.contentBytes) : null,
    tar: packed.subarray(257, 262).toString(),
  };
}

async function write(session: Session, path: string, data: Uint8Array): Promise<void> {
  await session.files.writeFile(
    (async function* () {
      yield { content: { case: "start" as const, value: { sandbox: session.sandbox, path, parents: true } } };
      for (let at = 0; at < data.length; at += CHUNK_BYTES) {
        yield { content: { case: "data" as const, value: data.subarray(at, at + CHUNK_BYTES) } };
      }
      yield { content: { case: "finish" as const, value: true } };
    })(),
  );
}

async function read(session: Session, path: string, offset = 0n, length = 0n): Promise<Buffer> {
  const messages = await collected(session.files.readFile({ sandbox: session.sandbox, path, offset, length }));
  return Buffer.concat(messages.flatMap(({ content }) => (content.case === "data" ? [content.value] : [])));
}

async function list(session: Session, path: string): Promise<string[]> {
  const names: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await session.files.listFiles({ sandbox: session.sandbox, path, pageSize: 1, pageToken });
    names.push(...page.files.map((info) => info.path));
    pageToken = page.nextPageToken;
    if (pageToken === "") return names;
  }
}
