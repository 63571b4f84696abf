"""What a process costs, as the kernel counts it: CPU of all its threads, largest resident memory. Linux alone."""

from __future__ import annotations

import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


class ProcessMeter:
    """Reads ``/proc/PID``.

    Parameters
    ----------
    pid
        A running process.

    Examples
    --------
    >>> meter = ProcessMeter(os.getpid())
    >>> meter.cpu_s() > 0, meter.peak_rss_mb() > 1
    (True, True)
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        """User and system seconds so far, of all threads, also of those that have ended; resolution 10 ms."""
        # the command's name may hold anything: fields begin behind its closing bracket
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def peak_rss_mb(self) -> float:
        """Largest resident set so far, MiB."""
        return self._status("VmHWM") / 1024

    def rss_mb(self) -> float:
        """Resident set now, MiB."""
        return self._status("VmRSS") / 1024

    def _status(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise ValueError(f"{self._folder}/status has no {name}: not a running process of Linux")
