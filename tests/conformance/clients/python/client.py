"""The conformance session's client in Python: runs the steps of a session and prints one JSON result a step.

Usage: client.py SESSION.json      (its form: ../README.md)
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cache_steps
import exec_steps
import file_steps
import grpc
import record_steps
import sandbox_steps
from context import Context, failure

STEPS: dict[str, Callable[[Context, dict[str, Any]], dict[str, Any]]] = {
    "create": sandbox_steps.create,
    "get": sandbox_steps.get,
    "watch": sandbox_steps.watch,
    "delete": sandbox_steps.delete,
    "exec": exec_steps.execute,
    "run": exec_steps.run,
    "attach": exec_steps.attach,
    "cancel": exec_steps.cancel,
    "files": file_steps.files,
    "read_file": file_steps.read_file,
    "copy": file_steps.copy,
    "archive": file_steps.archive,
    "check": record_steps.check,
    "record": record_steps.record,
    "get_decision": record_steps.get_decision,
    "audit": record_steps.audit,
    "trace": record_steps.trace,
    "keys": cache_steps.keys,
    "vectors": cache_steps.vectors,
    "vector_stream": cache_steps.vector_stream,
    "reach": sandbox_steps.reach,
}


def main(path: str) -> None:
    session = json.loads(Path(path).read_text())
    context = Context(session["targets"], session.get("tls"))
    for step in session["steps"]:
        print(json.dumps({"step": step["name"], **outcome(context, step)}), flush=True)


def outcome(context: Context, step: dict[str, Any]) -> dict[str, Any]:
    """What came of a step: a result, a call's error, or a fault of this client."""
    try:
        return {"result": STEPS[step["do"]](context, step.get("with", {}))}
    except grpc.RpcError as error:
        return {"error": failure(error)}
    except Exception as error:
        return {"broken": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(sys.argv[1])
