"""What no payment can ever meet is refused where it is written; a policy in force that has such an entry goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.policy import PACKS, Policy, check_files
from rules.problem import PackError
from stream.cli.replay_options import read_policy
from stream.cli.rules import command
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.errors import UsageError

HEADER = "list,account,payee,device,reason,owner,valid_from,until,rule\n"
PERSON = """pack: person
scenario: person_transfer
match: has_payee && payee_kind == "person"
thresholds: {review: 900000}
rules:
  - {id: person.large, when: amount_minor > 5, weight: 1}
"""
TERMS = "reason: r, owner: o, until: 2030-01-01"


def found(name: str, text: str) -> list[str]:
    files = {"person.yaml": PERSON.encode(), name: text.encode()}
    return [str(problem) for problem in Policy.from_files(files).check(SCHEMA) if problem.severity == "error"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("deny,,DE00 1111 2222 3333,,mule,desk,,2030-01-01,", 'no id can be "DE00 1111 2222 3333"'),
        ("deny,a/1,,,mule,desk,,2030-01-01,", 'no id can be "a/1"'),
        ("watch,,,d 5,case,desk,,2030-01-01,", 'no id can be "d 5"'),
        (f"deny,,{'p' * 65},,mule,desk,,2030-01-01,", 'no id can be "ppp'),
        ("deny,,\N{LATIN SMALL LETTER U WITH DIAERESIS}-1,,mule,desk,,2030-01-01,", "no id can be"),
        ("snooze,a-1,p 2,,house,desk,,2030-01-01,person.large", 'no id can be "p 2"'),
        ("deny,,p-1,,mule,desk,2030-01-01,2030-01-01,", "never in force"),
    ],
)
def test_a_line_of_a_list_that_nothing_can_match_is_named(line: str, says: str) -> None:
    (problem,) = found("l.csv", HEADER + "deny,,p-9,,mule,desk,,2030-01-01,\n" + line + "\n")
    assert problem.startswith("l.csv:3:1: ")
    assert says in problem


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"deny:\n  - {{payee: DE00 1111, {TERMS}}}\n", "l.yaml:4:13"),
        (f"allow:\n  - {{account: a-1, payee: p/1, {TERMS}}}\n", "l.yaml:4:27"),
        (f"watch:\n  - {{device: 'd,5', {TERMS}}}\n", "l.yaml:4:14"),
        (f"snooze:\n  - {{rule: person.large, account: 1 2, payee: p-1, {TERMS}}}\n", "l.yaml:4:35"),
    ],
)
def test_an_entry_in_yaml_is_named_where_its_id_stands(text: str, place: str) -> None:
    (problem,) = found("l.yaml", "pack: l\nkind: lists\n" + text)
    assert problem.startswith(f"{place}: no id can be ")


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ('has(country) && country == "UK"', 'l.yaml:5:39: no payment has "UK" as its country'),
        ('has(country) && country in ["DE", "XX"]', 'no payment has "XX" as its country'),
        ('has(home_country) && "CHN" == home_country', 'no payment has "CHN" as its home_country'),
        ('has(payee_country) && !(payee_country != "EU")', 'no payment has "EU" as its payee_country'),
        ('currency == "RMB"', 'no payment has "RMB" as its currency: not an ISO 4217 code'),
        ('has(country) && (abroad ? country : country) == "ZZ"', 'no payment has "ZZ" as its country'),
    ],
)
def test_a_condition_on_a_code_that_does_not_exist_is_refused(when: str, says: str) -> None:
    rule = f"pack: l\nkind: shared\nrules:\n  - id: l.x\n    when: '{when}'\n    weight: 1\n"
    (problem,) = [text for text in found("l.yaml", rule) if "no payment has" in text]
    assert says in problem


def test_an_actor_that_cannot_occur_is_refused_where_it_stands() -> None:
    common = (PACKS / "common.yaml").read_text("utf-8")
    lines = common.splitlines()
    actors = next(number for number, line in enumerate(lines) if line.startswith("trusted_actors:"))
    lines[actors] = f'trusted_actors: ["reviewer:*", "{"x" * 65}"]'
    problems = found("common.yaml", "\n".join(lines))
    assert any(p.startswith(f"common.yaml:{actors + 1}:") and "no actor can be" in p for p in problems), problems


def test_the_check_and_the_tests_of_a_folder_fail_and_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "person.yaml").write_text(PERSON, "utf-8")
    (tmp_path / "lists.csv").write_text(HEADER + "deny,,DE00 1111 2222 3333,,mule,desk,,2030-01-01,\n", "utf-8")
    assert [str(problem) for problem in check_files([tmp_path], SCHEMA)] == [
        f'{tmp_path / "lists.csv"}:2:1: no id can be "DE00 1111 2222 3333" (1 to 64 of A-Z a-z 0-9 _ . : -); '
        "write the payee as its payments carry it"
    ]
    for name in ("check", "test"):
        result = CliRunner().invoke(command, [name, str(tmp_path)])
        assert result.exit_code == 1
        assert "lists.csv:2:1: no id can be" in result.stdout
    with pytest.raises(UsageError, match="no id can be"):
        read_policy(tmp_path)


def test_a_policy_in_force_with_such_an_entry_goes_on() -> None:
    content = HEADER + "deny,,DE00 1111,,mule,desk,,2030-01-01,\ndeny,,p-1,,mule,desk,,2030-01-01,\n"
    policy = Policy.from_files({"person.yaml": PERSON.encode(), "l.csv": content.encode()})
    assert len(policy.compile(SCHEMA, hash_id).lists.keys) == 2
    with pytest.raises(PackError):
        Policy.from_files({"l.csv": b"list\n"})


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    (problem,) = found("l.csv", HEADER + 'deny,,"p\x1b[31m",,mule,desk,,2030-01-01,\n')
    assert "\x1b" not in problem
