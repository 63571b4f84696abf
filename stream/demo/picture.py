"""A demonstration's last screen and closing words as one SVG file."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from stream.demo.demonstration import Demonstration
from stream.demo.demonstration_screen import ScreenFrame, summary
from stream.errors import UsageError

WIDTH, HEIGHT = 118, 30
# a picture asks nobody for a font
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def write_picture(shown: Demonstration, path: Path) -> None:
    """Draw it.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    console = Console(
        record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(ScreenFrame(shown, time.monotonic()))
    console.print(summary(shown))
    drawn = console.export_svg(
        title="riskstream demo", theme=DIMMED_MONOKAI, code_format=_FORMAT, unique_id="riskstream-demo"
    )
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--picture {path}: {error.strerror}") from error
