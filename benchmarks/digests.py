"""SHA-256 of what the core computes over a made-up history: what a change that should change nothing is held to.

Run it on the tree before and after; all lines must be equal. The history has bad records among the good, amounts in several
currencies, thin and shared customers (``--difficulty hard``) and late labels, learned from in rounds; beside the whole replay
a walk through both hops hashes frames and rows with verdicts, and the snapshots of models by their versions.

    python benchmarks/digests.py --events 400000
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # beside this script lies a rules.py that would hide the package
BAD = (
    b"{",
    b'{"transaction_id": 7}',
    b"\xff\xfe",
    b'{"amount_minor": 1e400}',
    b"[]",
    b"null",
    b'{"event_time": "2026-02-30T00:00:00Z"}',
)
EVERY = 211
"""A bad record stands after so many good ones."""


def main() -> None:
    """Make the history, walk it, print one line a digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument(
        "--walk", type=int, default=60_000, help="transactions through both hops, frames and rows hashed"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history, truth, decisions = (Path(folder) / name for name in ("bank.jsonl", "truth.csv", "decisions.jsonl"))
        _cli(
            "simulate", "--seed", str(options.seed), "--events", str(options.events), "--days", "120", "--fraud-rate",
            "0.004", "--difficulty", "hard", "--out", str(history), "--truth", str(truth),
        )  # fmt: skip
        _print("history", history.read_bytes())
        lines = history.read_bytes().splitlines()
        spoiled = b"\n".join(
            line if number % EVERY else line + b"\n" + BAD[number // EVERY % len(BAD)]
            for number, line in enumerate(lines)
        )
        history.write_bytes(spoiled + b"\n")
        said = _cli(
            "replay", str(history), "--labels", str(truth), "--label-delay", "5d", "--round", "10d", "--decisions",
            str(decisions), "--json", status=(0, 1),
        )  # fmt: skip
        every = decisions.read_bytes()
        _print("decisions", every)
        _print(
            "model versions",
            b"\n".join(sorted({line.split(b'"model_version":"')[1].split(b'"')[0] for line in every.splitlines()})),
        )
        print("report", json.dumps(json.loads(said.strip().splitlines()[-1]), sort_keys=True)[:200])
    spec = importlib.util.spec_from_file_location("walk", ROOT / "tests" / "properties" / "test_core_determinism.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(spec)
    import stream  # noqa: F401  (places the cache of compiled code)

    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transactions, verdicts = module.traffic(options.walk)
    print("frames and rows", module.walk(transactions, verdicts, list(range(1_000, options.walk, 1_000))))


def _cli(*arguments: str, status: tuple[int, ...] = (0,)) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ended.returncode not in status:
        sys.exit(ended.stderr)
    return ended.stdout


def _print(name: str, content: bytes) -> None:
    print(name, len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
