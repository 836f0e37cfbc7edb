"""An MCP session: the official client starts `stockade mcp`, runs code, is refused a host, and reads why.

.venv/bin/python examples/mcp_session/session.py
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult

CALLS = (
    ("run_code", {"code": "import platform; print(platform.node(), 6 * 7)"}),
    ("write_file", {"path": "/workspace/notes.txt", "content": "what stays between calls is files\n"}),
    ("run_command", {"command": "wc -c notes.txt"}),
    ("fetch_url", {"url": "https://example.com/"}),
)


def text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


async def main() -> None:
    stockade = shutil.which("stockade", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if stockade is None:
        raise SystemExit("there is no stockade command: make setup installs it")
    words = ["mcp", "--agent", "mcp-example", "--agent-type", "test-generator"]
    server = stdio_client(StdioServerParameters(command=stockade, args=words, env=dict(os.environ)))
    async with Client(server) as client:
        print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))
        for name, arguments in CALLS:
            result = await client.call_tool(name, arguments)
            print(f"{name}{' (refused)' if result.is_error else ''}: {text(result)}")


if __name__ == "__main__":
    asyncio.run(main())
