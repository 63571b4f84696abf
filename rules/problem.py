"""What is wrong with a pack, and where: the one way this folder says no."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding of a check.

    Parameters
    ----------
    file
        Name of the file as it was given.
    line, column
        Position of the offending text, both counted from 1.
    message
        What is wrong, and what to do about it.
    severity
        ``error`` keeps a policy from being loaded; ``warning`` is only shown.
    """

    file: str
    line: int
    column: int
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        prefix = "" if self.severity == "error" else "warning: "
        return f"{self.file}:{self.line}:{self.column}: {prefix}{self.message}"


class PackError(ValueError):
    """A policy cannot be used; :attr:`problems` says where and why, one line each in ``str()``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """The problems that keep a policy from being loaded, in file order."""
    return sorted({problem for problem in problems if problem.severity == "error"})
