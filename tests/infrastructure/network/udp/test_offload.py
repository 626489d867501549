"""What a kernel has against what a file wants, and that each way can be used without the other."""

import socket

import pytest

from application.network.udp.listener import UdpError
from domain.settings.offload import OffloadMode, OffloadSettings
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import RUN_BUFFER_BYTES, CoalescingIngress
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import ONE_BY_ONE, WHERE_POSSIBLE, UdpOffload, allowed_offload
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.log import RememberingLog

AUTO, ON, OFF = OffloadMode.AUTO, OffloadMode.ON, OffloadMode.OFF


def settings(segmentation: OffloadMode, coalescing: OffloadMode) -> OffloadSettings:
    return OffloadSettings(udp_segmentation=segmentation, udp_coalescing=coalescing)


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        (settings(AUTO, AUTO), WHERE_POSSIBLE),
        (settings(ON, ON), WHERE_POSSIBLE),
        (settings(OFF, OFF), ONE_BY_ONE),
        (settings(OFF, ON), UdpOffload(segmentation=False, coalescing=True)),
        (settings(AUTO, OFF), UdpOffload(segmentation=True, coalescing=False)),
    ],
)
def test_a_kernel_that_can_do_both_does_what_the_file_wants(
    wanted: OffloadSettings, allowed: UdpOffload
) -> None:
    log = RememberingLog()
    assert allowed_offload(wanted, log) == allowed
    assert log.events == []


def test_a_kernel_that_can_do_neither_does_without_and_the_log_says_so() -> None:
    log = RememberingLog()
    trial = FaultySocket(socket.AF_INET, offloads=False)
    assert allowed_offload(settings(AUTO, AUTO), log, lambda _family: trial) == ONE_BY_ONE
    assert [event.fields["offload"] for event in log.events] == ["UdpSegmentation", "UdpCoalescing"]
    assert trial.fileno() == -1


@pytest.mark.parametrize(
    ("wanted", "key"), [(settings(ON, OFF), "UdpSegmentation"), (settings(OFF, ON), "UdpCoalescing")]
)
def test_what_has_to_be_there_and_is_not_is_an_error_that_names_the_key(
    wanted: OffloadSettings, key: str
) -> None:
    trial = FaultySocket(socket.AF_INET, offloads=False)
    with pytest.raises(UdpError, match=rf'Offload\.{key} is "on" but .* "auto" or "off"'):
        allowed_offload(wanted, RememberingLog(), lambda _family: trial)
    assert trial.fileno() == -1


@pytest.mark.parametrize("segmentation", [False, True])
@pytest.mark.parametrize("coalescing", [False, True])
def test_a_listener_uses_each_way_only_if_it_may(*, segmentation: bool, coalescing: bool) -> None:
    made = FaultySocket(socket.AF_INET)
    listener = BoundUdpListener.bind(
        "127.0.0.1",
        0,
        offload=UdpOffload(segmentation=segmentation, coalescing=coalescing),
        open_socket=lambda _family: made,
    )
    assert isinstance(listener.batch_ingress(), CoalescingIngress) is coalescing
    assert listener.batch_egress().send_runs([(b"12", 1)], listener.local_endpoint) == 2
    assert bool(made.runs_sent) is segmentation
    packets = DatagramBuffer.allocate(4, RUN_BUFFER_BYTES)
    count = listener.batch_ingress().read_batch(packets)
    assert b"".join(packet.view[: packet.length] for packet in packets[:count]) == b"12"
    listener.close()
