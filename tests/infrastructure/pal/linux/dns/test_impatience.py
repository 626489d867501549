"""Programs that may hang."""

import asyncio
import time
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns.impatience import run_within
from infrastructure.pal.linux.errors import ResolverError
from infrastructure.pal.linux.programs import Finished
from tests.infrastructure.pal.linux.dns.places import Programs

LONG_S = 60.0
SOON_S = 0.1


def run(limit_s: float, *command: str, document: bytes = b"", may_go_on: bool = False) -> Finished:
    return asyncio.run(run_within(limit_s, *command, document=document, may_go_on=may_go_on))


@pytest.mark.parametrize("may_go_on", [False, True])
def test_status_and_output_are_those_of_the_program(programs: Programs, *, may_go_on: bool) -> None:
    programs.add("speaker", "echo said $1 $LC_ALL; echo complained >&2; exit 7")
    finished = run(LONG_S, "speaker", "so what", may_go_on=may_go_on)
    assert finished == Finished(7, b"said so what C\ncomplained\n", "said so what C\ncomplained\n")


def test_the_document_is_its_input(programs: Programs) -> None:
    programs.add("reader", "cat")
    assert run(LONG_S, "reader", document=b"nameserver 10.0.1.1\n").output == b"nameserver 10.0.1.1\n"


def test_what_it_leaves_running_is_not_waited_for(programs: Programs) -> None:
    programs.add("starter", "sleep 60 & echo started")
    begin = time.monotonic()
    assert run(LONG_S, "starter").output == b"started\n"
    assert time.monotonic() - begin < 10


def test_a_hanging_program_is_ended_with_all_that_it_started(programs: Programs, tmp_path: Path) -> None:
    started = tmp_path / "started"
    programs.add("hanger", f'sleep 60 & echo $! > "{started}"; wait')
    begin = time.monotonic()
    with pytest.raises(ResolverError, match=r"^hanger now has not finished after 0.5 s$"):
        run(0.5, "hanger", "now")
    while (Path("/proc") / started.read_text().strip() / "exe").exists():  # a zombie has none
        assert time.monotonic() - begin < 20
        time.sleep(0.01)


def test_one_that_may_go_on_is_left_to_finish(programs: Programs, tmp_path: Path) -> None:
    late = tmp_path / "late"
    programs.add("slow", f'sleep 1; touch "{late}"')
    begin = time.monotonic()
    with pytest.raises(ResolverError, match="has not finished"):
        run(SOON_S, "slow", may_go_on=True)
    assert time.monotonic() - begin < 1
    while not late.exists():
        assert time.monotonic() - begin < 20
        time.sleep(0.05)


def test_a_cancellation_ends_it_at_once(programs: Programs) -> None:
    programs.add("hanger", "sleep 60")

    async def scenario() -> None:
        running = asyncio.ensure_future(run_within(LONG_S, "hanger"))
        async with asyncio.timeout(10):
            while not programs.calls:
                await asyncio.sleep(0.01)
        running.cancel()
        begin = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - begin < 1

    asyncio.run(scenario())


def test_a_program_that_is_not_there_is_named(programs: Programs) -> None:
    with pytest.raises(ResolverError, match="cannot start nowhere"):
        run(LONG_S, "nowhere")
