"""Each alert fires on what it is for, and on nothing that is well: promtool runs the rules over series of an hour."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/alerts/stockade.yml"
PROMTOOL = ROOT / ".tools/bin/promtool"
pytestmark = pytest.mark.skipif(not PROMTOOL.exists(), reason="scripts/tools installs promtool")

ON = 'instance="node-1",service="policy"'
CALLS = "rpc_server_call_duration_seconds_count"
Series = dict[str, str]
"""A value a minute, in promtool's notation: `0+60x60` begins at 0 and grows by 60, sixty times."""


def buckets(name: str, labels: str, bound: str, within: int) -> Series:
    """A histogram of 100 observations a minute, of which `within` are at most `bound` seconds."""
    le = {bound: within, "1.0": 100, "+Inf": 100}
    return {f'{name}_bucket{{{labels},le="{edge}"}}': f"0+{count}x60" for edge, count in le.items()}


# Alert: what fires it, and what is close to that and must not.
CASES: dict[str, tuple[Series, Series]] = {
    "StockadeServiceDown": ({f"stockade_up{{{ON}}}": "0x60"}, {f"stockade_up{{{ON}}}": "1x60"}),
    "StockadeMetricsAbsent": ({"other": "1x60"}, {f"stockade_up{{{ON}}}": "1x60"}),
    "StockadeServiceRestarting": (
        {f"process_start_time_seconds{{{ON}}}": "0+240x60"},
        {f"process_start_time_seconds{{{ON}}}": "0x50 100x10"},
    ),
    "StockadeCallsFailing": (
        {
            f'{CALLS}{{{ON},rpc_response_status_code="INTERNAL"}}': "0+6x60",
            f'{CALLS}{{{ON},rpc_response_status_code="OK"}}': "0+94x60",
        },
        {
            f'{CALLS}{{{ON},rpc_response_status_code="INTERNAL"}}': "0+4x60",
            f'{CALLS}{{{ON},rpc_response_status_code="NOT_FOUND"}}': "0+50x60",
            f'{CALLS}{{{ON},rpc_response_status_code="OK"}}': "0+96x60",
        },
    ),
    "StockadePartDown": (
        {f'stockade_part_up{{{ON},part="redis"}}': "0x60"},
        {f'stockade_part_up{{{ON},part="redis"}}': "1x58 0 0"},
    ),
    "StockadeThreadsExhausted": (
        {f"stockade_blocking_calls{{{ON}}}": "40x60"},
        {f"stockade_blocking_calls{{{ON}}}": "32x60"},
    ),
    "StockadeFilesRunningOut": (
        {f"process_open_fds{{{ON}}}": "900x60", f"process_max_fds{{{ON}}}": "1000x60"},
        {f"process_open_fds{{{ON}}}": "700x60", f"process_max_fds{{{ON}}}": "1000x60"},
    ),
    "StockadeRecordUnavailable": (
        {f"stockade_record_unavailable{{{ON}}}": "0x59 1"},
        {f"stockade_record_unavailable{{{ON}}}": "0x60"},
    ),
    "StockadeRecordSlow": (
        buckets("stockade_journal_wait_seconds", ON, "0.1", 90),
        buckets("stockade_journal_wait_seconds", ON, "0.1", 100),
    ),
    "StockadeIndexBehind": (
        {f'stockade_sink_lag_seconds{{{ON},sink="index"}}': "11x60"},
        {f'stockade_sink_lag_seconds{{{ON},sink="index"}}': "9x60"},
    ),
    "StockadeHeadsUnwitnessed": (
        {f'stockade_sink_lag_seconds{{{ON},sink="witness"}}': "61x60"},
        {f'stockade_sink_lag_seconds{{{ON},sink="witness"}}': "59x60"},
    ),
    "StockadeCopyBehind": (
        {f'stockade_sink_lag_seconds{{{ON},sink="copy"}}': "61x60"},
        {f'stockade_sink_lag_seconds{{{ON},sink="copy"}}': "59x60"},
    ),
    "StockadeSpansDropped": (
        {f"stockade_spans_dropped_total{{{ON}}}": "0+1x60"},
        {f"stockade_spans_dropped_total{{{ON}}}": "5x60"},
    ),
    "StockadeDenialsSpike": (
        {
            f'stockade_decisions_total{{{ON},verdict="deny"}}': "0+60x60",
            f'stockade_decisions_total{{{ON},verdict="allow"}}': "0+40x60",
        },
        {  # much of little, as one agent's first steps are
            f'stockade_decisions_total{{{ON},verdict="deny"}}': "0+6x60",
            f'stockade_decisions_total{{{ON},verdict="allow"}}': "0+1x60",
        },
    ),
    "StockadePoolEmpty": (
        {f"stockade_pool_ready{{{ON}}}": "0x60", f"stockade_pool_wanted{{{ON}}}": "2x60"},
        {f"stockade_pool_ready{{{ON}}}": "0x60", f"stockade_pool_wanted{{{ON}}}": "0x60"},
    ),
    "StockadeSandboxesLost": (
        {f'stockade_sandboxes{{{ON},state="lost"}}': "0x57 1 0 0"},
        {f'stockade_sandboxes{{{ON},state="running"}}': "9x60"},
    ),
    "StockadeCacheDamaged": (
        {f'stockade_cache_entries_total{{{ON},fate="damaged"}}': "0x55 1x5"},
        {f'stockade_cache_entries_total{{{ON},fate="expired"}}': "0+9x60"},
    ),
    "StockadeCacheStoreSlow": (
        buckets("stockade_cache_store_duration_seconds", f'{ON},store="redis"', "0.05", 90),
        buckets("stockade_cache_store_duration_seconds", f'{ON},store="redis"', "0.05", 100),
    ),
}


def test_each_alert_has_its_case() -> None:
    alerts = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert list(CASES) == alerts


def case(alert: str, series: Series, fires: bool) -> dict[str, object]:
    """One of promtool's tests: whether the alert fires after an hour of these series."""
    return {
        "name": f"{alert} {'fires' if fires else 'rests'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "60m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_they_fire_and_rest(tmp_path: Path) -> None:
    tests = [
        case(alert, series, fires)
        for alert, both in CASES.items()
        for series, fires in zip(both, (True, False), strict=True)
    ]
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([PROMTOOL, "test", "rules", file], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
