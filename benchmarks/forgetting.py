"""Memory over half a year in which accounts and payees come and go, with idle rows forgotten and without.

    python benchmarks/forgetting.py                       180 simulated days of 2,000 accounts: about three minutes, 1 GB
    python benchmarks/forgetting.py --limit-days 30 --json   one JSON object on the last line
    python benchmarks/forgetting.py --unchanged           also: with the default limits no decision is another

The simulated bank's payments go through both hops of the pure core, and after every 4,000 of them a checkpoint's sweep. Its
customers do not stay: every ``--stay-days`` (60) each gives way to a new one with accounts of its own, and so does half of the
payees. Three processes walk the same payments: one forgets rows idle for ``--limit-days`` (45), one forgets none,
and the traffic is made in a third; memory is that of the rows' process, less what it was before.

``--unchanged`` walks them with the settings' defaults and with no limits, decides each by the first model and the shipped policy, and
compares every byte of frames, features and decisions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import orjson

from benchmarks.memory import resident
from rules.policy import shipped
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.columns import FEEDBACK
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.edge.decode import decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.core.table.forgetting import BY_DEFAULT, NEVER, IdleLimits
from stream.core.table.row_table import RowTable

ROOT = Path(__file__).resolve().parents[1]
DAY_US = 86_400_000_000
MATURITY_DAYS, LATENESS_US, DEFAULT_PAYEES_DAYS = 30, 3_600_000_000, 180
BATCH, FORGOTTEN_AT_ONCE = 4_000, 1_000
FUTURE_MS = 1 << 60
_NO_FEEDBACK = np.zeros(0, FEEDBACK)


@dataclass
class Line:
    """Both hops of one partition, as a worker has them."""

    idle: IdleLimits
    idle_payees_us: int
    decides: bool = False
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    events: int = 0
    forgotten: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        settings = HopSettings(1, MATURITY_DAYS * DAY_US, LATENESS_US, self.idle, self.idle_payees_us)
        self.accounts = AccountHop(0, settings)
        self.payees = PayeeHop(0, settings.maturity_us, self.idle_payees_us)
        self._decider = Decider(first_snapshot(1), shipped()) if self.decides else None

    def walk(self, values: list[bytes | None]) -> None:
        """One batch, and what a checkpoint does to the rows behind it."""
        offsets = np.arange(self.events, self.events + len(values), dtype=np.int64)
        decoded = decode_transactions(values, offsets, np.zeros(len(values), np.int64), 0, 1, future_ms=FUTURE_MS)
        if decoded.refused:
            raise ValueError(f"the simulator's own transaction was refused: {decoded.refused[0]}")
        for _, frame in self.accounts.process(decoded.columns, _NO_FEEDBACK).frames:
            received = self.payees.process([(self.events, decode_frame(frame))])
            if self._decider is not None:
                self.digest.update(frame)
                self.digest.update(received.features.tobytes())
                for decision in render(self._decider.decide(received), self._decider).decisions:
                    self.digest.update(decision)
        self.events += len(values)
        self.forgotten += self.accounts.forget(FORGOTTEN_AT_ONCE) + self.payees.forget(FORGOTTEN_AT_ONCE)
        self.accounts.written()
        self.payees.written()

    def tables(self) -> tuple[RowTable, ...]:
        """All rows there are."""
        return self.accounts.table, self.accounts.customers, self.accounts.told, self.payees.table, self.payees.busy


def bank(accounts: int, stay_days: int, days: int) -> Iterator[tuple[int, list[bytes | None]]]:
    """Batches with the day they begin on; a bank whose customers and half of whose payees give way to others."""
    command = [sys.executable, "-m", "benchmarks.traffic", str(accounts)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            began, day = None, 0
            while True:
                batch: list[bytes | None] = []
                for line in islice(process.stdout, BATCH):
                    paid = orjson.loads(line.partition(b"\t")[2])
                    now = np.datetime64(paid["event_time"][:10], "D").astype(int)
                    began = now if began is None else began
                    if not batch:
                        day = int(now - began)
                    batch.append(_of_its_time(paid, int(now), stay_days))
                if day > days:
                    return
                yield day, batch
        finally:
            process.kill()


def _of_its_time(paid: dict[str, object], day: int, stay_days: int) -> bytes:
    """The payment with the names of whoever has the place now."""
    owner = str(paid.get("customer_id") or paid["account_id"])
    came = (day + zlib.crc32(owner.encode()) % stay_days) // stay_days
    for name in ("account_id", "customer_id"):
        if paid.get(name):
            paid[name] = f"{paid[name]}.{came}"
    payee = zlib.crc32(str(paid.get("payee_id")).encode())
    if paid.get("payee_id") and payee % 2:
        paid["payee_id"] = f"{paid['payee_id']}.{(day + payee % stay_days) // stay_days}"
    return orjson.dumps(paid)


def measure(arguments: argparse.Namespace, limit_days: float) -> dict[str, object]:
    """Rows and memory day by day with one limit for all rows; 0: nothing is forgotten."""
    warm = Line(IdleLimits(DAY_US, DAY_US), DAY_US)
    for _, batch in islice(bank(200, arguments.stay_days, arguments.days), 2):
        warm.walk(batch)
    before = resident() / 2**20
    limit = round(limit_days * DAY_US)
    line, by_day = Line(IdleLimits(limit, limit), limit), {}
    for day, batch in bank(arguments.accounts, arguments.stay_days, arguments.days):
        line.walk(batch)
        if day in by_day:
            continue
        by_day[day] = {
            "accounts": len(line.accounts.table), "customers": len(line.accounts.customers), "payees": len(line.payees.table),
            "rows_mb": round(sum(table.bytes_held for table in line.tables()) / 2**20, 1),
            "rss_mb": round(resident() / 2**20 - before, 1), "forgotten": line.forgotten,
        }  # fmt: skip
    return {"limit_days": limit_days, "events": line.events, "days": by_day}


def unchanged(arguments: argparse.Namespace) -> dict[str, object]:
    """Digests of all that is computed, with the default limits and with none."""
    by_default = Line(BY_DEFAULT, DEFAULT_PAYEES_DAYS * DAY_US, decides=True)
    without = Line(NEVER, 0, decides=True)
    for _, batch in bank(arguments.accounts, arguments.stay_days, arguments.days):
        by_default.walk(batch)
        without.walk(batch)
    return {
        "decisions": by_default.events, "days": arguments.days, "forgotten": by_default.forgotten,
        "equal": by_default.digest.digest() == without.digest.digest(), "sha256": by_default.digest.hexdigest(),
    }  # fmt: skip


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--stay-days", type=int, default=60, help="so long a customer stays, days")
    parser.add_argument("--limit-days", type=float, default=45.0, help="idle rows are forgotten after so many days")
    parser.add_argument("--unchanged", action="store_true", help="compare decisions under the default limits, too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure and print; ends with 1 where memory grew by over a tenth from the middle to the end, or a decision changed."""
    arguments = parse()
    if arguments.alone:
        print(json.dumps(measure(arguments, arguments.limit_days)))
        return 0
    found = {name: _in_a_process(limit) for name, limit in (("forgets", arguments.limit_days), ("keeps", 0.0))}
    shown = [day for day in range(0, arguments.days + 1, 15) if str(day) in found["forgets"]["days"]]
    print(
        f"{'day':>5}{'accounts':>10}{'payees':>10}{'rows MB':>10}{'RSS MB':>10}   without forgetting:{'rows MB':>10}{'RSS MB':>10}"
    )
    for day in shown:
        one, other = (found[name]["days"][str(day)] for name in ("forgets", "keeps"))
        print(
            f"{day:>5}{one['accounts']:>10,}{one['payees']:>10,}{one['rows_mb']:>10}{one['rss_mb']:>10}"
            f"{'':22}{other['rows_mb']:>10}{other['rss_mb']:>10}"
        )
    last, middle = (found["forgets"]["days"][str(day)] for day in (shown[-1], shown[len(shown) // 2]))
    ratios = {name: round(last[name] / middle[name], 3) for name in ("rows_mb", "rss_mb")}
    print(
        f"day {shown[-1]} / day {shown[len(shown) // 2]}: rows {ratios['rows_mb']}, resident memory {ratios['rss_mb']}"
    )
    result: dict[str, object] = {**found, **ratios}
    good = max(ratios.values()) <= 1.1
    if arguments.unchanged:
        same = result["unchanged"] = unchanged(arguments)
        print(
            f"{same['decisions']:,} decisions with the default limits and with none: {'equal' if same['equal'] else 'DIFFERENT'}"
        )
        good = good and bool(same["equal"])
    if arguments.json:
        print(json.dumps(result))
    return 0 if good else 1


def _in_a_process(limit_days: float) -> dict[str, dict[str, dict[str, float]]]:
    """Memory of a process that did nothing else."""
    own = [name for name in sys.argv[1:] if name not in ("--json", "--unchanged")]
    command = [sys.executable, __file__, *own, "--alone", "--limit-days", str(limit_days)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, dict[str, dict[str, float]]] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    sys.exit(main())
