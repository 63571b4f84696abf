"""A thread beside the line that does not die in silence: its failure is logged, shown and counted, and it starts again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("riskstream.threads")
FIRST_BACKOFF_S: Final = 1.0
LAST_BACKOFF_S: Final = 30.0
SOUND_S: Final = 60.0
"""A run that lasted so long before it failed is a first failure again."""
STOP_S: Final = 5.0


class SupervisedThread:
    """Runs something until it is stopped, anew after each failure, waiting twice as long each time.

    What it runs begins from the start each time: it makes its own connections and closes them, and loops until
    :attr:`stopping` is set. Returning earlier is a failure too. Failures of a single round that pass by themselves (a broker
    that does not answer) are its own to handle: call :meth:`well` after a round that went well.

    Parameters
    ----------
    name
        Of the thread, in logs, on ``/ready`` and in ``riskstream_thread_restarts_total``.
    run
        What it does; it is given this thread.
    restarted
        Told its name each time it is started again.
    clock
        Monotonic time, s.

    Examples
    --------
    >>> def once(thread):
    ...     thread.stopping.set()
    >>> thread = SupervisedThread("example", once)
    >>> thread.start(); thread.stop(); thread.failure
    ''
    """

    def __init__(
        self, name: str, run: Callable[[SupervisedThread], None], restarted: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic, first_backoff_s: float = FIRST_BACKOFF_S,
    ) -> None:  # fmt: skip
        self.name = name
        self.failure = ""
        """Why it does not work now; empty while it does."""
        self.stopping = threading.Event()
        self._run = run
        self._restarted = restarted
        self._clock = clock
        self._first_backoff_s = first_backoff_s
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def stop(self, seconds: float = STOP_S) -> None:
        """Tell it to end, and wait for that so long at most."""
        self.stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def well(self) -> None:
        """Say that a round went well."""
        self.failure = ""

    def _supervise(self) -> None:
        backoff = self._first_backoff_s
        while not self.stopping.is_set():
            began = self._clock()
            try:
                self._run(self)
                if self.stopping.is_set():
                    return
                self.failure = "it ended though nobody had asked it to"
                logger.error("thread %s: %s; it starts again in %.0f s", self.name, self.failure, backoff)
            except Exception as error:
                if self.stopping.is_set():
                    return
                self.failure = f"{type(error).__name__}: {error}"
                logger.exception("thread %s failed and starts again in %.0f s", self.name, backoff)
            if self._clock() - began >= SOUND_S:
                backoff = self._first_backoff_s
            self.stopping.wait(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)
            if not self.stopping.is_set():
                self._restarted(self.name)
