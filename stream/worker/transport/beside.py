"""What runs in threads of its own beside the line, as a service that Faust starts before its agents and stops after them."""

from __future__ import annotations

from typing import Any, Protocol

import mode


class Threads(Protocol):
    """Whatever is started at once and stopped by waiting for its last step."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; nothing is half done."""


class Beside(mode.Service):
    """Some threads as a service of Faust's worker.

    Parameters
    ----------
    threads
        Started on the event loop; stopped on a thread of its own, since that waits.
    """

    def __init__(self, threads: Threads, **options: Any) -> None:
        super().__init__(**options)
        self._threads = threads

    async def on_start(self) -> None:
        """Start them."""
        self._threads.start()

    async def on_stop(self) -> None:
        """Wait for their last steps."""
        await self.loop.run_in_executor(None, self._threads.stop)
