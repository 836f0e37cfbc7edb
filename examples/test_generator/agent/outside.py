"""The world outside, as this sandbox sees it: one allowed host, one that is not, and no way around the gate."""

import json
import os
import socket
import urllib.error
import urllib.request
from typing import Any

REFUSED_URL = "http://example.com/"
TIMEOUT_S = 10


def post(url: str, report: dict[str, Any]) -> int:
    """Send `report` as JSON; returns the status, 0 for none.

    HTTP_PROXY names the gate, and urllib goes through it by itself.
    """
    body = json.dumps(report).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **_trace()})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:  # no gate
        return 0


def refusal(url: str = REFUSED_URL) -> dict[str, Any]:
    """What the gate says to a host that is not allowed: status, reason, rule."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=_trace()), timeout=TIMEOUT_S) as response:
            return {"status": response.status, "reason": "it was not refused", "rule": ""}
    except urllib.error.HTTPError as error:
        said = json.loads(error.read() or b"{}")
        return {"status": error.code, "reason": said.get("reason", ""), "rule": said.get("rule", "")}
    except OSError as error:
        return {"status": 0, "reason": str(error), "rule": ""}


def raw_socket(address: str, port: int) -> str:
    """What becomes of a connection that ignores the gate."""
    try:
        with socket.create_connection((address, port), TIMEOUT_S):
            return "connected"
    except OSError as error:
        return error.strerror or str(error)


def _trace() -> dict[str, str]:
    """What ties a request to the trace that this program runs in (https://www.w3.org/TR/trace-context)."""
    traceparent = os.environ.get("TRACEPARENT", "")
    return {"traceparent": traceparent} if traceparent else {}
