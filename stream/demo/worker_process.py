"""A worker as a child process: started with given settings, ended with SIGTERM, its log kept in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from stream.errors import RiskstreamError
from stream.private_files import open_private, private_directory
from stream.settings import ENVIRONMENT_PREFIX, Settings

STOP_TIMEOUT_S = 20.0
LOG_LINES = 12


class WorkerProcess:
    """One ``riskstream worker``.

    Parameters
    ----------
    settings
        What it runs with; its environment's own ``RISKSTREAM_*`` are replaced.
    log
        File that its log goes to, begun anew.
    embedded
        Partition count of the line on an embedded broker; None on a real Kafka.
    """

    def __init__(self, settings: Settings, log: Path, embedded: int | None = None) -> None:
        self.log = log
        private_directory(log.parent)
        arguments = ["worker", "--tied"] + ([] if embedded is None else ["--embedded", str(embedded)])
        with open_private(log) as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream.cli", *arguments],
                env=environment_of(settings),
                # its end tells the worker that this process is gone, however that ended
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal reaches every process of its group: the worker is to end last, by SIGTERM
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise RiskstreamError with the end of its log where it has ended by itself."""
        status = self._process.poll()
        if status is not None:
            raise RiskstreamError(f"the worker ended with status {status}; the end of {self.log}:", self.log_end())

    def stop(self) -> int:
        """SIGTERM, so that it finishes its batch; its exit status. It is killed if it does not end within 20 s."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return status

    def log_end(self) -> list[str]:
        """The last lines of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment, in which the settings are these and no others.

    >>> environment_of(Settings(topic_prefix="t-"))["RISKSTREAM_TOPIC_PREFIX"]
    't-'
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    ours = {f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    return kept | ours
