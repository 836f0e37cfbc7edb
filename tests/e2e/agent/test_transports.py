"""The gate's refusals in httpx and requests, from inside a sandbox: each as a `NetworkPolicyError`."""

import json
import shutil
from pathlib import Path

import pytest
import stockade_agent
from stockade_agent import Stockade
from stockade_agent.transports import refusal

from support.stack import ALLOWED, REFUSED, ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

SITE = ROOT / ".venv/lib/python3.11/site-packages"
PACKAGES = ("anyio", "certifi", "charset_normalizer", "h11", "httpcore", "httpx", "idna", "requests", "urllib3")

PROGRAM = """
import asyncio, json, sys
import httpx, requests
from stockade_agent.errors import NetworkPolicyError
from stockade_agent.transports.httpx import AsyncGateTransport, GateTransport
from stockade_agent.transports.requests import GateAdapter

def by_httpx(url):
    with httpx.Client(transport=GateTransport()) as client:
        return client.get(url).status_code

def by_async_httpx(url):
    async def get():
        async with httpx.AsyncClient(transport=AsyncGateTransport()) as client:
            return (await client.get(url)).status_code
    return asyncio.run(get())

def by_requests(url):
    session = requests.Session()
    session.mount("http://", GateAdapter())
    session.mount("https://", GateAdapter())
    return session.get(url).status_code

def told(get, url):
    try:
        return get(url)
    except NetworkPolicyError as error:
        return [error.verdict, error.rule, bool(error.reason), bool(error.decision_id)]

clients = (by_httpx, by_async_httpx, by_requests)
print(json.dumps({get.__name__: [told(get, url) for url in sys.argv[1:]] for get in clients}))
"""


def test_every_client_tells_why(stack: Stack, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    for name in PACKAGES:
        shutil.copytree(SITE / name, packages / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copytree(Path(stockade_agent.__file__).parent, packages / "stockade_agent")
    typing = SITE / "typing_extensions.py"
    shutil.copy(typing, packages)
    (tmp_path / "program.py").write_text(PROGRAM)
    with (
        Stockade.connect(stack.run_dir) as stockade,
        stockade.sandbox("transports-1", agent_type="test-generator") as sandbox,
    ):
        sandbox.upload(tmp_path)
        urls = (f"http://{ALLOWED}/", f"http://{REFUSED}/", f"https://{REFUSED}/")
        done = sandbox.run("python3", "program.py", *urls, env={"PYTHONPATH": "packages"}, timeout=60)
    assert done.ending.ok, done.stderr.decode()
    refused = ["BLOCKED", "block_unknown_domains", True, True]
    expected = [200, refused, refused]
    assert json.loads(done.stdout) == dict.fromkeys(("by_httpx", "by_async_httpx", "by_requests"), expected)


TOLD = {"explain": "http://policy.stockade.internal/explain?id=1", "reason": "why", "rule": "r", "decision": "1"}


@pytest.mark.parametrize(
    ("status", "told", "headers", "expected"),
    [
        (403, TOLD, {}, ("BLOCKED", "r", "1", None)),
        (429, TOLD | {"retry_after_s": 2.5}, {}, ("RATE_LIMITED", "r", "1", 2.5)),
        (429, TOLD | {"rule": None, "decision": None}, {"retry-after": "1", "x-stockade-rule": "local_cap"},
         ("RATE_LIMITED", "local_cap", "", 1.0)),
        (502, TOLD | {"rule": None, "reason": "ADDRESS_REFUSED"}, {}, ("BLOCKED", "ADDRESS_REFUSED", "1", None)),
        (403, {"message": "an origin's own"}, {}, None),
        (200, TOLD, {}, None),
        (403, ["no", "object"], {}, None),
    ],
)  # fmt: skip
def test_reading_a_refusal(status: int, told: object, headers: dict[str, str], expected: object) -> None:
    error = refusal.of_response(status, headers, json.dumps(told).encode())
    assert (error and (error.verdict, error.rule, error.decision_id, error.retry_after_s)) == expected


def test_a_tunnel_that_ended_without_a_word_is_told_by_its_outcome() -> None:
    told = {
        "decision": "1", "time_ns": 5, "verdict": "ALLOW", "rule": "allowed_domains:a.com", "reason": "allowed",
        "host": "a.com", "port": 443, "outcome": {"status": 0, "details": "refused=ADDRESS_REFUSED: leads inside"},
    }  # fmt: skip
    body = json.dumps({"refusals": [told]}).encode()
    error = refusal.of_explanation(body, "https", "A.com.", None, since_ns=5)
    assert error
    assert (error.verdict, error.rule) == ("BLOCKED", "ADDRESS_REFUSED")
    assert refusal.of_explanation(body, "https", "a.com", None, since_ns=6) is None  # of an earlier request
    assert refusal.of_explanation(body, "https", "b.com", None, since_ns=5) is None
