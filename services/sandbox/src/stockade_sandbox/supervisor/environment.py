"""The environment of an exec."""

from __future__ import annotations

_PROXY = "http://127.0.0.1:3128"
_NO_PROXY = "localhost,127.0.0.1,::1"

PROXY_VARIABLES = {
    "HTTP_PROXY": _PROXY,
    "HTTPS_PROXY": _PROXY,
    "ALL_PROXY": _PROXY,
    "http_proxy": _PROXY,
    "https_proxy": _PROXY,
    "all_proxy": _PROXY,
    "NO_PROXY": _NO_PROXY,
    "no_proxy": _NO_PROXY,
    "NODE_USE_ENV_PROXY": "1",
}

_DEFAULTS = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/workspace",
    "USER": "agent",
    "LOGNAME": "agent",
}


def exec_environment(sandbox: dict[str, str], asked: dict[str, str], doors: bool, terminal: object) -> dict[str, str]:
    """Defaults, then the sandbox's own variables, then the proxy's while there are doors, then what was asked for."""
    environment = {**_DEFAULTS, **sandbox}
    if terminal is not None:
        environment.setdefault("TERM", "xterm-256color")
    if doors:
        environment.update(PROXY_VARIABLES)
    environment.update(asked)
    return environment
