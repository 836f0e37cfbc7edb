"""`stockade trace`: the traces kept on this machine, and one of them as a tree."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

import click
from google.protobuf.json_format import MessageToDict
from stockade.audit.v1 import trace_service_pb2, trace_service_pb2_grpc

from stockade_cli.audit_filter import ago, printable
from stockade_cli.connection import stub
from stockade_cli.durations import Duration
from stockade_cli.output import json_option, print_table, style

SERVICE = trace_service_pb2_grpc.TraceServiceStub

BAR = 24  # columns of the time line


@click.group()
def trace() -> None:
    """Show the spans of a trace as a tree."""


@trace.command("list")
@click.option("--since", type=Duration(), default="1h", show_default=True, metavar="D", help="From so long ago.")
@click.option("--service", default="", help="With a span of this service.")
@click.option("--name", default="", help="With a span of this name.")
@click.option("--errors", is_flag=True, help="With an error.")
@click.option("--slower-than", type=Duration(), metavar="D", help="At least so long.")
@click.option("--limit", default=50, show_default=True, metavar="N", help="At most so many.")
@json_option
def list_traces(
    since: timedelta, service: str, name: str, errors: bool, slower_than: timedelta | None, limit: int, as_json: bool
) -> None:
    """List traces, the latest first."""
    request = trace_service_pb2.ListTracesRequest(
        start_time=ago(since),
        service=service,
        name=name,
        errors_only=errors,
        min_duration=slower_than,
        page_size=min(limit, 1000),
    )
    with stub(SERVICE, "audit") as to:
        found = to.ListTraces(request).traces
    if as_json:
        click.echo(json.dumps([MessageToDict(t, preserving_proto_field_name=True) for t in found], indent=2))
        return
    print_table(("TRACE", "STARTED", "TOOK", "SPANS", "ERRORS", "SERVICES", "NAME"), map(_summary, found))


@trace.command()
@click.argument("trace_id")
@json_option
def show(trace_id: str, as_json: bool) -> None:
    """Draw one trace as a tree; the first digits of its id will do."""
    with stub(SERVICE, "audit") as to:
        spans = to.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id.lower())).spans
    if as_json:
        click.echo(json.dumps([MessageToDict(s, preserving_proto_field_name=True) for s in spans], indent=2))
        return
    click.echo(f"trace {spans[0].trace_id}, {len(spans)} spans")
    for line in tree(spans):
        click.echo(line)


def tree(spans: Sequence[trace_service_pb2.Span]) -> Iterator[str]:
    """A line for each span below its parent: time line, duration, service, name. A span without a parent is a root."""
    known = {span.span_id for span in spans}
    children: dict[str, list[trace_service_pb2.Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_span_id if span.parent_span_id in known else ""].append(span)
    start = min(span.start_time.ToNanoseconds() for span in spans)
    end = max(span.start_time.ToNanoseconds() + span.duration.ToNanoseconds() for span in spans)
    drawn: set[str] = set()

    def draw(parent: str, indent: str) -> Iterator[str]:
        for place, span in enumerate(below := children[parent]):
            if span.span_id in drawn:
                continue
            drawn.add(span.span_id)
            is_last = place == len(below) - 1
            branch = "" if parent == "" else ("└─ " if is_last else "├─ ")
            yield f"{_bar(span, start, end)} {_took(span):>9}  {indent}{branch}{_label(span)}"
            yield from draw(span.span_id, indent + ("" if parent == "" else ("   " if is_last else "│  ")))

    return draw("", "")


def _bar(span: trace_service_pb2.Span, start: int, end: int) -> str:
    scale = BAR / max(1, end - start)
    first = min(BAR - 1, int((span.start_time.ToNanoseconds() - start) * scale))
    length = max(1, min(BAR - first, round(span.duration.ToNanoseconds() * scale)))
    bar = " " * first + "━" * length + " " * (BAR - first - length)
    return style(bar, fg="red" if span.status == trace_service_pb2.SPAN_STATUS_ERROR else "cyan")


def _label(span: trace_service_pb2.Span) -> str:
    label = f"{style(printable(span.service), dim=True)} {printable(span.name)}"
    code = span.attributes.get("rpc.response.status_code", "")
    problem = span.status_message or (code if code != "OK" else "")
    return f"{label}  {style(printable(problem), fg='red')}" if problem else label


def _took(span: trace_service_pb2.Span) -> str:
    ms = span.duration.ToNanoseconds() / 1e6
    return f"{ms:.2f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def _summary(found: trace_service_pb2.TraceSummary) -> tuple[str, ...]:
    took = f"{found.duration.ToNanoseconds() / 1e6:.1f} ms"
    services = ", ".join(map(printable, found.services))
    started = f"{found.start_time.ToDatetime():%H:%M:%S}"
    return found.trace_id, started, took, str(found.spans), str(found.errors), services, printable(found.name)
