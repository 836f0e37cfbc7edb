"""`stockade-embedding-cache`: serve the cache until told to stop."""

from stockade_rpckit.server import run_service
from stockade_rpckit.settings import load

from stockade_embedding_cache import heap
from stockade_embedding_cache.settings import CacheSettings
from stockade_embedding_cache.wiring import wire


def main() -> None:
    """Read the settings and serve."""
    heap.keep_freed_memory()
    run_service("cache", load(CacheSettings, "STOCKADE_CACHE"), wire)


if __name__ == "__main__":
    main()
