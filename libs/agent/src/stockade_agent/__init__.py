"""The Python SDK: sandboxes, decisions and embeddings for agents and the people who run them."""
