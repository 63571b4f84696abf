"""Where compiled code lies within its cache: by the module's place in the project, wherever the project lies.

Numba puts an absolute path's hash into the folder's name, so that a second checkout of the same sources compiles all of
it again, and takes a cache that the first one completed for its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba.core.caching import UserProvidedCacheLocator

ROOT = Path(__file__).parent.parent


class OfTheseSources(UserProvidedCacheLocator):
    """Numba's locator for functions of this project; of others it is none (``NUMBA_CACHE_LOCATOR_CLASSES``)."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """The folder within the cache.

        >>> OfTheseSources.get_suitable_cache_subpath(str(ROOT / "stream" / "core" / "decode.py"))
        'stream.core'
        """
        return ".".join(Path(py_file).resolve().relative_to(ROOT.resolve()).parent.parts)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """A locator, or None for a function that stands elsewhere."""
        if not Path(py_file).resolve().is_relative_to(ROOT.resolve()):
            return None
        return super().from_function(py_func, py_file)  # type: ignore[no-untyped-call]
