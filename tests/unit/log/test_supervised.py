"""Threads beside the line fail in the open, and start again."""

from __future__ import annotations

import threading

import pytest

from stream.log.supervised import SupervisedThread

PATIENCE_S = 30.0


def test_a_failure_is_told_and_counted_and_the_thread_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    restarted: list[str] = []
    failed, goes_on, seen = threading.Event(), threading.Event(), threading.Event()
    runs: list[int] = []

    def run(thread: SupervisedThread) -> None:
        runs.append(len(runs))
        if len(runs) <= 2:
            failed.set()
            raise KeyError("injected")
        assert goes_on.wait(PATIENCE_S)
        thread.well()
        seen.set()
        thread.stopping.wait(PATIENCE_S)

    thread = SupervisedThread("versions", run, restarted.append, first_backoff_s=0.01)
    assert thread.failure == ""
    thread.start()
    assert failed.wait(PATIENCE_S)
    goes_on.set()
    assert seen.wait(PATIENCE_S)
    assert thread.failure == "", "it works again"
    assert restarted == ["versions", "versions"]
    thread.stop()
    told = [record for record in caplog.records if "thread versions failed" in record.getMessage()]
    assert len(told) == 2
    assert all(record.exc_info for record in told), "with its traceback"


def test_the_failure_is_shown_until_a_round_goes_well() -> None:
    again, checked = threading.Event(), threading.Event()
    runs: list[int] = []

    def run(thread: SupervisedThread) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("injected")
        again.set()
        assert checked.wait(PATIENCE_S)
        thread.stopping.wait(PATIENCE_S)

    thread = SupervisedThread("hanging", run, first_backoff_s=0.01)
    thread.start()
    assert again.wait(PATIENCE_S)
    assert thread.failure == "RuntimeError: injected"
    checked.set()
    thread.stop()


def test_ending_without_being_asked_to_is_a_failure() -> None:
    again = threading.Event()
    runs: list[int] = []

    def run(thread: SupervisedThread) -> None:
        runs.append(1)
        if len(runs) > 1:
            again.set()
            thread.stopping.wait(PATIENCE_S)

    thread = SupervisedThread("topology", run, first_backoff_s=0.01)
    thread.start()
    assert again.wait(PATIENCE_S)
    assert thread.failure == "it ended though nobody had asked it to"
    thread.stop()


def test_a_failure_while_it_is_asked_to_end_is_none() -> None:
    def run(thread: SupervisedThread) -> None:
        thread.stopping.set()
        raise RuntimeError("a connection that was closed meanwhile")

    thread = SupervisedThread("fetch", run)
    thread.start()
    thread.stop()
    assert thread.failure == ""
