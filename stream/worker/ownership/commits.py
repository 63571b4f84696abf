"""A thread beside the event loop for the commits of one hop, which may be left behind.

librdkafka's request for the group's coordinator can wait for ever once all brokers were gone, whatever time-out it was
given. A commit that does not end is given up together with its thread and its publisher; the thread is a daemon, so
that it holds up neither the recovery nor the end of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class CommitThread(Executor):
    """Runs one call after the other on a daemon thread, which starts with the first one.

    >>> CommitThread().submit(max, 1, 2).result()
    2
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` when its turn comes."""
        result: Future[T] = Future()

        def call() -> None:
            try:
                result.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                result.set_exception(error)

        if self._thread.ident is None:
            self._thread.start()
        self._calls.put(call)
        return result

    def _run(self) -> None:
        while True:
            self._calls.get()()
