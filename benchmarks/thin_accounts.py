"""What the shipped policy does to thin accounts without any label: friction, familiar payments, attacked accounts.

    python -m benchmarks.thin_accounts [--seeds 1,2,3,4] [--learn]

Traffic of :mod:`stream.simulate.thin_accounts`, each seed with and without a time of day, through the core of
``riskstream replay``. Exit status 1 where a figure misses what is asked: at most 30 genuine of 10,000 touched, at most 1
of 3,100 payments to a payee paid three times before, nine of ten attacked accounts touched. ``--learn`` runs the
learner's rounds too (slower; without labels it may change nothing).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson

from rules.ladder import OUTCOMES
from rules.policy import shipped
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import DAY_US, FileReplay, ReplaySettings
from stream.simulate.thin_accounts import ThinAccounts

CHALLENGE = OUTCOMES.index("challenge")
FAMILIAR = 3
"""Genuine payments to a payee before this one, from which it counts as familiar here."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Genuine payments, familiar ones and attacked accounts, and those touched; attacks that went by untouched."""

    genuine: int
    genuine_touched: int
    familiar: int
    familiar_touched: int
    attacked: int
    attacked_touched: int
    missed: tuple[tuple[str, int], ...]

    @property
    def per_10k(self) -> float:
        """Genuine payments touched, of 10,000."""
        return 1e4 * self.genuine_touched / self.genuine

    @property
    def familiar_per_3100(self) -> float:
        """Familiar payments touched, of 3,100."""
        return 3100.0 * self.familiar_touched / self.familiar

    @property
    def caught(self) -> float:
        """Share of the attacked accounts touched."""
        return self.attacked_touched / self.attacked

    @property
    def as_asked(self) -> bool:
        """Whether all three figures are met."""
        return self.per_10k <= 30.0 and self.familiar_per_3100 <= 1.0 and self.caught >= 0.9


def measure(bank: ThinAccounts, *, learn: bool = False) -> Touched:
    """Decide about a bank's traffic with the shipped policy and no label."""
    records, truth = bank.traffic()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "thin.jsonl"
        file.write_bytes(b"\n".join(orjson.dumps(record) for record in records) + b"\n")
        engine = FileReplay(ReplaySettings(round_us=7 * DAY_US if learn else 0), shipped())
        outcomes = [
            outcome
            for chunk in open_source(file).chunks()
            for step in engine.feed(chunk)
            for outcome in step.decided.verdicts["outcome"].tolist()
        ]
    paid: Counter[tuple[str, str]] = Counter()
    counts: Counter[str] = Counter()
    attacked: dict[str, bool] = {}
    attack_of: dict[str, str] = {}
    for record, known, outcome in zip(records, truth, outcomes, strict=True):
        touched, account = outcome >= CHALLENGE, known.account_id
        if known.fraud:
            attacked[account] = attacked.get(account, False) or touched
            attack_of[account] = known.attack
            continue
        counts.update(genuine=1, genuine_touched=touched)
        payee = record.get("payee_id")
        if payee is not None:
            if paid[account, payee] >= FAMILIAR:
                counts.update(familiar=1, familiar_touched=touched)
            paid[account, payee] += 1
    missed = Counter(attack_of[account] for account, touched in attacked.items() if not touched)
    return Touched(
        counts["genuine"], counts["genuine_touched"], counts["familiar"], counts["familiar_touched"],
        len(attacked), sum(attacked.values()), tuple(sorted(missed.items())),
    )  # fmt: skip


def main() -> int:
    """Print a line a bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3,4")
    parser.add_argument("--learn", action="store_true")
    arguments = parser.parse_args()
    fine = True
    print(f"{'seed':>4} {'clock':>5} {'genuine':>8} {'per 10k':>8} {'familiar per 3,100':>19} {'accounts':>9}  missed")
    for seed in map(int, arguments.seeds.split(",")):
        for clock in (True, False):
            found = measure(ThinAccounts(seed=seed, clock=clock), learn=arguments.learn)
            fine &= found.as_asked
            missed = ", ".join(f"{name} {count}" for name, count in found.missed)
            print(
                f"{seed:>4} {'yes' if clock else 'no':>5} {found.genuine:>8,} {found.per_10k:>8.1f} "
                f"{found.familiar_per_3100:>19.2f} {found.attacked_touched:>4}/{found.attacked:<4}  {missed}"
            )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
