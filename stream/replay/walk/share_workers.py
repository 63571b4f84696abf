"""Whoever carries out a share of a replay: a process on this machine, or a worker of a Dask cluster.

A worker does what it is asked in the order of the questions; asking does not wait, and any question's answer may be awaited.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol

from stream.errors import RiskstreamError, UsageError
from stream.replay.walk.shard import Shard

_START = "fork" if sys.platform == "linux" else "spawn"
"""A forked process has everything loaded and compiled; to start a new one costs some seconds."""
_STOP = b""
_GONE = None


class ShareWorker(Protocol):
    """One of them."""

    def ask(self, method: str, *arguments: Any) -> Any:
        """Have a method of the share called; returns the question."""

    def answer(self, question: Any) -> Any:
        """What a question gave, once; its exception is raised here."""

    def close(self) -> None:
        """The share is not needed any more."""


StartWorkers = Callable[[Sequence[tuple[Any, ...]]], list[ShareWorker]]
"""Makes a worker for each share, from the arguments of :class:`~stream.replay.walk.shard.Shard`."""


class LocalWorker:
    """A process of this machine. A thread takes its answers off the pipe, so that neither side ever waits for the other.

    Parameters
    ----------
    arguments
        Of its share.
    others
        The workers before it.
    """

    def __init__(self, arguments: tuple[Any, ...], others: Sequence[LocalWorker] = ()) -> None:
        context: Any = multiprocessing.get_context(_START)
        self._pipe, theirs = context.Pipe()
        # a forked process holds our ends of all pipes; while it does, a sister would not see that we are gone
        ours = [self._pipe, *(other._pipe for other in others)] if _START == "fork" else []
        self._process = context.Process(target=_serve, args=(theirs, arguments, ours), daemon=True)
        self._process.start()
        theirs.close()
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._asked = self._answered = 0
        self._early: dict[int, bytes] = {}
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def ask(self, method: str, *arguments: Any) -> int:
        """See :class:`ShareWorker`."""
        try:
            self._pipe.send_bytes(pickle.dumps((method, arguments), 5))
        except OSError as error:
            raise self._lost() from error
        self._asked += 1
        return self._asked

    def answer(self, question: int) -> Any:
        """See :class:`ShareWorker`."""
        while question not in self._early:
            data = self._answers.get()
            if data is _GONE:
                raise self._lost()
            self._answered += 1
            self._early[self._answered] = data
        worked, value = pickle.loads(self._early.pop(question))  # noqa: S301 - from our own process
        if not worked:
            raise value
        return value

    def close(self) -> None:
        """See :class:`ShareWorker`."""
        with contextlib.suppress(OSError):  # it is gone already, which is what is wanted
            self._pipe.send_bytes(_STOP)
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._reader.join()
        self._pipe.close()

    def _listen(self) -> None:
        while True:
            try:
                self._answers.put(self._pipe.recv_bytes())
            except (EOFError, OSError):
                self._answers.put(_GONE)
                return

    def _lost(self) -> RiskstreamError:
        self._process.join(1)
        return RiskstreamError(
            f"a process of --workers ended with status {self._process.exitcode}: look whether memory ran out; "
            "with --checkpoint the same command goes on"
        )


def _serve(pipe: Connection, arguments: tuple[Any, ...], ours: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked; it then closes the pipe
    for end in ours:
        end.close()
    shard = Shard(*arguments)
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        if data == _STOP:
            return
        method, given = pickle.loads(data)  # noqa: S301 - from whoever started this process
        try:
            answer = (True, getattr(shard, method)(*given))
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            answer = (False, error)
        pipe.send_bytes(pickle.dumps(answer, 5))


def start_local_workers(shares: Sequence[tuple[Any, ...]]) -> list[ShareWorker]:
    """A process for each share."""
    workers: list[LocalWorker] = []
    for arguments in shares:
        workers.append(LocalWorker(arguments, workers))
    return list(workers)


class DaskWorker:
    """An actor on a worker of a Dask cluster. Calls of an actor may overtake each other: each waits for the one before it.

    Parameters
    ----------
    actor
        A :class:`~stream.replay.walk.shard.Shard` as ``distributed`` gives it.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._line = ThreadPoolExecutor(1)

    def ask(self, method: str, *arguments: Any) -> Any:
        """See :class:`ShareWorker`."""
        return self._line.submit(lambda: getattr(self._actor, method)(*arguments).result())

    def answer(self, question: Any) -> Any:
        """See :class:`ShareWorker`."""
        return question.result()

    def close(self) -> None:
        """See :class:`ShareWorker`."""
        self._line.shutdown(cancel_futures=True)
        self._actor = None


class DaskCluster:
    """Workers of a Dask cluster as workers. They need riskstream installed, of this version.

    Parameters
    ----------
    address
        Of the scheduler, for instance ``tcp://10.0.0.1:8786``.
    timeout_s
        How long to wait for it.

    Raises
    ------
    UsageError
        The extra is not installed, nothing answers there, or the cluster has fewer workers than shares are wanted.
    """

    def __init__(self, address: str, timeout_s: float = 20.0) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError("--dask needs the extra: pip install 'riskstream[dask]'") from error
        try:
            connect: Any = Client  # untyped
            self._client: Any = connect(address, timeout=timeout_s)
        except (OSError, ValueError) as error:
            raise UsageError(f"--dask {address}: no scheduler answers there: {error}") from error
        self._address = address

    def start_workers(self, shares: Sequence[tuple[Any, ...]]) -> list[ShareWorker]:
        """A worker for each share, each another one."""
        workers = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
        if len(workers) < len(shares):
            raise UsageError(
                f"--dask {self._address}: {len(workers)} workers there, {len(shares)} asked for: start more, or "
                f"give --workers {max(len(workers), 1)}"
            )
        made = [
            self._client.submit(Shard, *arguments, actor=True, workers=[worker], pure=False)
            for arguments, worker in zip(shares, workers, strict=False)
        ]
        return [DaskWorker(future.result()) for future in made]

    def close(self) -> None:
        """Let go of the cluster."""
        self._client.close()
