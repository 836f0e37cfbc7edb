"""One sandbox floods, another goes on with its work: what each of them notices."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from support import flood
from support.proxy import Proxy

FLOODS = {
    "refused requests": b"GET http://evil.test/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "malformed requests": b"GET http:// evil.test/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "refused tunnels": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def p95(door: Proxy, seconds: float) -> float:
    """How long a refusal takes at the 95th percentile, asked a few times a second."""
    taken = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        assert (await door.get("http://other.test/")).status == 403
        taken.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    return sorted(taken)[int(len(taken) * 0.95)]


async def beside_a_busy_core(work: Coroutine[Any, Any, float]) -> float:
    """What `work` gives while something else takes the core that the flood will take."""
    spinning = f"import os; os.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\nwhile True: pass"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", spinning)
    try:
        return await work
    finally:
        process.kill()
        await process.wait()


async def flooded(
    door: Proxy, heads: Sequence[bytes], *, connections: int = 64, seconds: float = 600.0, count: int = 0
) -> dict[str, int]:
    """Sends these heads in turn, for so long or so often. Tells what became of them: `sent`, and answers by status."""
    bounds = (str(seconds), str(connections), str(count))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(flood.__file__), str(door.socket), *bounds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(b"".join(heads))
    counted: dict[str, int] = json.loads(said)
    return counted
