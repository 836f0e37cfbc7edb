"""`control.sock` of one sandbox: who dials it, and whether that is the supervisor."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path

from stockade_rpckit import sockets

from stockade_sandbox.supervision.candidate import Candidate, Proven
from stockade_sandbox.supervision.secrets import Secrets

_CREDENTIALS = struct.Struct("3i")
_WAITING = 4
_FLOOD_PAUSE_S = 0.05

Arrived = Callable[[socket.socket], None]


class Listener:
    """Listens while nobody is on the line, and takes only the connection of the supervisor.

    Where there are secrets, that is who knows a good one; at most four callers may be about to prove it. Else the
    kernel says who dialled: SO_PEERCRED names the process that called connect(). Until `expect` has told which process
    that must be, at most four callers wait. While a supervisor is on the line nothing is accepted, so that a program
    that dials in a loop costs the host nothing; before that, one caller in each 50 ms after the fourth.
    """

    def __init__(self, path: Path, arrived: Arrived, proven: Proven, secrets: Secrets | None) -> None:
        self._path = path
        self._arrived, self._proven, self._secrets = arrived, proven, secrets
        self._candidates: deque[Candidate] = deque()
        self._connecting: set[asyncio.Task[object]] = set()
        self._expected: int | None = None
        self._waiting: list[socket.socket] = []
        self._strangers = 0
        self._loop = asyncio.get_running_loop()
        self._accepting = False
        self._engaged = False
        self._socket = self._bind()
        self.resume()

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            sockets.open_to_directory(self._path)  # anyone may dial; the kernel says who did
            listener.listen(_WAITING)
        except OSError:
            listener.close()
            raise
        return listener

    def expect(self, pid: int) -> None:
        """Only the process with this pid, as the host counts, is the supervisor."""
        self._expected = pid
        waiting, self._waiting = self._waiting, []
        for caller in waiting:
            self._judge(caller)

    def resume(self) -> None:
        """Nobody is on the line: accept. Raises OSError where it has to listen anew and cannot."""
        self._engaged = False
        if self._socket.fileno() < 0:
            self._socket = self._bind()
        self._watch()

    def pause(self) -> None:
        """The supervisor is on the line: accept nobody.

        On gVisor, whoever waits to be accepted waits in its gofer, where no signal reaches him: there, there is then no
        socket to dial.
        """
        self._engaged = True
        self._unwatch()
        if self._secrets is not None:
            self._withdraw()

    def close(self) -> None:
        """Stops listening and removes the socket."""
        self.pause()
        self._withdraw()
        for caller in self._waiting:
            caller.close()
        self._waiting.clear()
        self._dismiss()

    def _withdraw(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self) -> None:
        try:
            caller, _address = self._socket.accept()
        except OSError:
            return
        caller.setblocking(False)
        if self._expected is not None:
            self._judge(caller)
        elif len(self._waiting) < _WAITING:
            self._waiting.append(caller)
        else:
            caller.close()

    def _judge(self, caller: socket.socket) -> None:
        if self._secrets is not None:
            self._examine(caller, self._secrets)
            return
        credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(credentials)[0] == self._expected:
            self._strangers = 0
            self.pause()
            self._arrived(caller)
            return
        caller.close()
        self._slow_down()

    def _examine(self, caller: socket.socket, secrets: Secrets) -> None:
        """Lets a caller prove that it is the supervisor; the one that has been about to the longest gives way."""
        candidate = Candidate(secrets.proves, self._welcome)
        self._candidates.append(candidate)
        if len(self._candidates) > _WAITING:
            self._candidates.popleft().close()
        connecting = self._loop.create_task(self._loop.connect_accepted_socket(lambda: candidate, caller))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        self._slow_down()

    def _welcome(self, transport: asyncio.Transport, said: bytes) -> None:
        self._strangers = 0
        self.pause()
        self._dismiss(transport)
        self._proven(transport, said)

    def _dismiss(self, but: asyncio.Transport | None = None) -> None:
        for candidate in self._candidates:
            if not candidate.holds(but):
                candidate.close()
        self._candidates.clear()

    def _slow_down(self) -> None:
        """One more who may be a stranger: after the fourth in a row, the next has to wait."""
        self._strangers += 1
        if self._strangers > _WAITING:
            self._unwatch()
            self._loop.call_later(_FLOOD_PAUSE_S, self._watch)

    def _watch(self) -> None:
        if not self._accepting and not self._engaged and self._socket.fileno() >= 0:
            self._accepting = True
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _unwatch(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket.fileno())
