"""An adapter for requests.

session = requests.Session()
session.mount("http://", GateAdapter())
session.mount("https://", GateAdapter())
session.get("https://example.com")  # raises NetworkPolicyError where the gate refuses it
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from stockade_agent.errors import NetworkPolicyError
from stockade_agent.transports import refusal

_SECONDS = 5.0


class GateAdapter(HTTPAdapter):
    """Sends as `HTTPAdapter` does, through the proxies that the session found in the environment."""

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """requests' own, with tunnels that the gate understands."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _TunnelPool}
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Raises NetworkPolicyError for a refusal, else what requests raises."""
        since_ns = time.time_ns()
        try:
            response = super().send(request, *args, **options)
        except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _explained(str(request.url), since_ns) or error from error
        if response.status_code in refusal.REFUSED:
            told = refusal.of_response(response.status_code, response.headers, response.content)
            if told is not None:
                raise told
        return response


class _TunnelConnection(HTTPSConnection):
    """Asks for a tunnel by HTTP/1.1: Python before 3.12 asks by 1.0, which the gate answers with 426."""

    def send(self, data: Any) -> None:
        """As HTTPConnection.send."""
        if isinstance(data, bytes) and data.startswith(b"CONNECT "):
            line, _, rest = data.partition(b"\r\n")
            if line.endswith(b" HTTP/1.0"):
                target = line.split(b" ")[1]
                data = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b" % (target, target, rest)
        super().send(data)


class _TunnelPool(HTTPSConnectionPool):
    ConnectionCls = _TunnelConnection


def _explained(url: str, since_ns: int) -> NetworkPolicyError | None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    try:
        answer = requests.get(refusal.EXPLAIN_URL, timeout=_SECONDS)
    except requests.exceptions.RequestException:
        return None
    return refusal.of_explanation(answer.content, parts.scheme, parts.hostname, parts.port, since_ns)
