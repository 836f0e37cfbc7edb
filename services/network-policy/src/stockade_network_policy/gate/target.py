"""Reads where a proxied request wants to go, and refuses what two readers could take differently."""


def read(method: str, scheme: str, authority: str) -> tuple[str, int, str]:
    """From a request's method, scheme and authority, as Envoy read them, to host, port and why it is malformed.

    The host is as typed: only the policy makes it canonical. The last value is empty for a well-formed request.
    """
    host, port_text = split(authority)
    tunnel = method == "CONNECT"
    port = int(port_text) if port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5 else 0
    if not tunnel and not port_text:
        port = 80
    return host, port if port < 65536 else 0, _malformed(tunnel, scheme, authority, port)


def too_long(length: str, longest: int) -> str:
    """Why a request of that Content-Length is refused; empty where it is not. Envoy's codec takes digits alone."""
    if len(length) <= len(str(longest)) and int(length) <= longest:
        return ""
    return f"the request would send {length[:20]} bytes, more than the {longest} that one may: send it in parts"


def split(authority: str) -> tuple[str, str]:
    """The host and the port of an authority; brackets of an IPv6 literal are kept."""
    if authority.endswith("]"):
        return authority, ""
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon else (authority, "")


def _malformed(tunnel: bool, scheme: str, authority: str, port: int) -> str:
    if not 0 < port < 65536:
        return f"{authority[:80]!r} names no port from 1 to 65535"
    if tunnel and port == 80:
        return "a tunnel to port 80 hides plain HTTP: send the request to the proxy itself (http://host/path)"
    if not tunnel and scheme == "https":
        return "an https URL sent as a plain request would leave in clear text: use CONNECT"
    return ""
