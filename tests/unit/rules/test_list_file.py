"""Long lists as CSV: the same entries as in YAML, each mistake with its line, and fast enough not to stall a worker."""

from __future__ import annotations

import time

import pytest

from rules.list_file import read_lists
from rules.policy import Policy
from rules.problem import PackError, Problem
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

HEADER = "list,account,payee,device,reason,owner,valid_from,until,rule\n"
YAML = """
pack: lists
kind: lists
deny: [{payee: p-1, reason: mule, owner: desk, until: 2027-01-01}]
watch: [{account: a-1, device: d-1, reason: case, owner: desk, valid_from: 2026-01-01, until: 2027-01-01}]
snooze: [{rule: common.x, account: a-1, payee: p-2, reason: house, owner: desk, until: 2027-01-01}]
"""
CSV = (
    HEADER
    + "deny,,p-1,,mule,desk,,2027-01-01,\n"
    + 'watch,a-1,,d-1,"case",desk,2026-01-01,2027-01-01,\n'
    + "\n"
    + "snooze,a-1,p-2,,house,desk,,2027-01-01T00:00:00Z,common.x\n"
)


def test_csv_says_what_yaml_says() -> None:
    problems: list[Problem] = []
    table = read_lists("l.csv", CSV.encode("utf-8-sig"), problems)
    pack = next(p for p in Policy.from_files({"l.yaml": YAML.encode()}).packs if p.kind == "lists")
    assert problems == []

    def entries(lists: object) -> list[tuple[object, ...]]:
        return [tuple(getattr(e, n) for n in e.__slots__ if n != "item") for e in lists]  # type: ignore[attr-defined]

    assert entries(table.lists) == entries(pack.lists)
    assert entries(table.snoozes) == entries(pack.snoozes)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("block,,p-1,,mule,desk,,2027-01-01,", "'block' is no list"),
        ("deny,,,,mule,desk,,2027-01-01,", "at least one of account, payee, device"),
        ("deny,,p-1,,,desk,,2027-01-01,", "needs 'reason'"),
        ("deny,,p-1,,mule,,,2027-01-01,", "needs 'owner'"),
        ("deny,,p-1,,mule,desk,,,", "needs 'until'"),
        ("deny,,p-1,,mule,desk,,tomorrow,", "'until' must be a date"),
        ("deny,,p-1,,mule, and more,desk,,2027-01-01,", "quote a cell that holds a comma"),
        ("snooze,,p-1,,mule,desk,,2027-01-01,x", "rule, account and payee"),
    ],
)
def test_a_mistake_names_its_line(line: str, says: str) -> None:
    with pytest.raises(PackError) as caught:
        Policy.from_files({"l.csv": (HEADER + "deny,,p-9,,mule,desk,,2027-01-01,\n" + line + "\n").encode()})
    assert str(caught.value).startswith("l.csv:3:1: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"list,payee\n", b"list,list,reason,owner,until\n", b"\xff"])
def test_a_file_without_its_header_is_refused(content: bytes) -> None:
    with pytest.raises(PackError, match=r"l\.csv:1:1: "):
        Policy.from_files({"l.csv": content})


def test_ten_thousand_entries_are_taken_over_within_a_second_of_cpu() -> None:
    rows = "".join(f"deny,,p-{i},,mule,desk,,2027-01-01,\n" for i in range(10_000))
    Policy.from_files(
        {"l.csv": CSV.replace("snooze,a-1,p-2,,house,desk,,2027-01-01T00:00:00Z,common.x\n", "").encode()}
    ).compile(SCHEMA, hash_id)  # compiled code is loaded once a process, not for a policy
    before = time.process_time()
    policy = Policy.from_files({"l.csv": (HEADER + rows).encode()}).compile(SCHEMA, hash_id)
    assert time.process_time() - before < 2.0  # twice what is claimed, for a busy machine
    assert len(policy.lists.keys) == 10_000


def test_yaml_lists_are_kept_short() -> None:
    rows = "".join(f"  - {{payee: p-{i}, reason: r, owner: o, until: 2027-01-01}}\n" for i in range(2001))
    with pytest.raises(PackError, match="put them into a"):
        Policy.from_files({"l.yaml": ("pack: l\nkind: lists\ndeny:\n" + rows).encode()})
