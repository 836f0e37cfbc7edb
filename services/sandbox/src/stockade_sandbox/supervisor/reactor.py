"""A small event loop over epoll: file descriptors, timers, and the end of children. asyncio would cost 5 MiB."""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
BROKEN = select.EPOLLHUP | select.EPOLLERR

Callback = Callable[[int], None]


class Reactor:
    """Calls back when a descriptor is ready, a time has come, or a child has ended. One thread, no reentrance."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._on_child: Callable[[], None] = lambda: None

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Calls `callback(events)` while `fd` is ready for `events`; replaces an earlier watch of it."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Ends the watch of `fd`; to be called before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Calls `callback()` once, after `seconds`."""
        self._order += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._order, callback))

    def on_child(self, callback: Callable[[], None]) -> None:
        """Calls `callback()` when children may have ended.

        SIGCHLD and SIGPIPE are the only signals with a handler: without one, the kernel keeps signals of the same PID
        namespace from its init, so that nothing in the sandbox can stop the supervisor, and its children find the
        defaults. gVisor's kernel would end its init by SIGPIPE.
        """
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGINT, signal.SIGXFSZ):  # what Python handles or ignores
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._on_child = callback
        self.watch(reader, READ, lambda _events: self._children(reader))

    def _children(self, reader: int) -> None:
        os.read(reader, 4096)
        self._on_child()

    def run(self) -> None:
        """Runs for ever."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Waits for what comes next and calls back."""
        wait = self._timers[0][0] - time.monotonic() if self._timers else -1
        for fd, events in self._epoll.poll(max(wait, 0) if self._timers else -1):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
