"""Asking the host's resolver for a name's addresses."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeAlias

from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of

# The addresses of a name in one family (AF_INET or AF_INET6), each with the port. Blocks. Raises OSError for
# one that cannot be resolved, UnicodeError for one that is no name.
Resolver: TypeAlias = Callable[[str, int, int], list[Endpoint]]


def ask_the_host(name: str, port: int, family: int) -> list[Endpoint]:
    """The resolver of this host: its hosts file, its name servers."""
    answers = socket.getaddrinfo(name, port, family=family, type=socket.SOCK_DGRAM)
    return [endpoint_of(address) for *_, address in answers if isinstance(address[0], str)]


async def look_up(name: str, port: int, family: int, *, resolver: Resolver = ask_the_host) -> list[Endpoint]:
    """Ask ``resolver`` without holding up the event loop. Raises ResolutionError.

    In a daemon thread and not in the loop's executor, whose threads are waited for at the end: a name server
    that does not answer must not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Endpoint]] = loop.create_future()

    def ask() -> None:
        try:
            addresses = resolver(name, port, family)
        except (OSError, UnicodeError) as exc:
            settle(exc)
        else:
            settle(addresses)

    def settle(outcome: list[Endpoint] | Exception) -> None:
        # A loop that has closed in the meantime has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, answer, outcome)

    Thread(target=ask, name="resolver", daemon=True).start()
    try:
        return await answer
    except OSError as exc:
        raise ResolutionError(exc.strerror or str(exc)) from exc
    except UnicodeError as exc:
        raise ResolutionError("it is not a well-formed name") from exc


def _settle(answer: asyncio.Future[list[Endpoint]], outcome: list[Endpoint] | Exception) -> None:
    if answer.done():
        return  # whoever asked has given up
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
