"""Names and the addresses behind them, and resolvers that do not answer."""

import asyncio
import socket
import threading
import time

import pytest

from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.names import look_up

HERE = Endpoint("192.0.2.1", 9090)


def test_a_name_of_this_host_is_found() -> None:
    assert Endpoint("127.0.0.1", 9090) in asyncio.run(look_up("localhost", 9090, socket.AF_INET))


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "..", "::1"])
def test_what_is_no_name_is_a_resolution_error(name: str) -> None:
    with pytest.raises(ResolutionError):
        asyncio.run(look_up(name, 9090, socket.AF_INET))


def test_a_refusal_of_the_resolver_is_told() -> None:
    def refuse(_name: str, _port: int, _family: int) -> list[Endpoint]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(ResolutionError, match="Temporary failure"):
        asyncio.run(look_up("vpn.example.org", 9090, socket.AF_INET, resolver=refuse))


def test_a_resolver_that_does_not_answer_holds_up_neither_the_caller_nor_the_end() -> None:
    may_answer = threading.Event()

    def stall(_name: str, _port: int, _family: int) -> list[Endpoint]:
        may_answer.wait(30)
        return [HERE]

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await look_up("vpn.example.org", 9090, socket.AF_INET, resolver=stall)

    started_s = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert time.monotonic() - started_s < 10  # not a measurement: waiting for the thread would take 30
    may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "resolver":
            thread.join()


def test_an_answer_that_comes_in_time_arrives() -> None:
    found = asyncio.run(look_up("any", 9090, socket.AF_INET, resolver=lambda *_: [HERE]))
    assert found == [HERE]
