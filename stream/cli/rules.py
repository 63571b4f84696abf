"""``riskstream rules``: check packs, and run the examples written in them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from rules.examples import ExampleResult, run_examples
from rules.policy import Policy, check_files, shipped
from rules.policy_check import outdated
from rules.problem import Problem, errors
from stream.cli.options import json_option, print_json
from stream.cli.say import say
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.settings import load

_PATHS = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group()
def command() -> None:
    """Check and test rule packs.

    A pack is a YAML file; its format is described in docs/packs.md. Without PATH the shipped packs are taken. What
    is given counts as one policy, completed with the shipped common pack where it brings none of its own.

    \b
    Examples:
      riskstream rules check
      riskstream rules check my-packs/
      riskstream rules test my-packs/person_transfer.yaml --json
    """


@command.command()
@_PATHS
@json_option
def check(paths: tuple[Path, ...], as_json: bool) -> None:
    """Find what is wrong with packs: one line each, as file:line:column: what, and what to do.

    Syntax, types, unknown names, dead and contradictory rules, history that is not kept, missing translations, and
    equal treatment of routine payments. Exit status 1 when there is an error; warnings do not fail.
    """
    problems = _check(paths)
    found = errors(problems)
    for problem in problems:
        say(str(problem))
    if as_json:
        print_json({"errors": len(found), "warnings": len(problems) - len(found), "problems": _rows(problems)})
    else:
        say(_summary(len(found), len(problems) - len(found)), err=True)
    if found:
        raise SystemExit(1)


@command.command()
@_PATHS
@json_option
def test(paths: tuple[Path, ...], as_json: bool) -> None:
    """Run the examples written in packs, and compare the outcomes with what their authors expect.

    Exit status 1 when an example comes out otherwise, or when a pack does not pass its check.
    """
    problems = errors(_check(paths))
    results = [] if problems else _run(_policy(paths))
    failed = [result for result in results if result.problems]
    for problem in problems:
        say(str(problem))
    for result in results:
        _show(result)
    if as_json:
        rows = [
            {
                "pack": r.pack,
                "example": r.name,
                "outcome": r.outcome,
                "passed": not r.problems,
                "problems": _rows(r.problems),
            }
            for r in results
        ]
        print_json(
            {
                "examples": len(results),
                "passed": len(results) - len(failed),
                "failed": len(failed),
                "results": rows,
                "problems": _rows(problems),
            }
        )
    else:
        say(f"{len(results) - len(failed)} of {len(results)} examples as expected", err=True)
    if failed or problems:
        raise SystemExit(1)


def _policy(paths: tuple[Path, ...]) -> Policy:
    return Policy.load(paths) if paths else shipped()


def _check(paths: tuple[Path, ...]) -> list[Problem]:
    problems = check_files(paths, SCHEMA) if paths else shipped().check(SCHEMA)
    if errors(problems):
        return problems
    return sorted({*problems, *outdated(_policy(paths).packs, time.time_ns() // 1000)})


def _run(policy: Policy) -> list[ExampleResult]:
    packs = [pack for pack in policy.packs if pack.file in policy.given]
    histories = None
    if any(example.event is not None for pack in packs for example in pack.examples):
        from stream.cli.example_history import ExampleHistories  # the whole core: only where it is asked for

        histories = ExampleHistories(policy, load())
    return run_examples(packs, policy.compile(SCHEMA, hash_id), histories)


def _show(result: ExampleResult) -> None:
    if not result.problems:
        say(f"ok   {result.pack}: {result.name} ({result.outcome})")
    for problem in result.problems:
        say(f"FAIL {result.pack}: {result.name}")
        say(f"     {problem}")


def _rows(problems: tuple[Problem, ...] | list[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "severity": problem.severity,
            "message": problem.message,
        }
        for problem in problems
    ]


def _summary(found: int, warnings: int) -> str:
    if not found and not warnings:
        return "no problems"
    return f"{found} error{'s' * (found != 1)}, {warnings} warning{'s' * (warnings != 1)}"
