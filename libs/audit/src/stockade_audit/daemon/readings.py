"""The daemon's metrics beside those that every service has."""

from stockade_rpckit import threads
from stockade_rpckit.metrics import Reading

from stockade_audit.daemon.forwarding import Forwarder
from stockade_audit.daemon.record import Record
from stockade_audit.daemon.status import sink_statuses


def readings(record: Record, forwarder: Forwarder) -> list[Reading]:
    """How much of the record there is, and how far behind each place is that it is taken to."""

    async def lags() -> dict[str, float]:
        sinks = await threads.run(sink_statuses, record)
        return {"index": record.indexer.lag_s, **{sink.name: sink.lag_s for sink in sinks}}

    async def behind() -> dict[str, float]:
        return {sink.name: sink.behind for sink in await threads.run(sink_statuses, record)}

    def batches() -> dict[str, float]:
        return {"forwarded": forwarder.forwarded, "dropped": forwarder.dropped}

    return [
        Reading("stockade_record_entries", "Entries indexed, by journal.", record.indexer.sizes, label="journal"),
        Reading("stockade_sink_lag_seconds", "How long a sink has been behind.", lags, label="sink"),
        Reading("stockade_sink_behind", "What a sink has not yet: heads, or entries.", behind, label="sink"),
        Reading("stockade_span_batches_total", "Batches of spans for the collector.", batches, label="fate"),
    ]
