"""What every command says on stderr: one record a line, in UTC, as text or as JSON of one schema."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
import traceback
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any, Final, Literal, TextIO

from stream.plain_text import one_line

Format = Literal["text", "json"]

FIELDS: Final = ("time", "level", "logger", "message", "process", "thread", "error")
"""Keys of a JSON record; ``error`` alone may be missing."""

SPOKEN: Final = logging.getLogger("riskstream.cli")
"""What a command itself says on stderr."""
_FOREIGN: Final = logging.getLogger("riskstream.stderr")
_LEVELS_OF_SYSLOG: Final = {"0": 50, "1": 50, "2": 50, "3": 40, "4": 30, "5": 20, "6": 20, "7": 10}
"""librdkafka's own lines begin with one of these."""


class TextFormatter(logging.Formatter):
    """``TIME LEVEL [PROCESS] LOGGER: MESSAGE``; what belongs to a record and has lines of its own follows, set in."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback below it."""
        head = f"{_time(record)} {record.levelname} [{record.process}] {record.name}: {one_line(record.getMessage().rstrip())}"
        return "\n".join([head, *(f"    | {one_line(line)}" for line in _trace(record))])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: see :data:`FIELDS` and docs/operations.md."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of ASCII."""
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().rstrip(),
            "process": record.process,
            "thread": record.threadName,
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            document["error"] = {"type": type(error).__name__, "message": str(error), "trace": _trace(record)}
        return json.dumps(document)


def set_up(form: Format, level: int = logging.INFO) -> None:
    """Let everything that is logged, warned of or raised uncaught in this process go to stderr in this form.

    Records of parts of the program below ``level`` are left out. As JSON also what C libraries write to stderr by themselves becomes records (logger ``riskstream.stderr``).
    """
    stream: TextIO = _take_stderr() if form == "json" else sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for spoken in (SPOKEN, _FOREIGN):
        spoken.setLevel(logging.INFO)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda raised: _uncaught(
        raised.exc_type, raised.exc_value or raised.exc_type(), raised.exc_traceback
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("riskstream").critical("uncaught: %s", error, exc_info=(kind, error, trace))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _trace(record: logging.LogRecord) -> list[str]:
    lines: list[str] = []
    if record.exc_info and record.exc_info[1] is not None:
        lines = "".join(traceback.format_exception(record.exc_info[1])).split("\n")
    if record.stack_info:
        lines += record.stack_info.split("\n")
    return [line for line in lines if line.strip()]


@cache
def _take_stderr() -> TextIO:
    """Put a pipe in the place of file 2, whose lines become records; returns the true stderr."""
    true = os.fdopen(os.dup(2), "w", encoding="ascii", errors="backslashreplace", buffering=1)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_relay, args=(reading,), name="stderr", daemon=True)
    reader.start()

    def end() -> None:
        # what was written last is still in the pipe: it ends where nobody holds its other side any more
        sys.stderr.flush()
        os.dup2(true.fileno(), 2)
        reader.join(1.0)

    atexit.register(end)
    return true


def _relay(reading: int) -> None:
    with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if line.strip():
                _log_foreign(line.rstrip("\n"))


def _log_foreign(line: str) -> None:
    if line[:1] == "%" and line[2:3] == "|":
        _FOREIGN.log(_LEVELS_OF_SYSLOG.get(line[1], logging.WARNING), "%s", line.split("|", 2)[-1])
    else:
        _FOREIGN.info("%s", line)
