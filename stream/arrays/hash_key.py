"""The key of tokens: a file that the setting ``hash_key_file`` names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stream.errors import UsageError

MIN_BYTES: Final = 16
HOW: Final = "RISKSTREAM_HASH_KEY_FILE names a file with at least 16 bytes, for instance of: openssl rand -hex 32"


def read_hash_key(file: str) -> bytes:
    """The key in a file, without white space at both ends.

    Raises
    ------
    UsageError
        The file cannot be read, or holds too few bytes.
    """
    try:
        key = Path(file).read_bytes().strip()
    except OSError as error:
        raise UsageError(f"RISKSTREAM_HASH_KEY_FILE: {file}: {error.strerror}") from error
    if len(key) < MIN_BYTES:
        raise UsageError(
            f"RISKSTREAM_HASH_KEY_FILE: {file}: {len(key)} bytes; a key has at least {MIN_BYTES}: openssl rand -hex 32"
        )
    return key
