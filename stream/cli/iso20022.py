"""``riskstream iso20022``: messages in files as records of the contract."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from stream.cli.options import json_option, print_json
from stream.cli.say import say
from stream.errors import UsageError
from stream.settings import load

if TYPE_CHECKING:
    from stream.iso20022.converter import Conversion, Seen
    from stream.iso20022.terms import ReadingTerms

_FILE = click.Path(dir_okay=False, path_type=Path)
_EXAMPLES = """
\b
Examples:
  riskstream iso20022 convert payment.xml
  riskstream iso20022 convert inbox/*.xml --out records.jsonl
  riskstream iso20022 convert original.xml return.xml --json    # a return finds its payment in the files before it
"""


@click.group(
    help="Read ISO 20022 messages from files. On Kafka: riskstream gateway iso20022. The map: docs/iso20022.md."
)
def command() -> None:
    """Group of the commands below."""


@command.command(
    epilog=_EXAMPLES,
    help="Write the payments, reversals and feedback of each FILE (pain.001, pacs.008, pacs.004, camt.056, camt.029, in any "
    "envelope) as JSON lines. Account numbers become tokens by the key in RISKSTREAM_HASH_KEY_FILE. What cannot be read is said "
    "with message type, transaction and path; everything else is written all the same, and the exit status is then 1.",
)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--out", type=_FILE, help="Write the records here.  [default: standard output]")
@json_option
def convert(files: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Convert every file; refuse none for another's faults."""
    from stream.iso20022.converter import Seen
    from stream.message_terms import terms_of

    terms = terms_of(load())
    for file in files:
        if out is not None and out.exists() and file.exists() and out.samefile(file):
            raise UsageError(f"--out {out} is one of the files to read; name another")
    seen, counts, reasons = Seen(), Counter[str](), Counter[str]()
    try:
        target: IO[bytes] = sys.stdout.buffer if out is None else out.open("wb")
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a file that can be written") from error
    try:
        for file in files:
            _write(_converted(file, terms, seen, reasons), file, seen, target, counts, reasons)
        target.flush()
    finally:
        if out is not None:
            target.close()
    say(f"{len(files)} files: {counts['transaction']:,} transactions, {counts['feedback']:,} feedback, "
        f"{reasons.total():,} not converted", err=True)  # fmt: skip
    if as_json:
        print_json(
            {
                "files": len(files), "transactions": counts["transaction"], "feedback": counts["feedback"],
                "refused": reasons.total(), "refused_by_reason": dict(sorted(reasons.items())),
            }
        )  # fmt: skip
    if reasons:
        click.get_current_context().exit(1)


def _converted(file: Path, terms: ReadingTerms, seen: Seen, reasons: Counter[str]) -> Conversion | None:
    from stream.iso20022.converter import convert as converted

    try:
        with file.open("rb") as source:
            # a byte more than is allowed is enough to refuse it
            data = source.read(terms.limits.size + 1)
    except OSError as error:
        say(f"{file}: document: unreadable: {error.strerror}", err=True)
        reasons["unreadable"] += 1
        return None
    return converted(data, terms, seen)


def _write(
    conversion: Conversion | None, file: Path, seen: Seen, target: IO[bytes], counts: Counter[str], reasons: Counter[str]
) -> None:  # fmt: skip
    if conversion is None:
        return
    for record in conversion.records:
        target.write(record.value + b"\n")
        counts[record.topic] += 1
        if record.original is not None:
            seen.add(record.original)
    for refused in conversion.refused:
        line = f":{refused.line}" if refused.line else ""
        say(f"{file}{line}: {refused.reason}: {refused}", err=True)
        reasons[refused.reason] += 1
