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
_ROOT = Path(__file__).parent.parent
_COMPILED = (
    "detectors", "rules", "stream/arrays", "stream/core", "stream/contracts", "stream/errors.py", "stream/log/librdkafka.py",
    "stream/replay/measure/familiar_pairs.py", "stream/replay/source/truth_index.py",
)  # fmt: skip
"""Where compiled functions stand, and whatever they take constants and functions from; a test walks the imports."""


def compiled_sources(root: Path = _ROOT) -> list[Path]:
    """Every file that compiled code may depend on, in a fixed order: modules, and the tables that they read."""
    found: list[Path] = []
    for name in _COMPILED:
        place = root / name
        found += [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.csv")]
    return sorted(found)


def _place_compiled_code() -> None:
    """Give compiled code a cache of its own for each state of the sources.

    Numba notices a change of the file that a function stands in, not of the constants and functions it takes from
    others; a digest of all of them (:func:`compiled_sources`) in the folder's name does. ``NUMBA_CACHE_DIR`` set from outside is left alone.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    digest = hashlib.sha256()
    for source in compiled_sources():
        content = source.read_bytes()
        digest.update(b"%b\0%d\0%b" % (source.relative_to(_ROOT).as_posix().encode(), len(content), content))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "riskstream"
    own = caches / f"numba-{digest.hexdigest()[:16]}"
    os.environ["NUMBA_CACHE_DIR"] = str(own)
    os.environ.setdefault(
        "NUMBA_CACHE_LOCATOR_CLASSES", "stream.compiled_cache.OfTheseSources,UserProvidedCacheLocator"
    )
    if not own.exists():
        others = sorted(caches.glob("numba-*"), key=lambda path: path.stat().st_mtime) if caches.exists() else []
        for outdated in others[:-_KEPT]:
            shutil.rmtree(outdated, ignore_errors=True)


_place_compiled_code()
