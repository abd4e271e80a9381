"""allocator: freed memory stays with the process inside the block, and returns to the system after it."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hubbub.runtime.allocator import keep_freed_memory

SIZE = 2**26


def page_faults() -> int:
    """Pages that were mapped while 64 MB were allocated, filled and freed once more."""
    _ = b"1" * SIZE
    del _
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    _ = b"1" * SIZE
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def check() -> None:
    """Run by the test in a process of its own: another test may have left free memory of this size in this one."""
    assert page_faults() > 100
    with keep_freed_memory():
        assert page_faults() < 10
        held = resident()
    assert held - resident() > SIZE // 2
    assert page_faults() > 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_freed_memory_stays_inside_the_block_and_returns_after_it() -> None:
    code = "from tests.runtime.test_allocator import check; check()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
