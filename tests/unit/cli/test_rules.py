"""``riskstream rules check`` and ``rules test``: exit status, places, JSON, examples with histories."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from stream.cli import riskstream

PACK = """pack: mine
scenario: person_transfer
match: has_payee && payee_kind == "person"
thresholds: {challenge_light: 20000, challenge_strong: 60000, review: 350000}
rules:
  - id: mine.large_first
    when: pair_attempts == 0 && account_payments >= 5 && has(amount_to_max) && amount_to_max >= 3.0
    weight: 7
examples:
  - name: the rent passes
    history:
      - {amount_minor: 90000, payee_id: landlord, payee_kind: person, days_ago: 30, times: 6, every_days: 30}
    event: {amount_minor: 90000, payee_id: landlord, payee_kind: person}
    expect: {outcome: approve, scenario: person_transfer}
  - name: a large first payment does not
    history:
      - {amount_minor: 9000, payee_id: shop, payee_kind: merchant, days_ago: 40, times: 20, every_days: 3}
    event: {amount_minor: 900000, payee_id: stranger, payee_kind: person}
    expect: {outcome: [challenge, review], rules: [mine.large_first], not_rules: [adverse_pair]}
  - name: features by hand
    given: {has_payee: true, payee_kind: person, pair_attempts: 0, account_payments: 9, amount_to_max: 4.0}
    expect: {outcome: review}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(riskstream, ["rules", *arguments])


def test_the_shipped_packs_are_clean_and_their_examples_hold() -> None:
    assert run("check").exit_code == 0
    result = run("test", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["failed"] == 0
    assert document["examples"] == document["passed"] >= 19


def test_a_strangers_pack_is_checked_and_tested_by_itself(tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK)
    assert run("check", str(pack)).exit_code == 0
    result = run("test", str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert [(row["example"], row["passed"]) for row in document["results"]] == [
        ("the rent passes", True),
        ("a large first payment does not", True),
        ("features by hand", True),
    ]


def test_mistakes_are_printed_with_their_place_and_end_with_1(tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK.replace("account_payments >= 5", "acount_payments >= 5"))
    result = run("check", str(pack), "--json")
    assert result.exit_code == 1
    line, document = result.stdout.splitlines()[0], json.loads(result.stdout.splitlines()[-1])
    assert line.startswith(f"{pack}:7:33: unknown variable 'acount_payments'; did you mean 'account_payments'?")
    assert (document["errors"], document["problems"][0]["line"], document["problems"][0]["column"]) == (1, 7, 33)
    assert run("test", str(pack)).exit_code == 1


def test_an_example_that_comes_out_otherwise_ends_with_1(tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK.replace("expect: {outcome: review}", "expect: {outcome: approve, foo: 1}"))
    result = run("test", str(pack))
    assert result.exit_code == 1
    assert "mine.yaml:22:23: expected outcome 'approve', got 'review'" in result.stdout
    assert "unknown expectation 'foo'" in result.stdout


def test_an_event_that_the_edge_would_refuse_is_named(tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK.replace("event: {amount_minor: 90000,", "event: {amount_minor: -5,"))
    result = run("test", str(pack))
    assert result.exit_code == 1
    assert "mine.yaml:13:12: the event is refused (out_of_range)" in result.stdout


def test_a_path_that_does_not_exist_is_wrong_usage() -> None:
    assert run("check", "/nowhere/at/all").exit_code == 2


def test_a_hard_rule_on_a_sum_by_rates_is_a_warning_with_its_place_and_fails_nothing(tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    rule = PACK.split("examples:", maxsplit=1)[0]
    rule = rule.replace("pair_attempts == 0 && ", "sum_day > 900000.0 && ").replace("weight: 7", "outcome: challenge")
    pack.write_text(rule)
    result = run("check", str(pack), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert (document["errors"], document["warnings"]) == (0, 1)
    assert result.stdout.splitlines()[0].startswith(f"{pack}:7:")
    assert "warning: hangs on 'sum_day', which leaves out a payment in a currency without a rate" in result.stdout


def test_rates_that_contradict_each_other_end_with_1_and_out_of_date_ones_are_a_warning(tmp_path: Path) -> None:
    common = tmp_path / "common.yaml"
    shipped_common = (Path(__file__).parents[3] / "rules" / "packs" / "common.yaml").read_text("utf-8")
    dollar = "    - {currency: USD, digits: 2, rate: 0.90, valid_from: 2000-01-01}\n"
    assert dollar in shipped_common
    common.write_text(shipped_common.replace(dollar, dollar + dollar.replace("0.90", "0.95")), "utf-8")
    assert run("check", str(common)).exit_code == 1
    common.write_text(
        shipped_common.replace("  reference: EUR\n", "  reference: EUR\n  fresh_until: 2001-01-01\n"), "utf-8"
    )
    result = run("check", str(common), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["warnings"] >= 1
    assert "warning: this time has passed: the rates are out of date" in result.stdout
