"""Freed memory, counted in page faults: one for every page that the kernel had to make."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.pal.linux.memory import keep_freed_memory

PROGRAM = """
import resource, sys
from infrastructure.pal.linux.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def make_and_free_a_batch():
    return [bytes(65_000) for _ in range(64)]

make_and_free_a_batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    make_and_free_a_batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

PAGES_OF_ALL_BATCHES = 10 * 64 * 65_000 // os.sysconf("SC_PAGE_SIZE")


def page_faults(choice: str) -> int:
    source = Path(__file__).parents[4] / "src"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, choice],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_the_memory_of_one_batch_serves_the_next() -> None:
    assert page_faults("give back") > PAGES_OF_ALL_BATCHES / 2
    assert page_faults("keep") < PAGES_OF_ALL_BATCHES / 20


def test_a_c_library_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    keep_freed_memory()
