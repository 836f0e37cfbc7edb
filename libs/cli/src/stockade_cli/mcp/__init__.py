"""`stockade mcp`: sandboxes as tools of a Model Context Protocol client."""
