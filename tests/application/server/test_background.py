"""Work beside the loop: with the interpreter handed over more often and no collection in its way."""

import asyncio
import gc
import sys
import threading

import pytest

from application.server.background import SWITCH_INTERVAL_S, in_background


def state() -> tuple[bool, float]:
    return gc.isenabled(), sys.getswitchinterval()


def test_the_work_runs_in_another_thread_without_collections_and_with_short_turns() -> None:
    collects, switch_interval_s = asyncio.run(in_background(state))
    assert not collects
    assert switch_interval_s == pytest.approx(SWITCH_INTERVAL_S)
    assert asyncio.run(in_background(threading.get_ident)) != threading.get_ident()


def test_afterwards_everything_is_as_before_also_when_the_work_fails() -> None:
    def fail() -> None:
        raise ValueError("work")

    before = state()
    asyncio.run(in_background(state))
    assert state() == before
    with pytest.raises(ValueError, match="work"):
        asyncio.run(in_background(fail))
    assert state() == before


def test_whoever_collects_nothing_at_all_goes_on_collecting_nothing() -> None:
    gc.disable()
    try:
        asyncio.run(in_background(state))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_cancelled_work_puts_everything_back_when_it_ends() -> None:
    before, begun, may_end = state(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)

    async def run() -> tuple[bool, float]:
        working = asyncio.ensure_future(in_background(work))
        await asyncio.to_thread(begun.wait, 10)
        working.cancel()
        await asyncio.wait([working])
        meanwhile = state()
        may_end.set()
        return meanwhile

    meanwhile = asyncio.run(run())  # which waits for the thread
    assert meanwhile != before
    assert state() == before
