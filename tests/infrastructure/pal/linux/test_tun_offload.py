"""Kernels of several ages, asked what they can do with a TUN device."""

import errno
import fcntl
import os
import struct

import pytest

import infrastructure.pal.linux.tun as tun_module
from application.network.routing.tun import TunError
from domain.settings.offload import OffloadMode
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tun_offload import NO_OFFLOAD, TunOffload, negotiate

EVERYTHING = TunOffload(tcp=True, udp=True)
TCP_ONLY = TunOffload(tcp=True, udp=False)

CSUM_TSO = 0x0F
USO = 0x60
TUNSETOFFLOAD = 0x400454D0

TCP4, UDP = 1, 5  # gso_type


class Kernel:
    """Knows the ``known`` flags, refuses super-packets of the types ``refused``; its interface is down."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, known: int, refused: frozenset[int] = frozenset()
    ) -> None:
        self.offload = 0
        self.probes: list[bytes] = []
        self._known = known
        self._refused = refused
        monkeypatch.setattr(fcntl, "ioctl", self._ioctl)
        monkeypatch.setattr(os, "writev", self._write)

    def _ioctl(self, _fd: int, request: int, argument: int | bytes) -> int:
        if request == TUNSETOFFLOAD:
            assert isinstance(argument, int)
            if argument & ~self._known:
                raise OSError(errno.EINVAL, "Invalid argument")
            self.offload = argument
        return 0

    def _write(self, _fd: int, buffers: tuple[bytes, bytes]) -> int:
        header, packet = buffers
        self.probes.append(packet)
        number = errno.EINVAL if header[1] in self._refused else errno.EIO
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("known", "refused", "negotiated", "flags"),
    [
        pytest.param(CSUM_TSO | USO, frozenset(), EVERYTHING, CSUM_TSO | USO, id="6.2 and later"),
        pytest.param(CSUM_TSO, frozenset(), TCP_ONLY, CSUM_TSO, id="before 6.2"),
        pytest.param(0, frozenset(), NO_OFFLOAD, 0, id="none at all"),
        pytest.param(CSUM_TSO | USO, frozenset({UDP}), TCP_ONLY, CSUM_TSO, id="takes no UDP"),
        pytest.param(CSUM_TSO | USO, frozenset({TCP4}), NO_OFFLOAD, 0, id="takes none"),
        pytest.param(CSUM_TSO, frozenset({TCP4}), NO_OFFLOAD, 0, id="takes none, before 6.2"),
    ],
)
def test_a_kernel_hands_out_only_what_it_also_takes_and_only_when_told(
    monkeypatch: pytest.MonkeyPatch, known: int, refused: frozenset[int], negotiated: TunOffload, flags: int
) -> None:
    kernel = Kernel(monkeypatch, known, refused)
    device = LinuxTunDevice("tun-test", 7, negotiate(7))
    assert device.offload == negotiated
    assert kernel.offload == 0
    device.hand_out_super_packets(wanted=True)
    assert kernel.offload == flags
    device.hand_out_super_packets(wanted=False)
    assert kernel.offload == 0


def test_the_question_is_a_super_packet_from_and_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, CSUM_TSO | USO)
    negotiate(7)
    assert [packet[9] for packet in kernel.probes] == [6, 17]
    assert {packet[12:20] for packet in kernel.probes} == {bytes([192, 0, 2, 1, 192, 0, 2, 2])}
    assert all(struct.unpack_from("!H", packet, 2)[0] == len(packet) for packet in kernel.probes)


@pytest.fixture
def any_file_is_a_tun_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun_module, "CLONE_DEVICE", "/dev/null")


@pytest.mark.usefixtures("any_file_is_a_tun_driver")
def test_a_device_without_offloads_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, CSUM_TSO | USO)
    device = LinuxTunDevice.create("tun-test", OffloadMode.OFF)
    assert (device.offload, device.segments_in_software) == (NO_OFFLOAD, True)
    assert (kernel.offload, kernel.probes) == (0, [])
    device.close()


@pytest.mark.usefixtures("any_file_is_a_tun_driver")
@pytest.mark.parametrize("mode", [OffloadMode.AUTO, OffloadMode.ON])
def test_before_linux_6_2_udp_alone_is_cut_here_and_that_is_enough(
    monkeypatch: pytest.MonkeyPatch, mode: OffloadMode
) -> None:
    Kernel(monkeypatch, CSUM_TSO)
    device = LinuxTunDevice.create("tun-test", mode)
    assert (device.offload, device.segments_in_software) == (TCP_ONLY, True)
    device.close()


@pytest.mark.usefixtures("any_file_is_a_tun_driver")
def test_a_kernel_without_what_has_to_be_there_is_an_error_and_the_device_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Kernel(monkeypatch, 0)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    with pytest.raises(TunError, match=r'Offload\.TunSegmentation is "on" but .* "auto" or "off"'):
        LinuxTunDevice.create("tun-test", OffloadMode.ON)
    again = os.open("/dev/null", os.O_RDONLY)
    os.close(again)
    assert again == lowest
