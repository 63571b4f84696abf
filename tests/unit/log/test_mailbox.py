"""The mailbox: bounded in records and bytes, nothing lost, nothing out of order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.log.mailbox import Mailbox
from stream.log.records import Place, Record, RecordBatch

PLACE = Place("t", 0)


def records(start: int, sizes: list[int]) -> RecordBatch:
    return RecordBatch.of([Record(start + n, 0, None, b"x" * size) for n, size in enumerate(sizes)])


@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=8), max_size=6), st.integers(1, 10), st.integers(1, 120)
)
def test_takes_are_bounded_in_order_and_complete(parts: list[list[int]], most: int, most_bytes: int) -> None:
    box = Mailbox(1_000, 10_000)
    sizes = [size for part in parts for size in part]
    put = 0
    for part in parts:
        box.put(PLACE, records(put, part))
        put += len(part)
    taken: list[int] = []
    while box:
        batch = box.take(most, most_bytes)[PLACE]
        offsets = batch.offsets.tolist()
        assert [len(batch.value(n) or b"") for n in range(len(batch))] == [sizes[offset] for offset in offsets]
        assert 1 <= len(offsets) <= most
        assert len(offsets) == 1 or sum(sizes[offset] for offset in offsets) <= most_bytes
        taken += offsets
    assert taken == list(range(len(sizes)))


def test_bytes_that_wait_stop_the_fetching_too() -> None:
    box = Mailbox(limit=100, limit_bytes=10)
    box.put(PLACE, records(0, [9]))
    assert box.has_room(PLACE)
    box.put(PLACE, records(1, [1]))
    assert not box.has_room(PLACE)
    box.take(1, 1)
    assert box.has_room(PLACE)
