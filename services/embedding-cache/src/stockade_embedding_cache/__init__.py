"""The embedding-cache service: content-hashed vectors, layered by identity."""
