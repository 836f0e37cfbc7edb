"""The header in which an Envoy says whose certificate it saw: x-forwarded-client-cert.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert:
elements separated by commas, each of key=value pairs separated by semicolons; a value with one of these in it is
quoted, and a quote in that is escaped. Every proxy on the way appends an element, so that the last is the nearest
one's, and all before it are hearsay.
"""

import re

HEADER = "x-forwarded-client-cert"

_PAIR = re.compile(r'\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))')

Element = dict[str, list[str]]
"""Values by key in lower case, e.g. {"by": […], "uri": […]}; a key may come several times."""


def last_element(header: str) -> Element:
    """What the nearest proxy says. Raises ValueError for a header that is not well formed, wherever it is not."""
    element: Element = {}
    at = 0
    while True:
        pair = _PAIR.match(header, at)
        if pair is None:
            raise ValueError(f"it is malformed at byte {at}")
        key, quoted, plain = pair.groups()
        element.setdefault(key.lower(), []).append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = pair.end()
        if at == len(header):
            return element
        if header[at] == ",":
            element = {}
        elif header[at] != ";":
            raise ValueError(f"it is malformed at byte {at}")
        at += 1
