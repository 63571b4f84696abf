"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever it happens to be; in a finaliser, or in a callback of a library's C code, it is
printed or dropped, and the program goes on. So it is remembered as well, and raised again at the next safe place.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """While the context lasts, SIGINT raises KeyboardInterrupt, and so does the function it yields once one has come.

    For the main thread alone.

    >>> with interruptible() as check:
    ...     check()
    """
    came = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
