"""How a command speaks: a line on stdout or stderr, whatever its parts contain."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

import click

from stream.errors import RiskstreamError
from stream.logs import SPOKEN, Format, set_up
from stream.plain_text import one_line
from stream.settings import ENVIRONMENT_PREFIX, FILE_VARIABLE, load

LOG_FORMAT_VARIABLE = f"{ENVIRONMENT_PREFIX}LOG_FORMAT"
_form: Format = "text"


def say(line: str, *, err: bool = False, colour: str = "", mark: tuple[str, str] = ("", "")) -> None:
    """Write one line; line breaks and control characters in it are shown, not obeyed.

    Parameters
    ----------
    err
        To stderr, where it is a log record if logs are JSON.
    colour
        Of the line, on a terminal.
    mark
        A word before the line, and its colour.
    """
    if err and _form == "json":
        SPOKEN.info("%s%s", mark[0], line)
        return
    terminal = (sys.stderr if err else sys.stdout).isatty()
    parts = ((one_line(text), of if terminal else "") for text, of in (mark, (line, colour)))
    click.echo("".join(click.style(text, fg=of) if of else text for text, of in parts), err=err)


def say_error(error: RiskstreamError) -> None:
    """The last word of a command that cannot go on; its details stand set in below it."""
    if _form == "json":
        SPOKEN.error("%s", error)
        return
    say(f"riskstream: {error.message}", err=True, colour="red")
    for line in error.details:
        say(f"  {line}", err=True)


def begin() -> None:
    """Decide the form of what goes to stderr: from now on everything has it, also what click itself has to say."""
    global _form
    # what nobody asked for need not be read: most calls say nothing of it
    asked = {LOG_FORMAT_VARIABLE, FILE_VARIABLE} & os.environ.keys()
    _form = _wanted(os.environ) if asked else "text"
    set_up(_form, logging.WARNING)


def _wanted(environment: Mapping[str, str]) -> Format:
    try:
        said = load(environment=environment).log_format
    except RiskstreamError:  # said by the command itself, in the form that was asked for as far as it can be told
        said = environment.get(LOG_FORMAT_VARIABLE, "")
    return "json" if said == "json" else "text"
