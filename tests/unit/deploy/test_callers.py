"""Who may call what: the contract, the services' own table, Istio's policies and docs/identity.md say the same."""

import asyncio
import runpy
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pool
from opentelemetry import trace
from stockade.options.v1 import options_pb2
from stockade_rpckit import contract, identity
from stockade_rpckit.errors import Failure
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.pipeline import Call, Pipeline
from stockade_rpckit.recording import Record

ROOT = Path(__file__).parents[3]
GENERATOR = runpy.run_path(str(ROOT / "scripts/contract_docs.py"))
METHODS = [method for service in GENERATOR["_services"](GENERATOR["_files"]()) for method in service.methods]
POLICIES = list(yaml.safe_load_all((ROOT / "deploy/istio/callers.yaml").read_text()))
Table = dict[str, set[str]]
"""Paths of RPCs by kind of SPIFFE id."""


def path(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def by_contract() -> Table:
    """Written out once more, from the options alone."""
    callers = {
        "operator": {options_pb2.CALLER_OPERATOR},
        "auditor": {options_pb2.CALLER_AUDITOR},
        "service": {options_pb2.CALLER_SERVICE},
        "agent": {options_pb2.CALLER_AGENT},
        "node": {options_pb2.CALLER_AGENT},
    }
    return {
        kind: {path(m) for m in METHODS if may & set(m.GetOptions().Extensions[options_pb2.callers])}
        for kind, may in callers.items()
    }


def by_page() -> Table:
    """As docs/identity.md has it."""
    section = (ROOT / "docs/identity.md").read_text().split("make gen`: begin -->")[1]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    paths = {f"`{m.containing_service.name}.{m.name}`": path(m) for m in METHODS}
    assert len(rows) == len(paths)
    table: Table = defaultdict(set)
    for name, *marks in rows:
        for kind, mark in zip(head[1:], marks, strict=True):
            table[kind] |= {paths[name]} if mark == "yes" else set()
    return table


async def let_in(method: contract.Method, principal: Principal) -> bool:
    """Whether the pipeline lets a principal through to a handler."""
    began = []

    async def begin(*_: object) -> None:
        began.append(True)

    pipeline = Pipeline(identity.always(principal), SimpleNamespace(begin=begin), {})  # type: ignore[arg-type]
    call = Call(method, trace.INVALID_SPAN, Record({}), principal)
    try:
        await pipeline.admit(call, None)
    except Failure as refused:
        return refused.reason != "CALLER_NOT_ALLOWED"
    return bool(began)


async def by_services() -> Table:
    """As the services' pipeline judges: a node calls as an agent of its own."""
    table: Table = {}
    for kind in identity.SPIFFE_KINDS:
        names = "test-generator/main" if kind == "agent" else "name"
        _, holder = identity.of_spiffe_id(f"spiffe://stockade/{kind}/{names}", "stockade")
        caller = Principal(PrincipalKind.AGENT, "a", "t", "sb-x") if kind == identity.NODE else holder
        table[kind] = {path(m) for m in METHODS if await let_in(contract.method(path(m)), caller)}
    return table


def test_contract_services_and_page_are_one_table() -> None:
    expected = by_contract()
    assert asyncio.run(by_services()) == expected
    assert by_page() == expected


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["metadata"]["name"])
def test_istio_lets_through_what_the_table_has(policy: dict[str, Any]) -> None:
    [rule] = policy["spec"]["rules"]
    [principal], [to] = rule["from"][0]["source"]["principals"], rule["to"]
    kinds = {"cache-client": "service", "operator": "operator", "auditor": "auditor"}
    id_path = principal.removeprefix("cluster.local/").split("/")
    kind = kinds[id_path[-1]] if id_path[0] == "ns" else id_path[0]
    package = to["operation"]["paths"][0].rpartition(".")[0]
    assert set(to["operation"]["paths"]) == {each for each in by_contract()[kind] if each.startswith(f"{package}.")}


def test_the_page_is_what_the_generator_writes() -> None:
    page = (ROOT / "docs/identity.md").read_text()
    assert GENERATOR["_with_callers"](page, METHODS) == page


def test_every_rpc_of_ours_is_in_the_pool() -> None:
    for method in METHODS:
        assert descriptor_pool.Default().FindMethodByName(method.full_name)
