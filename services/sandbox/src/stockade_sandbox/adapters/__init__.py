"""Adapters behind the ports of `domain.ports`."""
