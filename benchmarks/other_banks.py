"""Banks unlike the handbook's, to see whether models hold on data they were not made for: a file and its column map each.

    python benchmarks/other_banks.py --bank changing --out build/
    python benchmarks/detection.py --data build/changing.parquet --columns build/changing.yaml --test-weeks 2021-02-08 --json

- cards: 300,000 card payments of 150 days in crowns; shops copy cards that are used one to two weeks later, partly abroad.
- takeover: 400,000 transfers of 160 days in dollars, .1 % fraud; a new device, mules, a fifth of payments without a device, a
  tenth without a payee.
- changing: 250,000 payments of 180 days in rupiah, no payee, amounts over nine decades that grow; the thieves' method changes
  every 45 days, and a channel of the bank's is replaced.

All seeded; no column is named as the contract names it.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this script lies a rules.py that would hide the package

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet

Columns = dict[str, Any]
DAY = 86_400
FIRST = 1_600_000_000
"""Seconds since the epoch of the first day, 2020-09-13."""


def _times(rng: np.random.Generator, count: int, days: int, peak: float) -> Any:
    """Seconds from the beginning, around an hour of the day."""
    hours = np.clip(rng.normal(peak, 4, count) % 24, 0, 23.99)
    return (rng.integers(0, days, count) * DAY + hours * 3_600 + rng.random(count) * 60).astype(np.int64)


def _by_activity(rng: np.random.Generator, accounts: int, count: int, shape: float) -> Any:
    """The account of each payment; some pay much more often than others."""
    weight = rng.gamma(shape, 1.0, accounts)
    return rng.choice(accounts, count, p=weight / weight.sum())


def _with(honest: Columns, stolen: list[Columns]) -> Columns:
    """Honest payments and thefts in the order of time, with ``fraud``."""
    honest["fraud"] = np.zeros(len(honest["time"]), np.int64)
    joined = {
        name: np.concatenate((np.asarray(column), np.array([row.get(name, 1) for row in stolen])))
        for name, column in honest.items()
    }
    order = np.argsort(joined["time"], kind="stable")
    return {name: column[order] for name, column in joined.items()}


def cards(rng: np.random.Generator) -> Columns:
    """Copied cards."""
    count, days, accounts, shops = 300_000, 150, 4_000, 700
    account, usual = _by_activity(rng, accounts, count, 2.0), rng.integers(0, shops, (accounts, 12))
    own = usual[account, rng.integers(0, 12, count)]
    shop = np.where(rng.random(count) < 0.75, own, rng.integers(0, shops, count))
    time, level = _times(rng, count, days, 14.0), rng.normal(6, 0.8, accounts)
    entry = rng.choice(["chip", "nfc", "ecom", "moto"], count, p=[0.4, 0.35, 0.2, 0.05])
    honest = {"time": time, "account": account, "payee": shop, "amount": np.exp(level[account] + rng.normal(0, 0.9, count)),
              "entry": entry, "country": np.where(rng.random(count) < 0.03, "SK", "CZ")}  # fmt: skip
    stolen = []
    for day in range(5, days - 1, 3):
        copied = (shop == rng.integers(0, shops)) & (time // DAY >= day - 4) & (time // DAY < day)
        for victim in rng.permutation(np.unique(account[copied]))[:12]:
            start = (day + rng.integers(3, 15)) * DAY
            for number in range(rng.integers(1, 6)):
                where = rng.choice(["CZ", "SK", "RO", "US"], p=[0.6, 0.1, 0.15, 0.15])
                payee = rng.integers(0, shops) if rng.random() < 0.6 else rng.integers(7, 47)
                stolen.append({"time": start + number * rng.integers(300, 40_000), "account": victim, "payee": payee,
                               "amount": np.exp(level[victim] + rng.normal(1, 1)), "country": where,
                               "entry": rng.choice(["ecom", "moto", "nfc"])})  # fmt: skip
    return _with(honest, stolen)


def takeover(rng: np.random.Generator) -> Columns:
    """Accounts that others get into."""
    count, days, accounts, payees = 400_000, 160, 9_000, 60_000
    account, usual = _by_activity(rng, accounts, count, 1.2), rng.integers(0, payees, (accounts, 6))
    payee = np.where(rng.random(count) < 0.7, usual[account, rng.integers(0, 6, count)], rng.integers(0, payees, count))
    time, level = _times(rng, count, days, 16.0), rng.normal(8.5, 1.1, accounts)
    device = account * 10 + (rng.random(count) > 0.85)
    device += 4 * (time / DAY > (rng.random(accounts) * days * 3)[account])  # a new phone some day
    device[rng.random(count) < 0.2] = -1
    payee[rng.random(count) < 0.1] = -1
    honest = {"time": time, "account": account, "payee": payee, "amount": np.exp(level[account] + rng.normal(0, 1.1, count)),
              "device": device, "entry": rng.choice(["mobile", "web", "branch"], count, p=[0.7, 0.25, 0.05])}  # fmt: skip
    stolen = []
    for case in range(130):
        victim, mule = rng.integers(0, accounts), payees + case // 2
        start = rng.integers(10, days - 1) * DAY + rng.integers(0, DAY)
        used = 9_000_000 + case if rng.random() < 0.8 else victim * 10
        stolen += [{"time": start + number * rng.integers(60, 5_000), "account": victim, "device": used,
                    "payee": mule if rng.random() < 0.7 else rng.integers(0, payees),
                    "amount": np.exp(level[victim] + rng.normal(1.3, 0.8)), "entry": rng.choice(["mobile", "web"])}
                   for number in range(rng.integers(2, 6))]  # fmt: skip
    return _with(honest, stolen)


METHODS = ((3, 8, -2.5, None, "b"), (1, 3, 2.2, (1, 5), "a"), (2, 5, 0.8, None, "d"), (2, 5, 1.5, None, "c"))
"""Payments from and up to, log of the amount over the victim's usual, hours, channel: bursts of tiny payments; large ones at
night; the new channel; the one that was replaced."""


def changing(rng: np.random.Generator) -> Columns:
    """Thieves who change their method."""
    count, days, accounts = 250_000, 180, 2_500
    account, time = _by_activity(rng, accounts, count, 2.0), _times(rng, count, days, 12.0)
    level = rng.normal(7, 2.2, accounts)
    channel = rng.choice(["a", "b", "c"], count, p=[0.5, 0.3, 0.2])
    honest = {"time": time, "account": account, "entry": np.where((time > 90 * DAY) & (channel == "c"), "d", channel),
              "amount": np.exp(level[account] + rng.normal(0, 1.2, count)) * (1 + time / DAY / days)}  # fmt: skip
    stolen = []
    for day in range(3, days - 1):
        least, most, more, hours, way = METHODS[day // 45]
        for _ in range(rng.poisson(4)):
            victim, start = rng.integers(0, accounts), day * DAY + rng.integers(*(hours or (0, 24))) * 3_600
            stolen += [{"time": start + number * rng.integers(60, 1_500), "account": victim,
                        "amount": np.exp(level[victim] + rng.normal(more, 0.7)) * (1 + day / days),
                        "entry": way if rng.random() < 0.8 else "a"}
                       for number in range(rng.integers(least, most))]  # fmt: skip
    return _with(honest, stolen)


BANKS: dict[str, tuple[Callable[[np.random.Generator], Columns], str, str]] = {
    "cards": (cards, "CZK", "{chip: pos, nfc: pos, ecom: web, moto: call}"),
    "takeover": (takeover, "USD", "{mobile: app, web: web, branch: branch}"),
    "changing": (changing, "IDR", "{a: app, b: atm, c: branch, d: api}"),
}


def write(name: str, directory: Path, seed: int) -> tuple[Path, Path]:
    """A bank's file and its column map."""
    make, currency, channels = BANKS[name]
    columns = make(np.random.default_rng([seed, list(BANKS).index(name)]))
    table = {"nr": [f"N{number:08x}" for number in range(len(columns["time"]))], "who": [f"AC-{n}" for n in columns["account"]],
             "at": columns["time"] + FIRST, "value": columns["amount"], "way": columns["entry"], "bad": columns["fraud"]}  # fmt: skip
    fields = {
        "transaction_id": "{column: nr}", "account_id": "{column: who}", "event_time": "{column: at, format: unix_s}",
        "amount_minor": "{column: value, scale: 100}", "currency": f"{{constant: {currency}}}",
        "channel": f"{{column: way, values: {channels}}}",
    }  # fmt: skip
    for source, column, field in (
        ("payee", "whom", "payee_id"),
        ("device", "on", "device_id"),
        ("country", "where", "country"),
    ):
        if source in columns:
            absent = {"-1": None}
            table[column] = [absent.get(str(cell), str(cell)) for cell in columns[source]]
            fields[field] = f"{{column: {column}}}"
    directory.mkdir(parents=True, exist_ok=True)
    data, column_map = directory / f"{name}.parquet", directory / f"{name}.yaml"
    pa.parquet.write_table(pa.table(table), data)
    lines = ["fields:", *(f"  {field}: {origin}" for field, origin in fields.items()), "labels: {fraud: {column: bad}}"]
    column_map.write_text("\n".join(lines) + "\n")
    return data, column_map


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--bank", "banks", type=click.Choice(list(BANKS)), multiple=True, help="Which.  [default: all]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory of the files.")
@click.option("--seed", default=5, show_default=True)
def main(banks: tuple[str, ...], out: Path, seed: int) -> None:
    for name in banks or BANKS:
        data, column_map = write(name, out, seed)
        click.echo(f"{data} --columns {column_map}")


if __name__ == "__main__":
    main()
