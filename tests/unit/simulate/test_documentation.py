"""docs/simulator.md states the assumptions that the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.simulate import ATTACKS, KINDS
from stream.simulate.attacks import RELATIVE_RISK
from stream.simulate.habits import HABITS
from stream.simulate.places import CITIES
from stream.simulate.standing_orders import OBLIGATIONS

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


def habit_lines() -> list[str]:
    return [
        f"| {h.kind} | {h.private:g} / {h.company:g} | {h.group} | {h.favourites} | {h.new:.0%} | {h.yuan:g} | {h.spread:g} | {h.way} | {h.hours} |"
        for h in HABITS
    ]


def obligation_lines() -> list[str]:
    return [
        f"| {o.kind} | {o.payee} | {o.private:g} / {o.company:g} | {o.yuan:g} | {o.between:g} | {o.within:g} | {o.due[0]}-{o.due[1]} | {o.months} |"
        for o in OBLIGATIONS
    ]


@pytest.mark.parametrize("line", habit_lines() + obligation_lines())
def test_the_tables_are_those_of_the_code(line: str) -> None:
    assert line in PAGE


@pytest.mark.parametrize("attack", ATTACKS[1:])
def test_every_attack_is_described_with_its_risk_by_age(attack: str) -> None:
    risk = ", ".join(f"{value:g}" for value in RELATIVE_RISK[attack])
    assert any(line.startswith(f"| {attack} |") and risk in line for line in PAGE.splitlines())


def test_every_kind_and_city_is_named() -> None:
    assert not [kind for kind in KINDS if f"`{kind}`" not in PAGE]
    assert not [city.name for city in CITIES if city.name not in PAGE]
