"""An interrupt that Python drops is raised again."""

from __future__ import annotations

import os
import signal

import pytest

from stream.cli.interruption import interruptible


class Dropping:
    """Its finaliser is interrupted: Python prints that and goes on."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_finaliser_is_raised_at_the_next_safe_place() -> None:
    with interruptible() as check:
        check()
        dropping = Dropping()
        del dropping
        with pytest.raises(KeyboardInterrupt):
            check()


def test_an_interrupt_is_raised_at_once_and_the_handler_of_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
