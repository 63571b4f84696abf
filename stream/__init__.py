"""riskstream: real-time transaction risk alerting for banks.

Importing this package decides where compiled code is cached (see :func:`_place_compiled_code`); it must therefore
come before numba, which every entry point (the command line, the tests) sees to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

_KEPT = 6
"""Caches of other versions that are kept beside the one in use."""


def _place_compiled_code() -> None:
    """Give compiled code a cache of its own for each state of the sources.

    Numba notices a change of the file that a function stands in, not of the constants and functions it takes from
    others; a digest of all sources in the folder's name does. ``NUMBA_CACHE_DIR`` set from outside is left alone.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in ("detectors", "rules", "stream/core"):
        for source in sorted((root / package).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "riskstream"
    own = caches / f"numba-{digest.hexdigest()[:16]}"
    os.environ["NUMBA_CACHE_DIR"] = str(own)
    if not own.exists():
        others = sorted(caches.glob("numba-*"), key=lambda path: path.stat().st_mtime) if caches.exists() else []
        for outdated in others[:-_KEPT]:
            shutil.rmtree(outdated, ignore_errors=True)


_place_compiled_code()
