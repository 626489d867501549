"""What can be said about a TUN device without a network namespace; the rest is in the contract suite."""

import os
import socket
from collections.abc import Iterator

import pytest

import infrastructure.pal.linux.tun as tun_module
from application.network.routing.tun import TunClosedError, TunError, TunUnavailableError
from infrastructure.pal.linux.tun import LinuxTunDevice


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
    kernel.send(packet)
    assert device.read_batch(1) == [packet]


def test_packets_that_find_no_room_are_dropped_and_counted(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    packets = [bytes([n]) * 10 for n in range(250)] * 20
    taken = device.write_batch(packets)
    assert 0 < taken < len(packets)
    assert device.drops.no_room == device.drops.total == len(packets) - taken
    assert [kernel.recv(100) for _ in range(taken)] == packets[:taken]


def test_a_packet_too_long_for_the_kernel_is_counted_as_malformed(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    assert device.write_batch([bytes(1 << 20), b"next"]) == 1
    assert (device.drops.malformed, device.drops.total) == (1, 1)
    assert kernel.recv(100) == b"next"


def test_an_unknown_error_is_raised_with_the_name_of_the_interface(
    pair: tuple[LinuxTunDevice, socket.socket],
) -> None:
    device, kernel = pair
    kernel.close()
    with pytest.raises(TunError, match="tun-test") as raised:
        device.write_batch([b"packet"])
    assert not isinstance(raised.value, TunClosedError)


def test_a_failure_after_the_first_packet_is_told_by_the_next_call() -> None:
    # A terminal whose other side was closed gives what was sent, and then a lasting error.
    master, slave = os.openpty()
    os.set_blocking(master, False)
    os.write(slave, b"packet")
    os.close(slave)
    device = LinuxTunDevice("tun-test", master)
    assert device.read_batch(8) == [b"packet"]
    with pytest.raises(TunError, match="cannot read from the interface tun-test"):
        device.read_batch(8)
    device.close()
