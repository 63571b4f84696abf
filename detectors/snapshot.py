"""A snapshot of models: arrays and a JSON header as bytes, never a pickle.

Layout: the magic ``RSNAP001``, the length of the header (8 bytes, little-endian), the header (JSON, keys sorted,
ASCII), the arrays' bytes (little-endian, C order, each at a multiple of 8), and the SHA-256 of all that. Reading
executes nothing and allocates no more than the bytes given.

A snapshot has two parts. The *model* part is all a scorer needs, some 100 kB; ``digest`` and ``version`` name it and,
through the parent's digest, the history that led to it. The *state* part lets a learner go on where it stopped (join
buffer, training window); it can be left out with :meth:`Snapshot.without_state` and has no influence on the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"RSNAP001"
MAX_HEADER_BYTES = 4 << 20
"""Longest description of a snapshot and its arrays, bytes."""
MAX_ROUND = 999_999_999
_DIGEST_BYTES = 32
_DTYPES = ("|b1", "|u1", "<i4", "<i8", "<u8", "<f4", "<f8")


class SnapshotError(ValueError):
    """The bytes are not a snapshot this version can use; the message says what differs and what to do."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Named arrays with a JSON description.

    Parameters
    ----------
    kind
        What wrote it, with the schema's version, for example ``"ensemble/1"``.
    round
        How many learning rounds led to it; 0 before any.
    parent
        Digest of the snapshot before it; empty for the first.
    description
        JSON-able facts that scoring depends on (input names, configuration).
    model
        The arrays that scoring reads.
    state_description, state
        The same for what only learning reads; empty when left out.

    Examples
    --------
    >>> first = Snapshot("example/1", 0, "", {"inputs": ["amount"]}, {"weights": np.array([0.5])})
    >>> again = Snapshot.from_bytes(first.to_bytes())
    >>> again.version == first.version, float(again.model["weights"][0])
    (True, 0.5)
    >>> Snapshot.from_bytes(b"something else")
    Traceback (most recent call last):
    ...
    detectors.snapshot.SnapshotError: not a snapshot: the first bytes are b'somethin', expected b'RSNAP001'
    """

    kind: str
    round: int
    parent: str
    description: Mapping[str, Any]
    model: Mapping[str, NDArray[Any]]
    state_description: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Compute the digest once; the arrays are made read-only, so that it stays true."""
        for array in (*self.model.values(), *self.state.values()):
            array.setflags(write=False)
        identity = _canonical({"kind": self.kind, "round": self.round, "parent": self.parent, **_described(self)})
        sha = hashlib.sha256(identity)
        for name in sorted(self.model):
            sha.update(_little_endian(self.model[name]).tobytes())
        object.__setattr__(self, "digest", sha.hexdigest())

    @property
    def version(self) -> str:
        """``m<round>-<first 8 digits of the digest>``: names the model and the history that led to it."""
        return f"m{self.round}-{self.digest[:8]}"

    @property
    def counts(self) -> Mapping[str, int]:
        """What stands behind the model, where its description has ``counts``: events, genuine and frauds learned."""
        counts: Mapping[str, int] = self.description.get("counts", {})
        return counts

    def without_state(self) -> Snapshot:
        """The same model, same version and digest, without what only a learner needs."""
        return Snapshot(self.kind, self.round, self.parent, self.description, self.model)

    def to_bytes(self) -> bytes:
        """All of it as bytes; equal snapshots give equal bytes."""
        arrays = {f"model/{name}": array for name, array in self.model.items()}
        arrays |= {f"state/{name}": array for name, array in self.state.items()}
        table, blocks, position = list[dict[str, Any]](), list[Any](), 0
        for name in sorted(arrays):
            data = _little_endian(arrays[name])
            table.append({"name": name, "dtype": data.dtype.str, "shape": list(data.shape), "at": position})
            blocks += [data.reshape(-1).view(np.uint8), b"\0" * (-data.nbytes % 8)]
            position += data.nbytes + -data.nbytes % 8
        header = _canonical(
            {
                "kind": self.kind,
                "round": self.round,
                "parent": self.parent,
                "digest": self.digest,
                "description": dict(self.description),
                "state_description": dict(self.state_description),
                "arrays": table,
                "bytes": position,
            }
        )
        parts, sha = [MAGIC, len(header).to_bytes(8, "little"), header, *blocks], hashlib.sha256()
        for part in parts:
            sha.update(part)
        return b"".join([*parts, sha.digest()])  # the one copy: a learning state is large

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what :meth:`to_bytes` wrote.

        Raises
        ------
        SnapshotError
            Not a snapshot, cut short, altered, or with arrays that do not fit their description.
        """
        if data[:8] != MAGIC:
            raise SnapshotError(f"not a snapshot: the first bytes are {data[:8]!r}, expected {MAGIC!r}")
        if len(data) < 16 + _DIGEST_BYTES or hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
            raise SnapshotError(f"snapshot of {len(data)} bytes is cut short or altered; fetch all its chunks again")
        length = int.from_bytes(data[8:16], "little")
        if length > MAX_HEADER_BYTES:
            raise SnapshotError(f"a header of {length} bytes; at most {MAX_HEADER_BYTES} are read")
        try:
            header = json.loads(data[16 : 16 + length])
            arrays = _read_arrays(header["arrays"], memoryview(data)[16 + length : -_DIGEST_BYTES])
            snapshot = cls(
                header["kind"],
                int(header["round"]),
                header["parent"],
                header["description"],
                {name[6:]: array for name, array in arrays.items() if name.startswith("model/")},
                header["state_description"],
                {name[6:]: array for name, array in arrays.items() if name.startswith("state/")},
            )
            said = str(header["digest"])
        except SnapshotError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise SnapshotError(
                f"snapshot header is not readable ({repr(error)[:200]}); it was written by another version"
            ) from error
        if snapshot.digest != said:
            raise SnapshotError(f"snapshot says digest {said[:80]}, its content has {snapshot.digest}")
        if not 0 <= snapshot.round <= MAX_ROUND:
            raise SnapshotError(f"round {snapshot.round}: 0 to {MAX_ROUND} are read")
        return snapshot


def require_kind(snapshot: Snapshot, kind: str) -> None:
    """Refuse a snapshot of another kind or schema version.

    Raises
    ------
    SnapshotError
        With both kinds and what to do.
    """
    if snapshot.kind != kind:
        raise SnapshotError(
            f"snapshot {snapshot.version} is of kind {snapshot.kind!r}, this code reads {kind!r}; retrain or upgrade"
        )


def require_array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The named array, if it has the dtype and shape (-1 matches any length).

    Raises
    ------
    SnapshotError
        It is absent or other than described.
    """
    array = arrays.get(name)
    if array is None:
        raise SnapshotError(f"snapshot lacks the array {name!r}")
    fits = len(array.shape) == len(shape) and all(
        want in (-1, got) for got, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise SnapshotError(f"array {name!r} is {array.dtype}{list(array.shape)}, expected {dtype}{list(shape)}")
    return array


def _described(snapshot: Snapshot) -> dict[str, Any]:
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in sorted(snapshot.model.items())}
    return {"description": dict(snapshot.description), "model": shapes}


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    ordered = np.ascontiguousarray(array)
    if ordered.dtype.byteorder == ">":
        ordered = ordered.astype(ordered.dtype.newbyteorder("<"))
    if ordered.dtype.str not in _DTYPES:
        raise SnapshotError(f"dtype {ordered.dtype} cannot be stored; use one of {', '.join(_DTYPES)}")
    return ordered


def _read_arrays(table: list[dict[str, Any]], payload: memoryview) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for entry in table:
        name, shape, start = str(entry["name"]), tuple(int(n) for n in entry["shape"]), int(entry["at"])
        if entry["dtype"] not in _DTYPES or any(n < 0 for n in shape):
            raise SnapshotError(f"array {name!r} has dtype {entry['dtype']!r} and shape {shape}: not of this version")
        dtype = np.dtype(entry["dtype"])
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        if start < 0 or start + size > len(payload):
            raise SnapshotError(f"array {name!r} reaches past the snapshot's end")
        arrays[name] = np.frombuffer(payload[start : start + size], dtype=dtype).reshape(shape).copy()  # aligned
    return arrays
