"""``riskstream map``: look at a file, propose its column map, show how its rows would be read."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from stream.cli.options import json_option, print_json
from stream.cli.say import say
from stream.errors import RiskstreamError, UsageError

if TYPE_CHECKING:
    from stream.replay.source.column_map import ColumnMap

SHOWN_ROWS = 10
_FILE = click.Path(dir_okay=False, path_type=Path)
_EXAMPLES = """
\b
Examples:
  riskstream map statement.csv                        # look, propose, show ten rows
  riskstream map statement.csv --out map.yaml         # write the proposal, then answer its questions
  riskstream map statement.csv --columns map.yaml     # ten rows as that map reads them
  riskstream map payments.parquet --json
"""


@click.command(
    epilog=_EXAMPLES,
    help="Look at FILE (CSV, JSON, Parquet, .xlsx) and propose a column map. What the look cannot tell becomes a QUESTION in "
    "it; what has no answer yet is refused, never guessed. Then ten rows are shown as they would be read, and those that would "
    "be refused. Exit status 1 where no row could be read; with --columns, where one is refused. The form of a map: docs/files.md.",
)
@click.argument("file", type=_FILE)
@click.option("--columns", "map_file", type=_FILE, help="Show rows as this map reads them; propose nothing.")
@click.option("--out", type=_FILE, help="Write the proposal here; a file that is there is left alone.")
@json_option
def command(file: Path, map_file: Path | None, out: Path | None, as_json: bool) -> None:
    """Propose, write, show."""
    from stream.replay.source.column_map import load_column_map, parse_column_map
    from stream.replay.source.map_proposal import propose

    if map_file is not None and out is not None:
        raise UsageError("--out is for a proposal; with --columns there is none")
    if out is not None and out.exists():
        raise UsageError(f"{out}: is there already; name another file, or remove it")
    if map_file is not None:
        column_map = load_column_map(map_file)
        text, questions = map_file.read_bytes().decode("utf-8", "replace"), []
    else:
        proposal = propose(file)
        text, questions = proposal.text, proposal.questions
        column_map = parse_column_map(str(out or "proposal"), text.encode())
        if out is None:
            for line in text.removesuffix("\n").split("\n"):
                say(line)
        else:
            try:
                out.write_text(text, "utf-8")
            except OSError as error:
                raise UsageError(f"{out}: {error.strerror}; --out names a file that can be written") from error
            say(f"{out}: {len(questions)} questions to answer", err=True)
    rows, refused = _read(file, column_map, whole=map_file is not None)
    for line in (*(orjson.dumps(row).decode() for row in rows), *refused):
        say(f"  {line}")
    if as_json:
        print_json({"map": text, "questions": questions, "rows": rows, "refused": refused})
    if not rows or (refused and map_file is not None):
        click.get_current_context().exit(1)


def _read(file: Path, column_map: ColumnMap, *, whole: bool) -> tuple[list[Any], list[str]]:
    """Ten rows as they are read, and why some of them would be refused; ``whole``: without those that are refused.

    A proposal has open questions: its rows are shown as far as they can be read.
    """
    from stream.replay.source.sources import open_source

    try:
        source = open_source(file, column_map)
    except UsageError as error:
        if "RISKSTREAM_HASH_KEY_FILE" not in str(error):
            raise
        return [], [str(error)]
    rows: list[Any] = []
    refused: list[str] = []
    try:
        for chunk in islice(source.chunks(SHOWN_ROWS), 1):
            rows = [orjson.loads(value) for value in (chunk.accepted_values if whole else chunk.values) if value]
            lines = [] if chunk.lines is None else chunk.lines.tolist()
            refused = [f"{file}:{lines[one.index]}: {one.reason}: {one.message}" for one in chunk.decoded.refused]
    except RiskstreamError as error:
        refused.append(str(error))
    return rows, refused
