"""What a document may be at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Bounds of one XML document.

    Parameters
    ----------
    size
        Bytes.
    depth
        Elements inside each other, the root among them; the parser's own bound is 256.
    """

    size: int = 16 << 20
    depth: int = 64
