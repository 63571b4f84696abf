"""Entries of lists that meet no payment of a history are counted and shown, with the place of one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from rules.lists import list_mark
from rules.policy import Policy
from stream.cli.replay import command
from stream.core.columns import TRANSACTION, hash_id
from stream.core.features import SCHEMA
from stream.replay.measure.list_use import ListUse

HEADER = "list,account,payee,device,reason,owner,valid_from,until,rule\n"
LINES = (
    "deny,,p-1,,mule,desk,,2030-01-01,\n",
    "watch,a-1,,d-1,case,desk,,2030-01-01,\n",
    "allow,a-2,p-2,d-2,own,desk,,2030-01-01,\n",
    "deny,,p-9,,mule,desk,,2030-01-01,\n",
    "watch,a-1,,d-2,case,desk,,2030-01-01,\n",
)


def payments(*ids: tuple[str, str, str]) -> np.ndarray:
    rows = np.zeros(len(ids), TRANSACTION)
    for place, parts in enumerate(ids):
        for name, text in zip(("account_hash", "payee_hash", "device_hash"), parts, strict=True):
            rows[place][name] = hash_id(text) if text else 0
    return rows


def test_entries_meet_exactly_the_payments_that_the_line_would_mark() -> None:
    policy = Policy.from_files({"l.csv": (HEADER + "".join(LINES)).encode()})
    use = ListUse(policy, hash_id)
    rows = payments(("a-1", "p-1", "d-1"), ("a-2", "p-2", "d-2"), ("a-2", "p-9", ""), ("a-3", "", "d-2"))
    use.add(rows[:1])
    assert (use.result.total, use.result.met, use.result.unmet_example) == (5, 2, "l.csv:4")  # type: ignore[union-attr]
    use.add(rows[1:])
    assert (use.result.met, use.result.unmet_example) == (4, "l.csv:6")  # type: ignore[union-attr]
    lists = policy.compile(SCHEMA, hash_id).lists
    table = (lists.keys, lists.start, lists.end, lists.mark, lists.shapes)
    for row in rows[:3]:
        ids = np.array([row["account_hash"], row["payee_hash"], row["device_hash"]], np.uint64)
        assert list_mark(ids, 0, table) > 0


def test_a_policy_without_lists_has_nothing_to_say() -> None:
    use = ListUse(Policy.from_files({"l.csv": HEADER.encode()}), hash_id)
    use.add(payments(("a", "p", "d")))
    assert use.result is None


def test_a_replay_says_how_many_entries_met_a_payment(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "lists.csv").write_text(HEADER + LINES[0] + LINES[3], "utf-8")
    record = {
        "transaction_id": "t-1", "account_id": "a-1", "payee_id": "p-1", "event_time": "2026-01-01T00:00:00Z",
        "amount_minor": 5, "currency": "EUR", "channel": "app",
    }  # fmt: skip
    (tmp_path / "bank.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    result = CliRunner().invoke(command, [str(tmp_path / "bank.jsonl"), "--policy", str(packs), "--json"])
    assert result.exit_code == 0, result.output
    assert "1 of 2 entries of lists and snoozes met a payment, for instance not " in result.stdout
    lists = json.loads(result.stdout.splitlines()[-1])["lists"]
    assert (lists["total"], lists["met"]) == (2, 1)
    assert lists["unmet_example"].endswith("lists.csv:3")
