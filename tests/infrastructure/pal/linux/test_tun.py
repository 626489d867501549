"""What can be said about a TUN device without a network namespace; the rest is in the contract suite."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

import infrastructure.pal.linux.tun as tun_module
from application.network.routing.tun import TunClosedError, TunError, TunUnavailableError
from domain.packets.segment import segment
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tun_offload import TunOffload
from infrastructure.pal.linux.virtio_header import PLAIN_HEADER
from tests.adapters.tun_packets import send_packets
from tests.netns.packets import tcp_train, udp_train


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a" * 16, "ü" * 8])
def test_a_name_that_does_not_fit_is_refused_with_its_limit(name: str) -> None:
    with pytest.raises(TunError, match="1 to 15 bytes"):
        LinuxTunDevice.create(name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a b", "a:b", "tun%d", "a\tb", "a\x00b", "a\u200bb"])
def test_a_name_that_linux_refuses_or_changes_is_refused(name: str) -> None:
    with pytest.raises(TunError, match="character"):
        LinuxTunDevice.create(name)


def test_a_host_without_the_tun_driver_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun_module, "CLONE_DEVICE", "/nonexistent/tun")
    with pytest.raises(TunUnavailableError, match="modprobe tun"):
        LinuxTunDevice.create("tun-test")


def test_a_file_that_is_no_tun_driver_is_an_error_and_is_closed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tun_module, "CLONE_DEVICE", "/dev/null")
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    with pytest.raises(TunError, match="tun-test"):
        LinuxTunDevice.create("tun-test")
    again = os.open("/dev/null", os.O_RDONLY)
    os.close(again)
    assert again == probe


@pytest.fixture
def pair() -> Iterator[tuple[LinuxTunDevice, socket.socket]]:
    """A device whose kernel is the other end of a datagram socket pair: it refuses at will."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with kernel:
        kernel.setblocking(False)
        ours.setblocking(False)
        device = LinuxTunDevice("tun-test", ours.detach())
        yield device, kernel
        device.close()


def test_a_packet_longer_than_any_mtu_is_read_whole(pair: tuple[LinuxTunDevice, socket.socket]) -> None:
    device, kernel = pair
    packet = bytes(65_000)
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    kernel.send(PLAIN_HEADER + packet)
    assert device.read_parcels(1) == [(packet, 0, False)]


def test_packets_that_find_no_room_are_dropped_and_counted(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    packets = [bytes([n]) * 10 for n in range(250)] * 20
    taken = send_packets(device, packets)
    assert 0 < taken < len(packets)
    assert device.drops.no_room == device.drops.total == len(packets) - taken
    assert [kernel.recv(100) for _ in range(taken)] == [PLAIN_HEADER + packet for packet in packets[:taken]]


def test_a_packet_too_long_for_the_kernel_is_counted_as_malformed(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    assert send_packets(device, [bytes(1 << 20), b"next"]) == 1
    assert (device.drops.malformed, device.drops.total) == (1, 1)
    assert kernel.recv(100) == PLAIN_HEADER + b"next"


def test_an_unknown_error_is_raised_with_the_name_of_the_interface(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    kernel.close()
    with pytest.raises(TunError, match="tun-test") as raised:
        send_packets(device, [b"packet"])
    assert not isinstance(raised.value, TunClosedError)


def test_a_failure_after_the_first_packet_is_told_by_the_next_call() -> None:
    # A terminal whose other side was closed gives what was sent, and then a lasting error.
    master, slave = os.openpty()
    os.set_blocking(master, False)
    os.write(slave, PLAIN_HEADER + b"packet")
    os.close(slave)
    device = LinuxTunDevice("tun-test", master)
    assert device.read_parcels(8) == [(b"packet", 0, False)]
    with pytest.raises(TunError, match="cannot read from the interface tun-test"):
        device.read_parcels(8)
    device.close()


class HeaderJudge:
    """A kernel that refuses some virtio headers, by the type in them, and keeps the other packets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused_types: set[int] = set()
        self.error = errno.EINVAL
        self.asked: list[int] = []  # the types in the headers, in order
        self.taken: list[bytes] = []
        self.device = LinuxTunDevice("tun-test", -1, TunOffload(tcp=True, udp=True))
        monkeypatch.setattr(os, "writev", self._write)

    def _write(self, _fd: int, buffers: tuple[bytes, bytes]) -> int:
        header, packet = buffers
        self.asked.append(header[1])
        if header[1] in self.refused_types:
            raise OSError(self.error, os.strerror(self.error))
        self.taken.append(packet)
        return len(header) + len(packet)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> HeaderJudge:
    return HeaderJudge(monkeypatch)


TCP_TRAIN = tcp_train("10.88.0.2", "10.88.0.1", bytes(2500), 1000)
TCP6_TRAIN = tcp_train("fd00::2", "fd00::1", bytes(2500), 1000)
UDP_TRAIN = udp_train("10.88.0.2", "10.88.0.1", bytes(2500), 1000)
TCP4, TCP6, UDP = 1, 4, 5  # gso_type


def test_a_train_that_the_kernel_takes_is_left_to_it(judge: HeaderJudge) -> None:
    trains = [TCP_TRAIN, UDP_TRAIN, TCP6_TRAIN]
    assert judge.device.write_parcels(trains) == 3
    assert judge.asked == [TCP4, UDP, TCP6]
    assert judge.taken == [packet for packet, _, _ in trains]
    assert not judge.device.segments_in_software


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_after_the_first_refusal_trains_are_cut_here_and_none_is_lost(judge: HeaderJudge, error: int) -> None:
    judge.refused_types, judge.error = {TCP4}, error
    assert judge.device.write_parcels([TCP_TRAIN, TCP_TRAIN]) == 2
    assert judge.asked == [TCP4, *[0] * 6]
    assert judge.taken == segment(TCP_TRAIN) * 2
    assert judge.device.segments_in_software
    assert judge.device.drops.total == 0


def test_a_refusal_says_nothing_about_other_trains(judge: HeaderJudge) -> None:
    judge.refused_types = {UDP}
    judge.device.write_parcels([UDP_TRAIN, TCP_TRAIN, TCP6_TRAIN])
    assert judge.taken == [*segment(UDP_TRAIN), TCP_TRAIN[0], TCP6_TRAIN[0]]


def test_a_peer_cannot_switch_off_what_is_known_to_work(judge: HeaderJudge) -> None:
    judge.device.write_parcels([TCP_TRAIN])
    judge.refused_types = {TCP4}
    assert judge.device.write_parcels([TCP_TRAIN]) == 1
    judge.refused_types = set()
    assert judge.device.write_parcels([TCP_TRAIN]) == 1
    assert judge.taken == [TCP_TRAIN[0], *segment(TCP_TRAIN), TCP_TRAIN[0]]
    assert not judge.device.segments_in_software


def test_a_train_that_finds_no_room_is_dropped_once_and_stays_the_kernels(judge: HeaderJudge) -> None:
    judge.refused_types, judge.error = {TCP4}, errno.ENOBUFS
    assert judge.device.write_parcels([TCP_TRAIN, UDP_TRAIN]) == 1
    assert (judge.device.drops.no_room, judge.device.drops.total) == (1, 1)
    assert not judge.device.segments_in_software


def test_a_train_whose_pieces_are_refused_too_is_dropped_once(judge: HeaderJudge) -> None:
    judge.refused_types = {TCP4, 0}
    assert judge.device.write_parcels([TCP_TRAIN]) == 0
    assert (judge.device.drops.malformed, judge.device.drops.total) == (1, 1)


def test_without_offloads_the_kernel_is_given_finished_packets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = HeaderJudge(monkeypatch)
    device = LinuxTunDevice("tun-test", -1)
    unfinished = (udp_train("10.88.0.2", "10.88.0.1", b"x", 0)[0], 0, True)
    assert device.write_parcels([TCP_TRAIN, unfinished, UDP_TRAIN]) == 3
    assert set(judge.asked) == {0}
    assert judge.taken == [*segment(TCP_TRAIN), *segment(unfinished), *segment(UDP_TRAIN)]
