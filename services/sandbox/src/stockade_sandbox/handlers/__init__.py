"""RPC handlers: each reads a request, asks, and answers."""
