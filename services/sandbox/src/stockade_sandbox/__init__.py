"""The sandbox service: each agent in a hardened container of its own."""
