"""The options of stream sockets, as the kernel has them."""

import os
import socket

import pytest

from infrastructure.network.sockets import FirewallMarkError
from infrastructure.network.stream.sockets import (
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    KEEPALIVE_PROBES,
    UNSENT_BYTES,
    USER_TIMEOUT_MS,
    abort_on_close,
    open_stream_socket,
    opened,
)
from tests.adapters.faulty_socket import FaultySocket

OPTIONS = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): KEEPALIVE_IDLE_S,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): KEEPALIVE_INTERVAL_S,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): KEEPALIVE_PROBES,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): USER_TIMEOUT_MS,
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT): UNSENT_BYTES,
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
}


def options_of(stream_socket: socket.socket) -> dict[tuple[int, int], int]:
    return {option: stream_socket.getsockopt(*option) for option in OPTIONS}


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_every_option_is_set(family: int) -> None:
    with opened(open_stream_socket, family) as made, made:
        assert options_of(made) == OPTIONS
        assert not os.get_blocking(made.fileno())
        assert not os.get_inheritable(made.fileno())


def test_an_accepted_socket_has_the_options_of_the_listening_one() -> None:
    with opened(open_stream_socket, socket.AF_INET) as listening, listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with open_stream_socket(socket.AF_INET) as client:
            client.connect(listening.getsockname())
            accepted, _ = listening.accept()
            with accepted:
                assert options_of(accepted) == OPTIONS
                assert not os.get_inheritable(accepted.fileno())


def test_without_the_right_to_mark_nothing_stays_open() -> None:
    made = FaultySocket(socket.AF_INET, frozenset({socket.SO_MARK}), kind=socket.SOCK_STREAM)
    with (
        pytest.raises(FirewallMarkError, match="CAP_NET_ADMIN"),
        opened(lambda family: made, socket.AF_INET, mark=7),
    ):
        pytest.fail("a socket without its mark would be let out")
    assert made.fileno() == -1


def may_set_marks() -> bool:
    with open_stream_socket(socket.AF_INET) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)
        except PermissionError:
            return False
    return True


@pytest.mark.skipif(not may_set_marks(), reason="needs CAP_NET_ADMIN")
def test_what_is_opened_carries_the_mark() -> None:
    with opened(open_stream_socket, socket.AF_INET, mark=0x7467) as made, made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 0x7467


def test_an_aborted_connection_is_reset() -> None:
    with open_stream_socket(socket.AF_INET) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with open_stream_socket(socket.AF_INET) as client:
            client.connect(listening.getsockname())
            accepted, _ = listening.accept()
            with accepted:
                abort_on_close(accepted)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
