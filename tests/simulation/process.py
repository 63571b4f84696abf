"""Processes of the simulation: threads of which one runs at a time, for as many log operations as the scheduler says.

Real code runs in them unchanged. Between any two operations on the log a process can be left standing (frozen, slow)
or killed, which is what happens to processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

HANDOVER_S = 240.0
"""A process that runs so long without an operation hangs; the first of all may have to compile the core."""


class Killed(BaseException):
    """Raised inside a process that was killed; only the process itself may see it end."""


class Process:
    """A thread under the scheduler's hand.

    Parameters
    ----------
    name
        For messages.
    body
        What it does; it returns when the process ends by itself.
    """

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.frozen = False
        self.killed = False
        self.ended = False
        self.failure: BaseException | None = None
        self._body = body
        self._left = 0
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def run(self, operations: int) -> None:
        """Let it run up to so many operations; what it failed with is raised here."""
        if self.ended or self.frozen:
            return
        self._left = operations
        self._switch()
        if self.failure is not None:
            raise self.failure

    def kill(self) -> None:
        """End it where it stands; nothing it would do on its way out reaches the log."""
        if not self.ended:
            self.killed = True
            self._switch()
            self._thread.join(HANDOVER_S)

    def operation(self) -> None:
        """Called by the process before each operation on the log."""
        if self.killed:
            raise Killed
        self._left -= 1
        if self._left <= 0:
            self.pause()

    def pause(self) -> None:
        """Called by the process when it has nothing to do for now."""
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _switch(self) -> None:
        self._go.release()
        if not self._back.acquire(timeout=HANDOVER_S):
            raise TimeoutError(f"{self.name} has run for {HANDOVER_S:.0f} s without an operation on the log")

    def _main(self) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the scheduler, which raises it
            self.failure = error
        finally:
            self.ended = True
            self._back.release()
