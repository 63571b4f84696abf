"""Words of eight bytes say of text what its bytes say."""

from __future__ import annotations

import random

import numpy as np
import pytest

from stream.arrays.byte_words import first_bytes, load_word
from stream.core.edge.json_scan import plain_string_end


def is_plain(byte: int) -> bool:
    return 32 <= byte < 128 and byte not in b'"\\'


@pytest.mark.parametrize("place", range(17))
def test_a_string_ends_at_its_first_byte_that_is_not_plain(place: int) -> None:
    random_bytes = random.Random(place)
    for byte in range(256):
        behind = random_bytes.randbytes(24)
        text = np.frombuffer(b"x" * place + bytes([byte]) + behind + bytes(16), np.uint8)
        expected = next(at for at, each in enumerate(text.tolist()) if not is_plain(each))
        assert plain_string_end(text, 0) == expected


def test_the_first_bytes_of_a_word_are_kept() -> None:
    word = load_word(np.arange(1, 9, dtype=np.uint8), 0)
    for count in range(9):
        assert int(first_bytes(word, count)).to_bytes(8, "little") == bytes(range(1, count + 1)).ljust(8, b"\0")
