"""What a process says on stderr: one record a line, in UTC, whatever is in it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.logs import FIELDS
from stream.plain_text import one_line, one_line_json
from stream.private_files import open_private, private_directory, write_private

TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (INFO|WARNING|ERROR|CRITICAL) \[\d+\] [\w.]+: |    \| ")
PROGRAM = """
import logging, os, threading, warnings
from stream.logs import set_up

set_up({form!r})
set_up({form!r})  # twice is once
hostile = "a-1\\nFORGED INFO all well\\r\\x1b[2K\\u2028FORGED\\ud800"
logging.getLogger("riskstream.test").info("key %s", hostile)
try:
    raise ValueError(hostile)
except ValueError:
    logging.getLogger("riskstream.test").exception("it failed")
warnings.warn("old", stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
if {form!r} == "json":
    os.write(2, b"%3|1796076775.385|FAIL|riskstream#producer-1| [thrd:x]: broke\\nsomething else\\n")
raise RuntimeError(hostile)
"""


def said(form: str, **environment: str) -> list[str]:
    called = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(form=form)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (called.returncode, called.stdout) == (1, "")
    return [line for line in re.split("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", called.stderr) if line]


def test_every_line_of_text_begins_as_one_and_none_is_forged() -> None:
    lines = said("text")
    assert [line for line in lines if not TEXT_LINE.match(line)] == []
    assert not any("\x1b" in line for line in lines)
    assert any("key a-1\\nFORGED INFO all well\\r\\x1b[2K\\u2028FORGED" in line for line in lines)
    assert any("ZeroDivisionError" in line for line in lines)
    assert any("CRITICAL" in line and "uncaught" in line for line in lines)


def test_every_line_of_json_is_one_record_of_one_schema() -> None:
    records = [json.loads(line) for line in said("json")]
    for record in records:
        assert list(record) in (list(FIELDS), list(FIELDS[:-1]))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["time"])
    failed = next(record for record in records if record["message"] == "it failed")
    assert failed["error"]["type"] == "ValueError"
    assert failed["error"]["message"].startswith("a-1\nFORGED")
    assert "Traceback (most recent call last):" in failed["error"]["trace"]
    foreign = [(record["level"], record["message"]) for record in records if record["logger"] == "riskstream.stderr"]
    assert foreign == [("ERROR", "FAIL|riskstream#producer-1| [thrd:x]: broke"), ("INFO", "something else")]
    assert "RuntimeError" in {record.get("error", {}).get("type") for record in records}


@pytest.mark.parametrize("form", ["text", "json"])
def test_times_are_utc_wherever_the_machine_is(form: str) -> None:
    here, there = (said(form, TZ=zone) for zone in ("UTC", "Asia/Shanghai"))
    hour = re.compile(r"T(\d\d):")
    hours = [hour.search(lines[0]) for lines in (here, there)]
    assert all(hours)
    difference = int(hours[1][1]) - int(hours[0][1])  # type: ignore[index]
    assert difference % 24 in (0, 1)


@given(st.text())
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    line = one_line(text)
    line.encode()
    assert len(line.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)
    document = one_line_json(json.dumps(text, ensure_ascii=False))
    assert len(document.splitlines()) == 1
    assert json.loads(document) == text


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_files_and_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    (tmp_path / "was open").mkdir(mode=0o755)
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "old").chmod(0o644)
    before = os.umask(umask)
    try:
        private_directory(tmp_path / "was open")
        write_private(tmp_path / "old", b"new")
        with open_private(tmp_path / "new") as file:
            file.write(b"new")
        if umask != 0o277:  # a folder that its owner cannot enter is the umask's own wish
            private_directory(tmp_path / "deep" / "deeper")
    finally:
        os.umask(before)
    open_to_others = [path for path in tmp_path.rglob("*") if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    assert open_to_others == []
    assert (tmp_path / "old").read_bytes() == b"new"
