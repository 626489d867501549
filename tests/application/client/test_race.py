"""The fastest endpoint wins, and the others leave nothing behind."""

import asyncio
from functools import partial

import pytest

from application.client.race import first_to_answer
from application.network.connection.handshake import Established, HandshakeFailedError
from domain.addressing.endpoint import Endpoint
from tests.adapters.handshake import ScriptedHandshake
from tests.adapters.udp import FakeClientTransport, FakeDialer, FakeNetwork

SLOW, FAST, DEAD = "192.0.2.1", "2001:db8::1", "192.0.2.99"
HEAD_START_S = 0.02


class Course:
    """Races to hosts; every path that was opened is in ``paths``."""

    def __init__(self, delays_s: dict[str, float]) -> None:
        self.handshake = ScriptedHandshake(delays_s)
        self.dialer = FakeDialer(FakeNetwork(), "198.51.100.7")
        self.paths: list[FakeClientTransport] = []

    async def attempt(self, host: str) -> Established:
        path = await self.dialer.dial(Endpoint(host, 9090))
        self.paths.append(path)
        try:
            return await self.handshake.establish(path)
        except BaseException:
            path.close()
            raise

    def run(self, *hosts: str) -> Established:
        return asyncio.run(
            first_to_answer([partial(self.attempt, host) for host in hosts], head_start_s=HEAD_START_S)
        )

    def open_paths(self) -> list[str]:
        return [path.remote_endpoint.host for path in self.paths if not path.mailbox.closed]


def test_the_first_endpoint_wins_alone_if_it_answers_in_time() -> None:
    course = Course({SLOW: 0.0, FAST: 0.0})
    assert course.run(SLOW, FAST).transport.remote_endpoint.host == SLOW
    assert len(course.paths) == 1


def test_a_slow_endpoint_is_overtaken_and_its_path_closed() -> None:
    course = Course({SLOW: 5.0, FAST: 0.0})
    assert course.run(SLOW, FAST).transport.remote_endpoint.host == FAST
    assert course.open_paths() == [FAST]


def test_a_failure_lets_the_next_one_start_at_once() -> None:
    course = Course({FAST: 0.0})
    assert course.run(DEAD, DEAD, FAST).transport.remote_endpoint.host == FAST
    assert course.open_paths() == [FAST]


def test_two_that_answer_at_the_same_moment_leave_one_path_open() -> None:
    course = Course({SLOW: HEAD_START_S * 2, FAST: HEAD_START_S})
    winner = course.run(SLOW, FAST)
    assert course.open_paths() == [winner.transport.remote_endpoint.host]


def test_if_all_fail_the_reason_is_told_and_no_path_stays_open() -> None:
    course = Course({})
    with pytest.raises(HandshakeFailedError, match="no valid answer"):
        course.run(DEAD, SLOW)
    assert course.open_paths() == []


def test_a_cancelled_race_closes_every_path() -> None:
    course = Course({SLOW: 5.0, FAST: 5.0})

    async def scenario() -> None:
        attempts = [partial(course.attempt, host) for host in (SLOW, FAST)]
        async with asyncio.timeout(HEAD_START_S * 3):
            await first_to_answer(attempts, head_start_s=HEAD_START_S)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())
    assert len(course.paths) == 2
    assert course.open_paths() == []


def test_a_race_without_runners_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Course({}).run()
