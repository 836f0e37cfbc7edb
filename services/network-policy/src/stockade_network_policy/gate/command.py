"""How Envoy is started, for whoever supervises it."""

from stockade_network_policy.gate.settings import GateSettings


def command(settings: GateSettings) -> list[str]:
    """Envoy's command line; it reads `settings.config`, which `stockade-network-policy bootstrap` prints.

    A drain time of zero is what makes a cut door's connections end at once.
    """
    workers = ["--concurrency", str(settings.workers)] if settings.workers else []
    return [
        str(settings.envoy),
        *("--config-path", str(settings.config)),
        *("--drain-time-s", "0"),
        *("--log-level", "warning"),
        *("--log-format", '{"time":"%Y-%m-%dT%T.%e","level":"%l","logger":"envoy.%n","message":"%j"}'),
        "--disable-hot-restart",
        *workers,
    ]
