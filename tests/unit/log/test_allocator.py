"""The next batch takes the pages that the last one gave back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource, sys
import numpy as np
from stream.log.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def batch():
    return sum(int(array[0]) for array in [np.ones(2 << 20, np.uint8) for _ in range(6)])
for _ in range(5):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Page faults of twenty batches of 12 MB each, in a process of its own: the setting is the process's."""
    run = subprocess.run([sys.executable, "-c", BATCHES, how], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_batches_fault_in_no_page_twice() -> None:
    assert faults("kept") * 10 < faults("returned")
