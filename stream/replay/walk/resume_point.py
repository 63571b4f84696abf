"""Checkpoints of a replay: what it has come to, so that an interrupted one goes on with the same bytes.

A file of one header line and a body. The header names the format, the digest of the body, and the fingerprint of
everything that results depend on: inputs, labels, policies, options, code. A body whose digest is wrong, or that
belongs to other inputs, is refused, not used. Reading restores only this project's own classes, functions of its core and
numpy's arrays: whatever else a body names is refused as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import orjson

from stream.errors import RiskstreamError, UsageError
from stream.private_files import open_private

FORMAT = "riskstream-replay-checkpoint-4"
_EDGE_BYTES = 1 << 20
_OURS = ("stream.", "detectors.", "rules.")
_OTHERS = frozenset(
    (
        ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "bytearray"), ("collections", "Counter"),
        ("collections", "OrderedDict"), ("collections", "deque"), ("collections", "defaultdict"),
        ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"), ("pathlib", "PosixPath"),
        ("pathlib", "Path"), ("copyreg", "_reconstructor"), ("builtins", "object"),
    )
)  # fmt: skip


class BadCheckpoint(RiskstreamError):
    """A checkpoint that cannot be gone on from."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only classes of this project, functions of its core (which does no I/O), and what arrays are made of."""
        if (module, name) in _OTHERS:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith(_OURS) else None
        ours = isinstance(found, type) or (module.startswith("stream.core.") and isinstance(found, FunctionType))
        if not ours:
            raise BadCheckpoint(f"a checkpoint names {module}.{name}, which none of ours does: remove the file")
        return found


def file_mark(path: Path) -> dict[str, Any]:
    """What tells a file from another: size, time of change, digest of both ends."""
    size, changed = path.stat().st_size, path.stat().st_mtime_ns
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_EDGE_BYTES))
        file.seek(max(size - _EDGE_BYTES, 0))
        digest.update(file.read(_EDGE_BYTES))
    return {"path": str(path.resolve()), "size": size, "changed": changed, "ends": digest.hexdigest()}


@dataclass
class Checkpoint:
    """One checkpoint file.

    Parameters
    ----------
    path
        Where; replaced as a whole, so that an interruption leaves the last one.
    fingerprint
        JSON values that results depend on, by name.
    every_s
        Seconds between two.
    clock
        Seconds, for :meth:`due` alone.
    """

    path: Path
    fingerprint: Mapping[str, Any]
    every_s: float = 20.0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._last = self.clock()

    def due(self) -> bool:
        """Whether it is time for the next."""
        return self.clock() - self._last >= self.every_s

    def save(self, state: object) -> None:
        """Write a state.

        Raises
        ------
        UsageError
            It cannot be written there.
        """
        body = pickle.dumps(state, protocol=5)
        header = {"format": FORMAT, "digest": hashlib.sha256(body).hexdigest(), "fingerprint": dict(self.fingerprint)}
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            with open_private(partial) as file:
                file.write(orjson.dumps(header) + b"\n")
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except OSError as error:
            raise UsageError(f"--checkpoint {self.path}: {error.strerror}") from error
        self._last = self.clock()

    def load(self) -> Any:
        """The state that was saved, None where there is no file.

        Raises
        ------
        BadCheckpoint
            Damaged, of another version, or of other inputs or options: says which.
        """
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            header = self._header(file.readline(1 << 20))
            body = file.read()
        if header.get("format") != FORMAT or not isinstance(header.get("fingerprint"), dict):
            raise BadCheckpoint(f"{self.path}: not a checkpoint of this version; remove it to begin anew")
        self._compare(header["fingerprint"])
        if hashlib.sha256(body).hexdigest() != header.get("digest"):
            raise BadCheckpoint(f"{self.path}: damaged: its digest is another; remove it to begin anew")
        return _Reader(io.BytesIO(body)).load()

    def remove(self) -> None:
        """The replay is done."""
        self.path.unlink(missing_ok=True)

    def _header(self, line: bytes) -> dict[str, Any]:
        try:
            header = orjson.loads(line)
        except orjson.JSONDecodeError:
            header = None
        return header if isinstance(header, dict) else {}

    def _compare(self, found: Mapping[str, Any]) -> None:
        wanted = orjson.loads(orjson.dumps(dict(self.fingerprint)))
        other = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        if other:
            raise BadCheckpoint(
                f"{self.path}: of a replay with other {', '.join(other)}: give the same inputs and options as then, "
                "or remove it to begin anew"
            )
