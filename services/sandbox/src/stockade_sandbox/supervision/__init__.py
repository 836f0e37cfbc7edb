"""The host's side of what runs inside each sandbox: the line to its supervisor, and the execs on that line.

For the lifecycle of a sandbox, in this order:

1. `supervisor_command()` says how its PID 1 is started: the folder `supervisor_folder` (built by
   `deploy/images/supervisor/build`) mounted read-only at `SUPERVISOR_DIR`, the sandbox's own directory mounted
   read-only at `RUN_DIR`, and the files of `identity_files()` mounted read-only over the image's.
2. `await supervision.open(id, directory, doors=…)` before the container starts: creates `control.sock` and listens.
3. `supervision.expect(id, init_pid)` once the engine has said the pid of the container's init.
4. `await supervision.attached(id, timeout)` returns when that very process has dialled and said hello.
5. `await supervision.set_doors(id, doors)` when the network mode changes, or a warm sandbox is claimed.
6. `await supervision.close(id)` when the sandbox ends, whatever ended it; every exec that ran is `sandbox_lost`.

After a restart of the service: 2, 3, 4 again for each sandbox that still runs. The supervisor redials for ever, keeps
its execs, and repeats the output that it still holds.
"""

from stockade_sandbox.domain.execution import SupervisorAbsent
from stockade_sandbox.supervision.health import Health
from stockade_sandbox.supervision.keeper import Fate, Keeper
from stockade_sandbox.supervision.mounts import (
    RUN_DIR,
    SUPERVISOR_DIR,
    identity_files,
    supervisor_command,
)
from stockade_sandbox.supervision.secrets import SECRET_FILE, Secrets
from stockade_sandbox.supervision.supervision import Supervision

__all__ = [
    "RUN_DIR",
    "SECRET_FILE",
    "SUPERVISOR_DIR",
    "Fate",
    "Health",
    "Keeper",
    "Secrets",
    "Supervision",
    "SupervisorAbsent",
    "identity_files",
    "supervisor_command",
]
