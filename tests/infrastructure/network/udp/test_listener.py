"""Binding: what only real sockets show."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.network.udp.listener import UdpBindError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.ingress import BatchingIngress
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import ONE_BY_ONE, WHERE_POSSIBLE, UdpOffload
from infrastructure.network.udp.sockets import SO_RCVBUFFORCE, SO_SNDBUFFORCE, open_datagram_socket
from tests.adapters.faulty_socket import FaultySocket
from tests.contracts.udp_worlds import kernel_has_ipv6

needs_ipv6 = pytest.mark.skipif(not kernel_has_ipv6(), reason="this kernel has no IPv6")


class Opener:
    """Opens sockets for a listener and remembers them; ``lacking`` families do not exist."""

    def __init__(self, lacking: int | None = None, privileged_options: frozenset[int] = frozenset()) -> None:
        self.opened: list[socket.socket] = []
        self._lacking = lacking
        self._privileged_options = privileged_options

    def __call__(self, family: int) -> socket.socket:
        if family == self._lacking:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        made = FaultySocket(family, self._privileged_options)
        self.opened.append(made)
        return made


@pytest.fixture
def everywhere() -> Iterator[BoundUdpListener]:
    listener = BoundUdpListener.bind(None, 0)
    yield listener
    listener.close()


@needs_ipv6
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_one_socket_hears_both_families(everywhere: BoundUdpListener, family: int, host: str) -> None:
    assert everywhere.local_endpoint.host == "::"
    packet = DatagramBuffer(64)
    with open_datagram_socket(family) as client:
        client.settimeout(2)
        client.connect((host, everywhere.local_endpoint.port))
        client.send(b"hello")
        assert everywhere.read_from(packet)
        assert packet.endpoint == Endpoint(host, client.getsockname()[1])
        assert everywhere.write_to(b"answer", packet.endpoint)
        assert client.recv(64) == b"answer"


def test_without_ipv6_in_the_kernel_ipv4_is_served() -> None:
    listener = BoundUdpListener.bind(None, 0, open_socket=Opener(lacking=socket.AF_INET6))
    assert listener.local_endpoint.host == "0.0.0.0"
    listener.close()


def test_an_ipv6_literal_is_never_replaced_by_ipv4() -> None:
    with pytest.raises(UdpBindError, match=r"UDP \[::1\]:9090: this kernel has no such address family"):
        BoundUdpListener.bind("::1", 9090, open_socket=Opener(lacking=socket.AF_INET6))


def test_a_port_in_use_is_not_a_reason_to_try_ipv4(everywhere: BoundUdpListener) -> None:
    opener = Opener()
    with pytest.raises(UdpBindError, match="another program uses the port"):
        BoundUdpListener.bind(None, everywhere.local_endpoint.port, open_socket=opener)
    assert len(opener.opened) == 1


def test_an_address_of_another_host_is_refused_with_advice() -> None:
    with pytest.raises(UdpBindError, match=r"192\.0\.2\.1:9090: this host has no such address"):
        BoundUdpListener.bind("192.0.2.1", 9090)


@pytest.mark.parametrize("host", ["localhost", "256.0.0.1", ""])
def test_names_cannot_be_bound(host: str) -> None:
    with pytest.raises(UdpBindError, match="not an IP address"):
        BoundUdpListener.bind(host, 9090)


def test_an_interface_that_is_not_there_cannot_be_bound() -> None:
    with pytest.raises(UdpBindError, match="no such interface"):
        BoundUdpListener.bind("fe80::1%nosuchlink0", 9090)


def test_a_port_number_out_of_range_is_refused() -> None:
    with pytest.raises(UdpBindError, match="ports end at 65535"):
        BoundUdpListener.bind("127.0.0.1", 65536)


def descriptors() -> set[int]:
    """The open ones of this process."""
    listed = list(Path("/proc/self/fd").iterdir())
    # The one that read the directory is gone by now.
    return {int(entry.name) for entry in listed if entry.is_symlink()}


@pytest.mark.parametrize("offload", [ONE_BY_ONE, WHERE_POSSIBLE])
def test_the_socket_does_not_block_and_nothing_survives_exec_or_close(*, offload: UdpOffload) -> None:
    opener = Opener()
    before = descriptors()
    listener = BoundUdpListener.bind("127.0.0.1", 0, offload=offload, open_socket=opener)
    assert not os.get_blocking(opener.opened[0].fileno())
    made = descriptors() - before
    assert opener.opened[0].fileno() in made
    assert not any(os.get_inheritable(descriptor) for descriptor in made)
    listener.close()
    assert descriptors() == before


def test_without_offloads_in_the_kernel_datagrams_travel_one_by_one() -> None:
    made = FaultySocket(socket.AF_INET, offloads=False)
    listener = BoundUdpListener.bind("127.0.0.1", 0, open_socket=lambda family: made)
    assert isinstance(listener.batch_ingress(), BatchingIngress)
    assert listener.batch_egress().send_batch([b"1", b"2"], listener.local_endpoint) == 2
    assert made.runs_sent == []
    packets = DatagramBuffer.allocate(2, 64)
    assert listener.batch_ingress().read_batch(packets) == 2
    assert [packet.view[0] for packet in packets] == [ord("1"), ord("2")]
    listener.close()


def test_an_unprivileged_process_gets_the_buffers_that_it_may_have() -> None:
    opener = Opener(privileged_options=frozenset({SO_RCVBUFFORCE, SO_SNDBUFFORCE}))
    listener = BoundUdpListener.bind(
        "127.0.0.1", 0, receive_buffer_bytes=65_536, send_buffer_bytes=32_768, open_socket=opener
    )
    (made,) = opener.opened
    # The kernel doubles what is asked for, to have room for its own bookkeeping (socket(7)).
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 65_536
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 32_768
    listener.close()


def may_set_marks() -> bool:
    with open_datagram_socket(socket.AF_INET) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)
        except PermissionError:
            return False
    return True


@pytest.mark.skipif(not may_set_marks(), reason="needs CAP_NET_ADMIN")
def test_what_the_listener_sends_carries_the_firewall_mark() -> None:
    opener = Opener()
    listener = BoundUdpListener.bind("127.0.0.1", 0, mark=0x7467, open_socket=opener)
    assert opener.opened[0].getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 0x7467
    listener.close()


def test_a_mark_without_the_right_to_set_it_is_a_bind_error() -> None:
    opener = Opener(privileged_options=frozenset({socket.SO_MARK}))
    with pytest.raises(UdpBindError, match="the firewall mark 29799 needs CAP_NET_ADMIN"):
        BoundUdpListener.bind("127.0.0.1", 0, mark=0x7467, open_socket=opener)
    assert opener.opened[0].fileno() == -1


@pytest.mark.parametrize(
    ("host", "port", "privileged"),
    [("192.0.2.1", 9090, frozenset()), ("127.0.0.1", 65536, frozenset()), ("127.0.0.1", 0, {socket.SO_MARK})],
)
def test_no_refusal_leaves_a_socket_open(host: str, port: int, privileged: frozenset[int]) -> None:
    opener = Opener(privileged_options=frozenset(privileged))
    with pytest.raises(UdpBindError):
        BoundUdpListener.bind(host, port, mark=1, open_socket=opener)
    assert [made.fileno() for made in opener.opened] == [-1]


def test_reader_and_writer_are_the_same_each_time(everywhere: BoundUdpListener) -> None:
    assert everywhere.batch_ingress() is everywhere.batch_ingress()
    assert everywhere.batch_egress() is everywhere.batch_egress()
