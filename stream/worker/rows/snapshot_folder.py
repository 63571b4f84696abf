"""The folder of snapshots: written under a temporary name, synced, renamed; never more than a limit on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from stream.errors import RiskstreamError
from stream.private_files import private_directory

SUFFIX: Final = ".snapshot"
LEFT_BEHIND_S: Final = 3_600.0
"""A temporary file so old is of a process that ended in the midst."""
UNUSED_S: Final = 86_400.0
"""A snapshot so old is of a partition that is another machine's now."""


class FolderFull(RiskstreamError):
    """A snapshot would pass the limit of the folder."""


class SnapshotFolder:
    """Several workers may share it: whoever wrote a file last, it is whole.

    Parameters
    ----------
    path
        Made where it is missing, readable by its owner alone: rows are what customers did.
    limit_bytes
        Of all files together, those in the making too.
    """

    def __init__(self, path: Path, limit_bytes: int, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._now = now

    def create(self, name: str, size: int) -> BinaryIO:
        """A temporary file for a snapshot of so many bytes.

        Raises
        ------
        FolderFull
            The limit does not allow it.
        OSError
            The disk does not.
        """
        private_directory(self.path)
        self._sweep()
        present = sum(entry.stat().st_size for entry in os.scandir(self.path))
        if present + size > self._limit_bytes:
            raise FolderFull(
                f"{self.path} holds {present >> 20} MB, {size >> 20} more would pass its limit of "
                f"{self._limit_bytes >> 20} MB; a snapshot and the one before it lie there side by side for a moment: "
                "raise RISKSTREAM_SNAPSHOT_LIMIT_MB"
            )
        temporary = self.path / f"{name}.{os.getpid()}.tmp"
        return os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b")

    def publish(self, name: str, file: BinaryIO) -> None:
        """Make a temporary file the snapshot of this name, whole or not at all."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(self.path / f"{name}.{os.getpid()}.tmp", self.path / f"{name}{SUFFIX}")
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self, name: str, file: BinaryIO) -> None:
        """Give a temporary file up."""
        try:
            file.close()  # may try to write what the disk has refused before
        finally:
            (self.path / f"{name}.{os.getpid()}.tmp").unlink(missing_ok=True)

    def open(self, name: str) -> tuple[BinaryIO, int] | None:
        """A snapshot and its size in bytes; None where there is none."""
        try:
            file = (self.path / f"{name}{SUFFIX}").open("rb")
        except FileNotFoundError:
            return None
        return file, os.fstat(file.fileno()).st_size

    def _sweep(self) -> None:
        for entry in os.scandir(self.path):
            longest = LEFT_BEHIND_S if entry.name.endswith(".tmp") else UNUSED_S
            if self._now() - entry.stat(follow_symlinks=False).st_mtime > longest:
                Path(entry.path).unlink(missing_ok=True)
