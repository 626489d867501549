"""Each test is a process of its own: signals belong to a process, and a third one ends it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infrastructure.pal.signals.shutdown import cancelled_by_signals
from tests.adapters.log import RememberingLog

PROGRAM = """
import asyncio, signal, sys
from application.runtime.log import LogLevel
from infrastructure.logging.stderr import setup_logging
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.signals.shutdown import cancelled_by_signals

async def main(cleanup):
    async with cancelled_by_signals(TextEventLog("tungo.test")):
        try:
            print("ready", flush=True)
            await asyncio.sleep(30)
        finally:
            print("cleanup", flush=True)
            await cleanup()
            print("clean", flush=True)
    print("left", flush=True)

async def quick():
    pass

async def until_told():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

async def broken():
    raise RuntimeError("no route")

async def stuck():
    print("stuck", flush=True)
    while True:
        pass

setup_logging(LogLevel.INFO)
asyncio.run(main({"quick": quick, "until_told": until_told, "broken": broken, "stuck": stuck}[sys.argv[1]]))
print("end", flush=True)
"""


@contextmanager
def program(cleanup: str, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", PROGRAM, cleanup],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            expect(process, "ready")
            yield process
        finally:
            process.kill()


def expect(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


def expect_log(process: subprocess.Popen[str], message: str, name: str) -> None:
    assert process.stderr is not None
    assert process.stderr.readline().endswith(f'msg="{message}" signal={name}\n')


def ending(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    out, _ = process.communicate(timeout=10)
    return process.returncode, out.split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_cleans_up_and_ends_with_status_0(number: signal.Signals) -> None:
    with program("quick") as process:
        process.send_signal(number)
        expect_log(process, "shutting down", number.name)
        assert ending(process) == (0, ["cleanup", "clean", "left", "end"])


def test_a_second_signal_is_logged_and_the_cleanup_goes_on() -> None:
    with program("until_told") as process:
        process.send_signal(signal.SIGTERM)
        expect_log(process, "shutting down", "SIGTERM")
        expect(process, "cleanup")
        process.send_signal(signal.SIGINT)
        expect_log(process, "shutdown is already running; one more signal ends it without cleanup", "SIGINT")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert ending(process) == (0, ["clean", "left", "end"])


def test_a_third_signal_ends_even_a_process_whose_loop_is_stuck() -> None:
    with program("stuck") as process:
        for number, line in [
            (signal.SIGTERM, "shutting down"),
            (signal.SIGTERM, "shutdown is already running; one more signal ends it without cleanup"),
            (signal.SIGINT, "ended without cleanup; the next start cleans up"),
        ]:
            process.send_signal(number)
            expect_log(process, line, number.name)
            if line == "shutting down":
                expect(process, "cleanup")
                expect(process, "stuck")
        assert ending(process) == (128 + signal.SIGINT, [])


def test_an_error_during_cleanup_is_not_a_clean_end() -> None:
    with program("broken") as process:
        process.send_signal(signal.SIGTERM)
        status, lines = ending(process)
        assert (status, lines) == (1, ["cleanup"])


def test_nohup_is_respected() -> None:
    with program("quick", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        expect_log(process, "shutting down", "SIGTERM")
        assert ending(process)[0] == 0


def test_without_a_signal_the_previous_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]

    async def uneventful() -> None:
        async with cancelled_by_signals(RememberingLog()):
            assert signal.getsignal(signal.SIGTERM) != before[0]

    asyncio.run(uneventful())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_cancellation_from_elsewhere_passes_through() -> None:
    log = RememberingLog()

    async def body() -> None:
        async with cancelled_by_signals(log):
            await asyncio.sleep(30)

    async def outside() -> None:
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(outside())
    assert log.events == []


def test_a_body_that_ends_while_the_signal_arrives_is_not_cancelled_afterwards() -> None:
    log = RememberingLog()
    before = signal.getsignal(signal.SIGTERM)

    async def body() -> str:
        async with cancelled_by_signals(log):
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        return "ended"

    try:
        assert asyncio.run(body()) == "ended"
        assert log.messages == ["shutting down"]
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
