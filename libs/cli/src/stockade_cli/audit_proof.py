"""`stockade audit verify|status|evidence`: that the record is whole, how far it has come, and proof to take away."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import integrity_service_pb2, integrity_service_pb2_grpc

from stockade_cli.audit_filter import ago, printable
from stockade_cli.audit_fleet import verify_fleet
from stockade_cli.connection import stub
from stockade_cli.durations import parse_duration
from stockade_cli.errors import CommandFailed
from stockade_cli.output import json_option, print_json, print_table, say

INTEGRITY = integrity_service_pb2_grpc.IntegrityServiceStub


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A day or a time in UTC as RFC 3339 has it, or a duration: so long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        """The time of `value`."""
        if isinstance(value, Timestamp):
            return value
        try:
            return ago(parse_duration(value)) or Timestamp()
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time: write 2026-11-01, 2026-11-01T12:00:00Z, or 7d for so long ago", param, ctx
            )
        stamp = Timestamp()
        stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        return stamp


@click.command()
@click.argument("journals", nargs=-1)
@click.option("--fleet", "of_fleet", is_flag=True, help="Of all nodes, as copied; at the daemon that signs their head.")
@json_option
def verify(journals: tuple[str, ...], of_fleet: bool, as_json: bool) -> None:
    """Read the record again and hold it to what was signed and witnessed; fails when something does not fit."""
    if of_fleet:
        verify_fleet(as_json)
        return
    with stub(INTEGRITY, "audit") as service:
        reports = list(service.VerifyRecord(integrity_service_pb2.VerifyRecordRequest(journals=journals)))
    if as_json:
        click.echo(json.dumps([MessageToDict(r, preserving_proto_field_name=True) for r in reports], indent=2))
    else:
        print_table(("JOURNAL", "VERDICT", "ENTRIES", "WITNESSED", "DETAIL"), map(_report, reports))
    bad = [report for report in reports if report.verdict != integrity_service_pb2.VERDICT_INTACT]
    if bad:
        raise CommandFailed(f"the record is NOT intact: {', '.join(r.journal or 'heads' for r in bad)}")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show how far each journal is indexed, witnessed and copied, and what keeps the witness or the copy behind."""
    with stub(INTEGRITY, "audit") as service:
        answer = service.GetRecordStatus(integrity_service_pb2.GetRecordStatusRequest())
    if as_json:
        print_json(answer)
        return
    rows = [(j.journal, f"{j.indexed}", f"{j.witnessed}", f"{j.copied}") for j in answer.journals]
    print_table(("JOURNAL", "INDEXED", "WITNESSED", "COPIED"), rows)
    click.echo()
    print_table(("SINK", "BEHIND", "LAG", "PROBLEM"), map(_sink, answer.sinks))


@click.command()
@click.option("--from", "start", type=Moment(), required=True, metavar="TIME", help="From this time on.")
@click.option("--to", "end", type=Moment(), required=True, metavar="TIME", help="Before this time.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The archive.")
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, metavar="N", help="Of the sample."
)
@click.option("--sample", type=click.IntRange(1, 10_000), default=100, show_default=True, metavar="N", help="Its size.")
def evidence(start: Timestamp, end: Timestamp, output: Path, seed: int, sample: int) -> None:
    """Build the evidence of a period: one archive, the same bytes each time, checked by the verifier inside it."""
    request = integrity_service_pb2.BuildEvidenceRequest(start_time=start, end_time=end, seed=seed, sample_size=sample)
    try:
        with stub(INTEGRITY, "audit") as service, output.open("xb") as file:
            for part in service.BuildEvidence(request):
                file.write(part.chunk)
    except FileExistsError:
        raise CommandFailed(f"{output} exists; choose another name or move it away") from None
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written: {error.strerror}") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    say(f"{output}: check it with `unzip -p {output} verify.py | python3 -I -S - {output} --key KEY --heads HEADS`")


def _sink(sink: integrity_service_pb2.SinkStatus) -> tuple[str, ...]:
    return sink.name, f"{sink.behind}", f"{sink.lag.ToTimedelta().total_seconds():.1f} s", printable(sink.problem)


def _report(report: integrity_service_pb2.VerifyRecordResponse) -> tuple[str, ...]:
    verdict = integrity_service_pb2.Verdict.Name(report.verdict).removeprefix("VERDICT_")
    if not report.journal:
        return "heads", verdict, f"{report.size}", f"{report.witnessed_sequence}", printable(report.detail)
    witnessed = f"{report.witnessed_size}"
    if report.size > report.witnessed_size:
        witnessed += f" (not yet {report.witnessed_size} to {report.size - 1})"
    bad = report.verdict != integrity_service_pb2.VERDICT_INTACT
    place = f"at {report.first_bad_position}: " if report.detail and bad else ""
    return report.journal, verdict, f"{report.size}", witnessed, place + printable(report.detail)
