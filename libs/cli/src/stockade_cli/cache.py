"""`stockade cache`: what the embedding cache holds, and how to empty and fill it."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc
from stockade.embeddingcache.v1 import vector_pb2

from stockade_cli.connection import stub
from stockade_cli.durations import show_age, show_bytes
from stockade_cli.errors import CommandFailed
from stockade_cli.output import json_option, print_fields, print_json, print_table, say

PAGE = 1000
WARM_BATCH = 64
_LAYER = click.option("--layer", required=True, metavar="L", help="agents/<agent id> or types/<agent type>.")


@click.group()
def cache() -> None:
    """Look at, empty and fill the embedding cache."""


def _service() -> Any:
    return stub(rpc.EmbeddingCacheServiceStub, "cache")


@cache.command()
@json_option
def stats(as_json: bool) -> None:
    """Show what was counted since the service started, and the largest layers."""
    with _service() as service:
        found = service.GetStats(pb.GetStatsRequest())
    if as_json:
        print_json(found)
        return
    print_fields(_counted(found))
    if found.layers:
        click.echo()
        print_table(("LAYER", "ENTRIES", "SIZE", "OF"), map(_layer_row, found.layers))


@cache.command()
@_LAYER
@click.option("--writer", default="", metavar="W", help="Only what this writer stored, e.g. agent/unit-7.")
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@json_option
def keys(layer: str, writer: str, limit: int, as_json: bool) -> None:
    """List the entries of a layer by key, without their numbers."""
    with _service() as service:
        found = list(islice(_entries(service, layer, writer), limit))
    if as_json:
        print_json([_entry_document(entry) for entry in found])
    else:
        print_table(("KEY", "FORMAT", "WRITER", "AGE", "EXPIRES IN"), map(_entry_row, found))


@cache.command()
@json_option
def prune(as_json: bool) -> None:
    """Remove what has expired, now."""
    with _service() as service:
        done = service.Prune(pb.PruneRequest())
    if as_json:
        print_json(done)
    else:
        say(f"stockade: {done.pruned_count} expired entries removed, {show_bytes(done.pruned_bytes)}")


@cache.command()
@click.option("--layer", default="", metavar="L", help="agents/<agent id> or types/<agent type>.")
@click.option("--writer", default="", metavar="W", help="What this writer stored, in --layer or in all layers.")
@json_option
def clear(layer: str, writer: str, as_json: bool) -> None:
    """Remove a layer's entries, or a writer's."""
    if not layer and not writer:
        raise click.UsageError("say what to clear: --layer L, --writer W, or both")
    with _service() as service:
        if writer:
            done = service.ClearWriter(pb.ClearWriterRequest(writer=writer, layer=layer))
        else:
            done = service.ClearLayer(pb.ClearLayerRequest(layer=layer))
    if as_json:
        print_json(done)
    else:
        say(f"stockade: {done.cleared_count} entries removed; no replica or client serves them after 60 s")


@cache.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_LAYER
@json_option
def warm(folder: Path, layer: str, as_json: bool) -> None:
    """Embed FOLDER's texts with the offline model, and store what is not there yet.

    Python files are embedded function by function, other texts whole. A layer types/<agent type> is published to
    all agents of that type.
    """
    from stockade_agent.offline_model import ModelAbsent, offline_model

    from stockade_cli.corpus import texts_below

    try:
        offline_model()
    except ModelAbsent as error:
        raise CommandFailed(str(error)) from error
    texts = list(texts_below(folder))
    with _service() as service, click.progressbar(length=len(texts), label="embedding", file=sys.stderr) as bar:
        stored = 0
        for start in range(0, len(texts), WARM_BATCH):
            part = texts[start : start + WARM_BATCH]
            stored += _warm(service, layer, part)
            bar.update(len(part))
    if as_json:
        print_json({"texts": len(texts), "stored": stored})
    else:
        say(f"stockade: {len(texts)} texts, {stored} embedded and stored in {layer}, {len(texts) - stored} were there")


def _warm(service: Any, layer: str, texts: Sequence[str]) -> int:
    """Store the vectors of those texts that the layer does not have; returns how many."""
    from stockade_agent.offline_model import embed, offline_model
    from stockade_agent.packing import pack

    model = offline_model()
    by_key = {model.key(text): text for text in texts}
    hits = service.Has(pb.HasRequest(layer=layer, keys=b"".join(by_key))).hits
    missing = {key: text for i, (key, text) in enumerate(by_key.items()) if not hits[i >> 3] >> (i & 7) & 1}
    if not missing:
        return 0
    form = vector_pb2.VectorFormat(dimensions=model.dimensions, dtype=vector_pb2.DTYPE_F32)
    rows = vector_pb2.Rows(format=form, vectors=pack(embed(list(missing.values())), model.dtype))
    if layer.startswith("types/"):
        reply = service.Publish(pb.PublishRequest(layer=layer, keys=b"".join(missing), rows=rows))
    else:
        reply = service.BatchPut(pb.BatchPutRequest(layer=layer, keys=b"".join(missing), rows=rows))
    return len(missing) - len(reply.errors)


def _entries(service: Any, layer: str, writer: str) -> Iterator[vector_pb2.EntryInfo]:
    token = ""
    while True:
        page = service.ListKeys(pb.ListKeysRequest(layer=layer, writer=writer, page_size=PAGE, page_token=token))
        yield from page.entries
        token = page.next_page_token
        if not token:
            return


def _counted(found: pb.GetStatsResponse) -> dict[str, str]:
    asked = found.hits + found.misses
    away = f", memory alone serves since {_clock(found.degraded_since)}" if found.degraded else ""
    return {
        "backend": f"{found.backend}{away}",
        "since": _clock(found.start_time),
        "asked": f"{asked} rows, {found.hits} found ({100 * found.hits / asked if asked else 0:.1f} %)",
        "stored": f"{found.puts} rows, {found.refused_rows} refused",
        "removed": f"{found.evictions} to make room, {found.pruned} expired, {found.damaged} damaged",
        "leases": f"{found.leases_granted} rows given out to be computed",
        "holds": f"{found.total.entries} entries, {show_bytes(found.total.bytes)} of "
        f"{show_bytes(found.total.max_bytes)}",
    }


def _layer_row(size: vector_pb2.LayerSize) -> tuple[object, ...]:
    return size.layer, size.entries, show_bytes(size.bytes), show_bytes(size.max_bytes)


def _entry_row(entry: vector_pb2.EntryInfo) -> tuple[object, ...]:
    now = datetime.now(UTC)
    return (
        entry.key.hex(),
        _format(entry.format),
        entry.writer,
        show_age(now - entry.create_time.ToDatetime(UTC)),
        show_age(entry.expire_time.ToDatetime(UTC) - now),
    )


def _entry_document(entry: vector_pb2.EntryInfo) -> dict[str, Any]:
    """An entry with its key in hex, as people and other commands write it."""
    return {
        "key": entry.key.hex(),
        "dimensions": entry.format.dimensions,
        "dtype": _format(entry.format).split()[-1],
        "writer": entry.writer,
        "create_time": entry.create_time.ToJsonString(),
        "expire_time": entry.expire_time.ToJsonString(),
    }


def _format(form: vector_pb2.VectorFormat) -> str:
    return f"{form.dimensions} {vector_pb2.Dtype.Name(form.dtype).removeprefix('DTYPE_').lower()}"


def _clock(stamp: Timestamp) -> str:
    return stamp.ToDatetime(UTC).isoformat(" ", "seconds")
