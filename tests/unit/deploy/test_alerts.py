"""The alert rules: every metric and label that they name is documented, and every alert has its runbook."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/alerts/stockade.yml"
METRIC = re.compile(r"\b(?:stockade|rpc_server|process)_[a-z_]+")
DOCUMENTED = re.compile(r"^\| `([a-z_]+)` \| ([^|]*)\| ([^|]*)\|", re.MULTILINE)
EVERYWHERE = {"instance", "service", "le"}
"""What Prometheus, `stockade metrics` and histograms put on metrics by themselves."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def labels_of_metrics() -> dict[str, set[str]]:
    """Metrics of docs/telemetry.md, each with the labels that it has beside those of all."""
    found = DOCUMENTED.findall((ROOT / "docs/telemetry.md").read_text())
    return {name: set(re.findall(r"`([a-z_]+)`", labels)) for name, labels, _ in found}


def metrics(expression: str) -> set[str]:
    """Names as they are documented: without label matchers, and without a histogram's suffixes."""
    bare = re.sub(r"\{[^}]*\}|by \([^)]*\)", "", expression)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in METRIC.findall(bare)}


CASES = [pytest.param(rule, id=rule["alert"]) for rule in rules()]


@pytest.mark.parametrize("rule", CASES)
def test_expression_parses(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])


@pytest.mark.parametrize("rule", CASES)
def test_metrics_are_documented(rule: dict[str, Any]) -> None:
    named = metrics(rule["expr"])
    assert named
    assert named <= labels_of_metrics().keys()


@pytest.mark.parametrize("rule", CASES)
def test_labels_are_those_of_the_metrics(rule: dict[str, Any]) -> None:
    documented = labels_of_metrics()
    allowed = EVERYWHERE.union(*(documented[name] for name in metrics(rule["expr"])))
    matched = re.findall(r"[{,]\s*([a-z_]+)\s*[=!]", rule["expr"])
    grouped = [name for names in re.findall(r"by \(([^)]*)\)", rule["expr"]) for name in re.split(r",\s*", names)]
    shown = re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"])
    assert {*matched, *grouped, *shown} <= allowed


@pytest.mark.parametrize("rule", CASES)
def test_what_a_summary_shows_is_left_by_the_aggregation(rule: dict[str, Any]) -> None:
    shown = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
    for names in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert shown <= set(re.split(r",\s*", names))


@pytest.mark.parametrize("rule", CASES)
def test_values_that_are_matched_are_documented(rule: dict[str, Any]) -> None:
    """`verdict="deny"`: the page's row names the value, so that a renamed one does not silence an alert."""
    page = (ROOT / "docs/telemetry.md").read_text()
    for label, value in re.findall(r'([a-z_]+)="([a-z]+)"', rule["expr"]):
        row = next(line for line in page.splitlines() if f"`{label}`" in line and value in line)
        assert metrics(row) & metrics(rule["expr"])


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    alerts = [rule["alert"] for rule in rules()]
    headings = re.findall(r"^## (Stockade\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert headings == alerts
    links = [rule["annotations"]["runbook_url"] for rule in rules()]
    assert links == [f"docs/runbooks.md#{alert.lower()}" for alert in alerts]
