"""Where a client's traffic goes that its tunnel does not take: IPv6 when it carries IPv4 only, or everything
while its interface is down or it has none.

It must not leave the host beside the tunnel. An ``unreachable`` route would see to that, but it would outlive
a killed client and cut the host off. So the traffic is routed into a second TUN device, which vanishes with
the process. IPv4 is dropped there. IPv6 must not vanish in silence, or every program would wait for a
time-out before it tries IPv4: each packet is answered, communication with the destination is
administratively prohibited.

The answer (RFC 4443 section 3.1), as if from the destination::

    IPv6 header 40 | type 1 | code 1 | checksum 2 | unused 4 | the packet, as much as fits 1280 bytes
"""

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from application.network.routing.tun import TunClosedError, TunDevice
from application.runtime.log import EventLog
from infrastructure.pal.linux.tun import LinuxTunDevice

# RFC 8200: version, class, flow label 4 | payload length 2 | next header 1 | hop limit 1 | addresses 16 + 16
_HEADER: Final = struct.Struct("!IHBB16s16s")
# RFC 4443 section 3.1
_ICMP: Final = struct.Struct("!BBHI")
_ICMPV6: Final = 58
_DESTINATION_UNREACHABLE: Final = 1
# Unlike "no route" (0), Linux hands this code to UDP sockets too: a resolver asks its next server at once.
_PROHIBITED: Final = 1
_FIRST_INFORMATIONAL_TYPE: Final = 128  # the types below are errors: never answered (RFC 4443 2.4 e)
_SMALLEST_MTU: Final = 1280  # no error message may be longer (RFC 4443 2.4 c)

_VERSION_6: Final = 6 << 28
_HOP_LIMIT: Final = 64
_MULTICAST: Final = 0xFF
_UNSPECIFIED: Final = bytes(16)

# A bounded share of the loop per wake-up; what comes faster waits in the device's queue.
_PACKETS_PER_WAKE_UP: Final = 32


@contextmanager
def sink(name: str, log: EventLog) -> Iterator[LinuxTunDevice]:
    """The interface ``name``, still down and unrouted, whose packets the running event loop refuses.

    Raises TunError.
    """
    loop = asyncio.get_running_loop()
    device = LinuxTunDevice.create(name)
    loop.add_reader(device.fileno(), _refuse_or_stop, loop, device, log)
    try:
        yield device
    finally:
        if device.fileno() >= 0:
            loop.remove_reader(device.fileno())
        device.close()


def refusal(packet_untrusted: bytes) -> bytes | None:
    """The ICMPv6 answer to a packet that cannot be delivered; None where RFC 4443 section 2.4 forbids one."""
    if len(packet_untrusted) < _HEADER.size or packet_untrusted[0] >> 4 != 6:
        return None
    _, _, next_header, _, source, destination = _HEADER.unpack_from(packet_untrusted)
    if source[0] == _MULTICAST or source == _UNSPECIFIED or destination[0] == _MULTICAST:
        return None
    is_icmp = next_header == _ICMPV6 and len(packet_untrusted) > _HEADER.size
    if is_icmp and packet_untrusted[_HEADER.size] < _FIRST_INFORMATIONAL_TYPE:
        return None
    quoted = packet_untrusted[: _SMALLEST_MTU - _HEADER.size - _ICMP.size]
    unsummed = _ICMP.pack(_DESTINATION_UNREACHABLE, _PROHIBITED, 0, 0) + quoted
    pseudo_header = destination + source + struct.pack("!II", len(unsummed), _ICMPV6)
    checksum = _internet_checksum(pseudo_header + unsummed)
    return (
        _HEADER.pack(_VERSION_6, len(unsummed), _ICMPV6, _HOP_LIMIT, destination, source)
        + _ICMP.pack(_DESTINATION_UNREACHABLE, _PROHIBITED, checksum, 0)
        + quoted
    )


def refuse_packets(device: TunDevice) -> int:
    """Answer the packets that wait in ``device``, a bounded number; returns how many it answered.

    Raises TunClosedError when the device is gone.
    """
    answers = [refusal(packet) for packet, _, _ in device.read_parcels(_PACKETS_PER_WAKE_UP)]
    return device.write_parcels([(answer, 0, False) for answer in answers if answer is not None])


def _refuse_or_stop(loop: asyncio.AbstractEventLoop, device: LinuxTunDevice, log: EventLog) -> None:
    try:
        refuse_packets(device)
    except TunClosedError:
        loop.remove_reader(device.fileno())
        log.warning("traffic may leave beside the tunnel: its last resort was deleted", interface=device.name)


def _internet_checksum(data: bytes) -> int:
    """RFC 1071, computed as a remainder: 2^16 is 1 modulo 0xFFFF, so the whole is one number."""
    if len(data) % 2:
        data += b"\x00"
    total = int.from_bytes(data, "big")
    # A sum of non-zero words is never 0 in ones' complement, its remainder may be.
    folded = total % 0xFFFF or (0xFFFF if total else 0)
    return folded ^ 0xFFFF
