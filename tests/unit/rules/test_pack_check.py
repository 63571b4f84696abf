"""Each thing that can be wrong with a pack: found when loaded, with file, line and column, and what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rules.examples import run_examples
from rules.policy import PACKS, Policy, check_files, shipped
from rules.problem import PackError, errors
from stream.cli.example_history import ExampleHistories
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.settings import Settings

HEAD = """pack: mine
scenario: person_transfer
match: has_payee
thresholds: {challenge_light: 20000, review: 300000}
"""


def found(text: str) -> list[str]:
    """Problems of one pack beside the shipped common one, as printed."""
    try:
        policy = Policy.from_files({"mine.yaml": text.encode()})
    except PackError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in policy.check(SCHEMA)]


def rule(body: str) -> str:
    return HEAD + "rules:\n  - " + body.strip().replace("\n", "\n    ") + "\n"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("pack: mine\n  scenario: x", "mine.yaml:2:11", "not YAML"),
        ("", "mine.yaml:1:1", "the file is empty"),
        ("- a\n- b", "mine.yaml:1:1", "'name: value' lines"),
        (HEAD + "pack: twice\n", "mine.yaml:5:1", "'pack' is given twice"),
        (HEAD + "alert_budget: &x {per_hour: 1}\n", "mine.yaml:5:15", "anchors and aliases are not read"),
        (HEAD + "description: !!python/object:os.system x\n", "mine.yaml:5:14", "is a tag to YAML"),
        (rule("id: a.b\nwhen: !has_payee\nweight: 1"), "mine.yaml:7:11", "begins with ! in quotes"),
        (rule("id: a.b\nwhen: has_payee and abroad\nweight: 1"), "mine.yaml:7:21", "write &&"),
        (rule("id: a.b\nwhen: amount_minor / 0 > 1\nweight: 1"), "mine.yaml:7:26", "a division by 0 is an error"),
        (HEAD + "threshold: {}\n", "mine.yaml:5:1", "did you mean 'thresholds'?"),
        (HEAD.replace("person_transfer", "transfer"), "mine.yaml:2:11", "unknown scenario 'transfer'"),
        (HEAD.replace("match: has_payee\n", ""), "mine.yaml:1:1", "needs 'match:'"),
        (HEAD.replace("has_payee", "has_paye"), "mine.yaml:3:8", "did you mean 'has_payee'?"),
        (HEAD.replace("has_payee", "count_day / 2.0 > 1.0"), "mine.yaml:3:8", "a match may not calculate"),
        (HEAD.replace("review: 300000", "review: 3.5"), "mine.yaml:4:46", "whole number from 1 to 1000000"),
        (HEAD.replace("review: 300000", "review: 300"), "mine.yaml:4:13", "must not fall"),
        (
            HEAD + "review: {due: 2h, expires: 1h, legal_basis: x, on_expiry: release}\n",
            "mine.yaml:5:9",
            "after the hold",
        ),
        (HEAD + "review: {expires: 1w, legal_basis: x, on_expiry: release}\n", "mine.yaml:5:19", "30m, 24h or 7d"),
        (HEAD + "review: {expires: 1d, on_expiry: release}\n", "mine.yaml:5:9", "needs 'legal_basis:'"),
        (HEAD + "review: {expires: 1d, legal_basis: x, on_expiry: keep}\n", "mine.yaml:5:50", "release, decline"),
        (rule("id: a.b\nwhen: amount_minor > 5\nweight: 1.2345"), "mine.yaml:8:13", "three decimals"),
        (rule("id: a.b\nwhen: amount_minor > 5\nweight: 40"), "mine.yaml:8:13", "from -20 to 20"),
        (rule("id: a.b\nwhen: amount_minor > 5\noutcome: block"), "mine.yaml:8:14", "use one of remind"),
        (rule("id: a.b\nwhen: amount_minor > 5"), "mine.yaml:6:5", "either a 'weight'"),
        (rule("id: a.b\nwhen: amount_minor > 5\nweight: 1\noutcome: review"), "mine.yaml:6:5", "not both"),
        (rule("id: A B\nwhen: amount_minor > 5\nweight: 1"), "mine.yaml:6:9", "is no name"),
        (rule("id: a.b\nwhen: amount_minor > 5.5\nweight: 1"), "mine.yaml:7:24", "'amount_minor' is an int"),
        (rule("id: a.b\nwhen: >\n  has_payee\n  && amount_minr > 5\nweight: 1"), "mine.yaml:9:10", "did you mean"),
        (rule("id: a.b\nwhen: |\n  has_payee\n  && amount_minr > 5\nweight: 1"), "mine.yaml:9:10", "did you mean"),
        (rule("id: a.b\nwhen: has_payee\n  && amount_minr > 5\nweight: 1"), "mine.yaml:8:10", "did you mean"),
        (rule('id: a.b\nwhen: "amount_minr > 5"\nweight: 1'), "mine.yaml:7:12", "did you mean"),
        (rule("id: a.b\nwhen: device_age_days > 5.0\nweight: 1"), "mine.yaml:7:11", "guard it: has(device_age_days)"),
        (rule("id: a.b\nwhen: amount_minor > 5 && amount_minor < 6\nweight: 1"), "mine.yaml:7:11", "dead rule"),
        (rule("id: a.b\nwhen: channel == 'app' && channel == 'web'\nweight: 1"), "mine.yaml:7:11", "dead rule"),
        (rule("id: a.b\nwhen: hour_share > 1.5 && has(hour_share)\nweight: 1"), "mine.yaml:7:11", "dead rule"),
        (rule("id: a.b\nwhen: amount_minor >= 0 || has_payee\nweight: 1"), "mine.yaml:7:11", "true for every payment"),
        (rule("id: a.b\nwhen: slips >= 3 && has_payee\nweight: 1"), "mine.yaml:7:11", "slips lead to a reminder alone"),
        (rule("id: a.b\nwhen: slips_recent > 3.0\noutcome: review"), "mine.yaml:7:11", "slips lead to a reminder"),
        (rule("id: a.b\nwhen: age_band == '65+'\nweight: 1"), "mine.yaml:7:11", "only by a written rule"),
        (rule("id: a.b\nwhen: vulnerable\nweight: 1\nprotective: true"), "mine.yaml:6:5", "needs 'why:'"),
        (
            rule("id: a.b\nwhen: age_band == '65+'\nweight: 5\nprotective: true\nwhy: old"),
            "mine.yaml:7:11",
            "parity: on a routine",
        ),
        (
            rule("id: a.b\nwhen: age_band == '18-29'\nweight: -5\nprotective: true\nwhy: young"),
            "mine.yaml:7:11",
            "parity: on a routine",
        ),
        (rule("id: a.b\nwhen: count_day > 9.0\nweight: 1\nwindow: 90d"), "mine.yaml:7:11", "window is 90 days"),
        (
            rule("id: a.b\nwhen: has(pair_age_days) && pair_age_days > 5000.0\nweight: 1"),
            "mine.yaml:7:11",
            "history keeps 3650",
        ),
        (rule("id: a.b\nwhen: has_payee\nweight: 1\nreason: {en: Hello}"), "mine.yaml:9:13", "the translation 'zh'"),
        (rule("id: a.b\nwhen: has_payee\nweight: 1\nevidence: [foo]"), "mine.yaml:6:5", "unknown variable 'foo'"),
        (rule("id: a.b\nwhen: has_payee\nweight: 1\nscam: foo"), "mine.yaml:9:11", "use one of none, takeover"),
        (rule("id: a.b\nwhen: [1]\nweight: 1"), "mine.yaml:7:11", "must be one condition"),
        (rule("id: a.b\nwhen: payees.all(p, p > 1)\nweight: 1"), "mine.yaml:7:11", "cannot loop"),
        (
            rule("id: a.b\nwhen: has_payee && limits.daily > 1.0\nweight: 1"),
            "mine.yaml:7:24",
            "unknown variable 'limits.daily'",
        ),
        (rule("id: adverse_pair\nwhen: has_payee\nweight: 1"), "mine.yaml:6:5", "a second rule 'adverse_pair'"),
        (HEAD + "deny:\n  - {payee: p-1, reason: x, owner: y}\n", "mine.yaml:6:5", "needs 'until:'"),
        (HEAD + "deny:\n  - {reason: x, owner: y, until: 2027-01-01}\n", "mine.yaml:6:5", "at least one of account"),
        (HEAD + "deny:\n  - {payee: p, reason: x, owner: y, until: soon}\n", "mine.yaml:6:44", "must be a date"),
        (
            HEAD + "snooze:\n  - {rule: nope, account: a, payee: p, reason: x, owner: y, until: 2027-01-01}\n",
            "mine.yaml:6:5",
            "unknown rule 'nope'",
        ),
        (
            HEAD + "snooze:\n  - {rule: adverse_pair, account: a, payee: p, reason: x, owner: y, until: 2027-01-01}\n",
            "mine.yaml:6:5",
            "is a hard rule and cannot be snoozed",
        ),
        (HEAD + "examples:\n  - {name: x, expect: {outcome: approve}}\n", "mine.yaml:6:5", "either 'given:'"),
        (HEAD + "common: true\n", "mine.yaml:5:1", "unknown key 'common'"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, place: str, says: str) -> None:
    lines = found(text)
    assert any(line.startswith(place + ": ") and says in line for line in lines), lines


def test_a_file_that_is_not_utf8_or_too_large_is_refused() -> None:
    with pytest.raises(PackError, match=r"a\.yaml:2:4: not UTF-8"):
        Policy.from_files({"a.yaml": b"pack: a\nx: \xff"})
    with pytest.raises(PackError, match="larger than"):
        Policy.from_files({"a.yaml": b"#" * (5 << 20)})


def test_contradictory_rules_are_found() -> None:
    text = rule("id: a.one\nwhen: amount_minor > 5 && has_payee\noutcome: review")
    text += "  - id: a.two\n    when: has_payee && amount_minor >= 6\n    outcome: decline\n"
    assert any("mine.yaml:10:11: contradiction: 'a.two' and 'a.one' (mine.yaml:7)" in line for line in found(text))
    opposite = text.replace("outcome: review", "weight: 1").replace("outcome: decline", "weight: -2")
    assert any("opposite weights" in line for line in found(opposite))
    same = text.replace("outcome: decline", "outcome: review")
    assert any("warning: 'a.two' repeats the condition" in line for line in found(same))
    inner = text.replace(">= 6", ">= 60").replace("decline", "remind")
    assert any("warning: 'a.two' never decides" in line for line in found(inner))


def test_a_pack_that_is_never_reached_is_found(small: SimpleNamespace) -> None:
    first = HEAD + "order: 1\n"
    second = (
        "pack: other\nscenario: ecommerce\norder: 2\nmatch: has_payee && amount_minor > 3\nthresholds: {review: 9}\n"
    )
    lines = [str(problem) for problem in small.problems(first, second)]
    assert any(line.startswith("1.yaml:4:8: never reached") for line in lines), lines


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(HEAD.replace("has_payee", "has_paye") + "foo: 1\nbar: 2\n")
    messages = [str(problem) for problem in check_files([bad], SCHEMA)]
    assert len(messages) == 3
    assert all(message.startswith(f"{bad}:") for message in messages)


def test_the_shipped_packs_and_the_jurisdiction_examples_are_clean() -> None:
    assert shipped().check(SCHEMA) == []
    warned = set()
    for path in sorted((PACKS / "jurisdictions").glob("*.yaml")):
        policy = Policy.load([path])
        problems = policy.check(SCHEMA)
        assert errors(problems) == [], path.name
        assert all("currency without a rate" in problem.message for problem in problems), path.name
        warned |= {path.stem for problem in problems}
        results = run_examples(policy.packs, policy.compile(SCHEMA, hash_id), ExampleHistories(policy, Settings()))
        assert [problem for result in results for problem in result.problems] == []
        assert len(results) >= 3
    assert warned == {"china", "european_union"}, "whose limits hang on rates"
    assert {terms.name for terms in shipped().compile(SCHEMA, hash_id).scenarios if terms.pack != "common"} == set(
        SCHEMA["scenario"].values[1:]
    )


def test_a_dated_limit_counts_by_the_time_of_the_event(small: SimpleNamespace) -> None:
    pack = """
pack: land
kind: jurisdiction
match: has_payee
limits:
  - {name: day, value: 100, valid_from: 2026-01-01, valid_to: 2026-07-01, instrument: I, source: S, status: check}
  - {name: day, value: 200, valid_from: 2026-07-01, instrument: I, source: S, status: check}
rules:
  - {id: land.above, when: "has(amount_reference) && amount_reference > limits.day", outcome: challenge}
"""
    policy = small.compiled(pack)
    june, july, before = 1_782_777_600_000_000, 1_782_864_000_000_000, 1_767_000_000_000_000
    fired = [
        small.evaluate(policy, when=when, has_payee=True, amount_reference=150.0)["hard_rule"] >= 0
        for when in (before, june, july)
    ]
    assert fired == [False, True, False]


def test_version_is_the_digest_of_the_content_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "mine.yaml").write_text(HEAD)
    first, second = Policy.load([one]), Policy.load([other / "mine.yaml"])
    assert first.version == second.version == Policy.from_files(first.files).version
    assert first.version.startswith("p-")
    assert len(first.version) == 14
    (other / "mine.yaml").write_text(HEAD + "# a comment\n")
    assert Policy.load([other]).version != first.version


def test_a_pack_alone_is_completed_with_the_common_one() -> None:
    policy = Policy.from_files({"mine.yaml": HEAD.encode()})
    assert set(policy.files) == {"mine.yaml", "common.yaml"}
    assert policy.given == {"mine.yaml"}
    assert policy.trusts("reviewer:wang")
    assert not policy.trusts("wang")


def test_errors_keep_a_policy_from_being_compiled() -> None:
    policy = Policy.from_files({"mine.yaml": HEAD.replace("has_payee", "has_paye").encode()})
    with pytest.raises(PackError, match=r"mine\.yaml:3:8: unknown variable"):
        policy.compile(SCHEMA, hash_id)
    assert len(errors(policy.check(SCHEMA))) == 1
