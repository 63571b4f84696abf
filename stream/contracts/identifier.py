"""Identifiers: opaque tokens of the bank; its real numbers never enter."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""1 to 64 of letters, digits, ``_``, ``.``, ``:`` and ``-``."""
