"""Transports for httpx.

with httpx.Client(transport=GateTransport()) as client:
    client.get("https://example.com")  # raises NetworkPolicyError where the gate refuses it
"""

from __future__ import annotations

import time

import httpx

from stockade_agent.errors import NetworkPolicyError
from stockade_agent.transports import refusal

_SECONDS = 5.0
_BROKEN = (httpx.ProxyError, httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)
"""What a refused CONNECT, or a tunnel that ended without a word, looks like."""


class GateTransport(httpx.BaseTransport):
    """Sends by `inner`, by default through the proxy that the environment names."""

    def __init__(self, inner: httpx.BaseTransport | None = None) -> None:
        self._inner = inner or httpx.HTTPTransport(proxy=refusal.proxy_of())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises NetworkPolicyError for a refusal, else what `inner` raises."""
        since_ns = time.time_ns()
        try:
            response = self._inner.handle_request(request)
        except _BROKEN as error:
            raise self._explained(request, since_ns) or error from error
        if response.status_code in refusal.REFUSED:
            response.read()
            _raise_refusal(response)
        return response

    def close(self) -> None:
        """Close the transport beneath."""
        self._inner.close()

    def _explained(self, request: httpx.Request, since_ns: int) -> NetworkPolicyError | None:
        if request.url.scheme != "https":
            return None
        try:
            answer = self._inner.handle_request(_question())
            return _answered(request, answer.read(), since_ns)
        except httpx.HTTPError:
            return None


class AsyncGateTransport(httpx.AsyncBaseTransport):
    """`GateTransport` for `httpx.AsyncClient`."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._inner = inner or httpx.AsyncHTTPTransport(proxy=refusal.proxy_of())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises NetworkPolicyError for a refusal, else what `inner` raises."""
        since_ns = time.time_ns()
        try:
            response = await self._inner.handle_async_request(request)
        except _BROKEN as error:
            raise await self._explained(request, since_ns) or error from error
        if response.status_code in refusal.REFUSED:
            await response.aread()
            _raise_refusal(response)
        return response

    async def aclose(self) -> None:
        """Close the transport beneath."""
        await self._inner.aclose()

    async def _explained(self, request: httpx.Request, since_ns: int) -> NetworkPolicyError | None:
        if request.url.scheme != "https":
            return None
        try:
            answer = await self._inner.handle_async_request(_question())
            return _answered(request, await answer.aread(), since_ns)
        except httpx.HTTPError:
            return None


def _question() -> httpx.Request:
    timeout = httpx.Timeout(_SECONDS).as_dict()
    return httpx.Request("GET", refusal.EXPLAIN_URL, extensions={"timeout": timeout})


def _answered(request: httpx.Request, body: bytes, since_ns: int) -> NetworkPolicyError | None:
    url = request.url
    return refusal.of_explanation(body, url.scheme, url.host, url.port, since_ns)


def _raise_refusal(response: httpx.Response) -> None:
    if error := refusal.of_response(response.status_code, response.headers, response.content):
        raise error
