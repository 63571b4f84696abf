"""The local disk of a simulated machine: snapshots lie there, and it may be full, torn, flipped or out of date."""

from __future__ import annotations

import errno
import io
import random
from typing import BinaryIO, Literal

Damage = Literal["torn", "flipped", "out of date", "full", "emptied"]


class _File(io.BytesIO):
    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__()
        self._disk = disk

    def write(self, data: object) -> int:
        if self._disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


class SimulatedDisk:
    """See :class:`stream.worker.rows.snapshots.Folder`; a process that ends leaves its disk behind for the next one."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.full = False
        self.damaged = False
        """Whether what lies here may be wrong: then a recovery may refuse it, but never believe it."""
        self._before: dict[str, bytes] = {}

    def create(self, name: str, size: int) -> BinaryIO:
        """A temporary file."""
        return _File(self)

    def publish(self, name: str, file: BinaryIO) -> None:
        """Make it the snapshot of this name."""
        assert isinstance(file, _File)
        if name in self.files:
            self._before[name] = self.files[name]
        self.files[name] = file.getvalue()

    def discard(self, name: str, file: BinaryIO) -> None:
        """Give it up."""
        file.close()

    def open(self, name: str) -> tuple[BinaryIO, int] | None:
        """A snapshot and its size."""
        content = self.files.get(name)
        return None if content is None else (io.BytesIO(content), len(content))

    def damage(self, kind: Damage, chance: random.Random) -> None:
        """Something happens to one of the files, or to the disk."""
        if kind == "full":
            self.full = not self.full
            return
        if not self.files:
            return
        name = chance.choice(sorted(self.files))
        content = self.files[name]
        if kind == "out of date":
            # still whole, only older: it must be as good
            self.files[name] = self._before.get(name, content)
            return
        self.damaged = True
        if kind == "torn":
            self.files[name] = content[: chance.randrange(len(content))]
        elif kind == "flipped":
            at = chance.randrange(len(content))
            self.files[name] = content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
        else:
            self.files[name] = bytes(len(content))
