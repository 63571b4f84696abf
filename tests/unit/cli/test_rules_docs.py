"""The pack from nothing of docs/packs.md, as a stranger would try it."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from rules.policy import PACKS
from stream.cli import riskstream


def test_the_first_pack_of_the_docs_works_at_the_first_try(tmp_path: Path) -> None:
    page = (PACKS.parent.parent / "docs/packs.md").read_text(encoding="utf-8")
    pack = tmp_path / "person.yaml"
    pack.write_text(re.findall(r"```yaml\n(pack: .*?)```", page, re.DOTALL)[0], encoding="utf-8")
    for verb in ("check", "test"):
        result = CliRunner().invoke(riskstream, ["rules", verb, str(tmp_path)])
        assert result.exit_code == 0, result.output
