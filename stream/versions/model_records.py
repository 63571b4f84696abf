"""Records on ``risk.models.v1``: the closed schema of their keys and of what is noted beside snapshots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rules.bounded_json import NotReadable, load
from stream.core.columns import SCENARIOS
from stream.log.set_aside import ControlRefused

PIN_KEY: Final = b"pin"
PROPOSAL_KEY: Final = b"proposal"
"""A version that one person wants in force, until another one confirms it."""
COMPARISON_KEY: Final = b"comparison"
"""The newest model beside the one in force, on live and matured payments (``stream.core.learning.model_watch.ModelComparison``)."""
DRIFT_KEY: Final = b"drift"
"""The last reports of drift, newest last."""
REFUSED: Final = b"refused+"
"""Before the version in the key of a refusal: why a model is not followed."""
STATE_SUFFIX: Final = "+state"
"""Behind the version in the keys of a snapshot that carries the learning state; scoring passes it over."""
MAX_CHUNK_BYTES: Final = 1 << 20
MAX_CHUNKS: Final = 64
"""Most chunks of a snapshot: some hundred times what one has."""
MAX_STATE_CHUNKS: Final = 1_024
"""The same with its learning state."""
MAX_NOTE_BYTES: Final = 256 << 10
MAX_REPORTS: Final = 100
CHUNK: Final = re.compile(rb"(m\d{1,9}-[0-9a-f]{8})(\+state)?/(\d{1,4})/(\d{1,4})")
_MODEL: Final = re.compile(r"m\d{1,9}-[0-9a-f]{8}")
_TALLY: Final = (
    "events", "champion_alerts", "challenger_alerts", "both", "frauds", "champion_caught", "challenger_caught",
    "genuine", "champion_false", "challenger_false",
)  # fmt: skip


def chunk_key(key: bytes) -> tuple[str, int, int]:
    """Version (with its suffix where it carries the state), number and count of a chunk's key.

    Raises
    ------
    ControlRefused
        It is none, or names more chunks than are read.

    >>> chunk_key(b"m12-0a1b2c3d/0/2")
    ('m12-0a1b2c3d', 0, 2)
    """
    found = CHUNK.fullmatch(key)
    if found is None:
        raise ControlRefused("foreign", "its key is none of a model")
    suffix, number, count = found[2] or b"", int(found[3]), int(found[4])
    most = MAX_STATE_CHUNKS if suffix else MAX_CHUNKS
    if not 1 <= count <= most:
        raise ControlRefused("too_large", f"{count} chunks; a snapshot has 1 to {most}")
    if number >= count:
        raise ControlRefused("out_of_range", f"chunk {number} of {count}: they are counted from 0")
    return (found[1] + suffix).decode(), number, count


def is_key(key: bytes) -> bool:
    """Whether a key is a chunk's or a note's."""
    known = (PIN_KEY, PROPOSAL_KEY, COMPARISON_KEY, DRIFT_KEY)
    return key in known or key.startswith(REFUSED) or CHUNK.fullmatch(key) is not None


def read_note(key: bytes, value: bytes) -> dict[str, Any]:
    """What is noted under a key that is no chunk's.

    Raises
    ------
    ControlRefused
        An unknown key, or not what belongs there.
    """
    if key.startswith(REFUSED):
        if not _MODEL.fullmatch(key[len(REFUSED) :].decode("ascii", "replace")):
            raise ControlRefused("foreign", "a refusal of no model's version")
        check = _refusal
    else:
        known = {PIN_KEY: _pin, PROPOSAL_KEY: _proposal, COMPARISON_KEY: _comparison, DRIFT_KEY: _drift}.get(key)
        if known is None:
            raise ControlRefused("foreign", "its key is none of a model or a note")
        check = known
    try:
        note = load(value, max_bytes=MAX_NOTE_BYTES, max_depth=8, max_values=20_000)
    except NotReadable as error:
        raise ControlRefused("too_large" if error.too_large else "malformed", f"no note: {error}") from error
    if not isinstance(note, dict):
        raise ControlRefused("malformed", "no note: no JSON object")
    check(note)
    return note


def _pin(note: Mapping[str, Any]) -> None:
    _version(note, "version", "")
    by, confirmed = _text(note, "by"), _text(note, "confirmed_by")
    if by == confirmed:
        raise ControlRefused("altered", f"proposed and confirmed by {by[:80]}: it takes two people")


def _proposal(note: Mapping[str, Any]) -> None:
    _version(note, "version", "newest")
    _text(note, "by")
    _typed(note, "numbers", dict)
    if not isinstance(note.get("rollback"), bool):
        raise ControlRefused("wrong_type", "rollback: expected true or false")


def _comparison(note: Mapping[str, Any]) -> None:
    for name in ("champion", "challenger"):
        _version(note, name)
    for name in _TALLY:
        _number(note, name)


def _drift(note: Mapping[str, Any]) -> None:
    reports = _typed(note, "reports", list)
    if len(reports) > MAX_REPORTS:
        raise ControlRefused("too_large", f"{len(reports)} reports of drift; at most {MAX_REPORTS} are read")
    for report in reports:
        if not isinstance(report, dict):
            raise ControlRefused("wrong_type", "a report of drift is no object")
        _text(report, "kind")
        _text(report, "at")
        if report.get("scenario") not in SCENARIOS:
            raise ControlRefused("out_of_range", "a report of drift in no scenario")
        _number(report, "seen")
        _number(report, "expected")
        for moved in _typed(report, "moved", list):
            if not isinstance(moved, dict):
                raise ControlRefused("wrong_type", "what moved is no object")
            _text(moved, "feature")


def _refusal(note: Mapping[str, Any]) -> None:
    for name in ("alerts_per_10k", "champion_alerts_per_10k", "allowed_change_per_10k"):
        _number(note, name)


def _version(note: Mapping[str, Any], name: str, *also: str) -> None:
    value = note.get(name)
    if not isinstance(value, str):
        raise ControlRefused("wrong_type", f"{name}: expected a version of a model")
    if value not in also and not _MODEL.fullmatch(value):
        raise ControlRefused("out_of_range", f"{name}: no version of a model")


def _text(note: Mapping[str, Any], name: str) -> str:
    value = note.get(name)
    if not isinstance(value, str):
        raise ControlRefused("wrong_type", f"{name}: expected a text")
    if not 0 < len(value) <= 200 or not value.isprintable():
        raise ControlRefused("out_of_range", f"{name}: 1 to 200 printable characters are read")
    return value


def _number(note: Mapping[str, Any], name: str) -> None:
    value = note.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ControlRefused("wrong_type", f"{name}: expected a number")


def _typed(note: Mapping[str, Any], name: str, kind: type) -> Any:
    value = note.get(name)
    if not isinstance(value, kind):
        raise ControlRefused("wrong_type", f"{name}: expected {'a list' if kind is list else 'an object'}")
    return value
