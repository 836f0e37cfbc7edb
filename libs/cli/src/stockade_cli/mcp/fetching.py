"""A request that is sent from inside a sandbox, so that the gate decides and records it."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcp.server.mcpserver.exceptions import ToolError
from stockade_agent.errors import NetworkPolicyError
from stockade_agent.sandbox import AsyncSandbox
from stockade_agent.transports.refusal import EXPLAIN_URL, of_explanation, of_response

SECONDS = 30.0
MAX_BYTES = 256 * 1024

_PROGRAM = """
import base64, json, sys, urllib.error, urllib.request

ask = json.load(sys.stdin)

class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

opener = urllib.request.build_opener(NoRedirect)

def send(url, method, headers, body):
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        answer = opener.open(request, timeout=ask["seconds"])
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        data = answer.read(ask["max_bytes"] + 1)
        return {"status": answer.status, "headers": dict(answer.headers),
                "body": base64.b64encode(data[:ask["max_bytes"]]).decode(), "cut": len(data) > ask["max_bytes"]}

try:
    told = send(ask["url"], ask["method"], ask["headers"], ask["body"].encode() or None)
except (OSError, ValueError) as error:
    told = {"error": str(getattr(error, "reason", error))}
    try:
        told["explanation"] = send(ask["explain"], "GET", {}, None)["body"]
    except (OSError, ValueError):
        pass
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Answer:
    """What an origin answered; `cut` where there was more than `MAX_BYTES`."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool


async def fetch(sandbox: AsyncSandbox, url: str, method: str, headers: dict[str, str], body: str) -> Answer:
    """Send a request from `sandbox`. Redirects are not followed: each is a request of its own.

    Raises NetworkPolicyError when the gate refuses it, ToolError when it fails, StockadeError as any exec.
    """
    scheme, host, port = _origin(url)
    ask = {"url": url, "method": method, "headers": headers, "body": body, "explain": EXPLAIN_URL}
    since_ns = time.time_ns()
    told = await _told(sandbox, {**ask, "seconds": SECONDS, "max_bytes": MAX_BYTES})
    if "error" not in told:
        answer = Answer(told["status"], told["headers"], base64.b64decode(told["body"]), told["cut"])
        lower = {name.lower(): value for name, value in answer.headers.items()}
        if refusal := of_response(answer.status, lower, answer.body):
            raise refusal
        return answer
    explained = base64.b64decode(told.get("explanation", ""))
    refused = of_explanation(explained, scheme, host, port, since_ns)
    raise refused or ToolError(f"the request failed: {told['error']}")


def readable(refusal: NetworkPolicyError) -> str:
    """A refusal as the model reads it."""
    wait = f" Try again in {refusal.retry_after_s:g} s." if refusal.retry_after_s else ""
    known = f" (decision {refusal.decision_id})" if refusal.decision_id else ""
    return f"Refused: {refusal.message}{known}.{wait} `network_policy` tells what is allowed."


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.scheme, parts.hostname, parts.port
    except ValueError:
        pass
    raise ToolError(f"{url!r} is no http or https URL with a host")


async def _told(sandbox: AsyncSandbox, ask: dict[str, Any]) -> dict[str, Any]:
    done = await sandbox.run("python3", "-c", _PROGRAM, stdin=json.dumps(ask).encode(), timeout=2 * SECONDS)
    if not done.ending.ok:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [done.ending.detail]
        raise ToolError(f"the request was not sent, which takes a python3 in the image: {last[0]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told
