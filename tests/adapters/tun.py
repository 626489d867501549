"""TUN devices in memory, and the hosts that they are on: the test is the kernel."""

import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Final

from application.network.routing.tun import (
    ClientTunManager,
    TunClosedError,
    TunDevice,
    TunError,
    TunManager,
)
from domain.addressing.tunnel import TunnelAddresses
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import MalformedParcelError, Parcel
from domain.packets.segment import segment
from domain.settings.profile import TransportProfile

IPV4: Final = 4
IPV6: Final = 6


class WayOut(Enum):
    """Where a client's host sends what goes to the Internet."""

    IN_CLEAR = "by the uplink"
    TUNNEL = "into the open device"
    NOWHERE = "it is refused or dropped"


class FakeTunDevice:
    """A TunDevice whose kernel side is a few collections.

    ``route_in`` queues what the device will read. ``written`` holds the packets that were written to it, in
    order, those of parcels finished; ``parcels_written`` the parcels as they came. Malformed ones are dropped
    on write, as a kernel does.
    """

    def __init__(self, name: str = "fake0") -> None:
        self._name = name
        self._inbound: deque[Parcel] = deque()
        self._closed = False
        self._gone = False
        self._event_fd = -1
        self.written: list[bytes] = []
        self.parcels_written: list[Parcel] = []
        self.hands_out_super_packets = False

    @property
    def name(self) -> str:
        """The interface name."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def waiting(self) -> int:
        """How many packets or parcels are still to be read."""
        return len(self._inbound)

    def route_in(self, *packets: bytes) -> None:
        """The kernel routes these packets into the tunnel."""
        self.route_in_parcels(*((packet, 0, False) for packet in packets))

    def route_in_parcels(self, *parcels: Parcel) -> None:
        """The kernel routes these parcels into the tunnel."""
        self._inbound.extend(parcels)
        self._signal()

    def vanish(self) -> None:
        """Somebody deletes the interface."""
        self._gone = True
        self._signal()

    def fileno(self) -> int:
        """A descriptor that is readable exactly while something waits; made when first asked for."""
        if self._closed:
            return -1
        if self._event_fd < 0:
            self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._signal()
        return self._event_fd

    def hand_out_super_packets(self, *, wanted: bool) -> None:
        """See TunDevice; it is for the test to see, and to heed in what it routes in."""
        self.hands_out_super_packets = wanted

    def read_parcels(self, limit: int) -> list[Parcel]:
        """See TunDevice."""
        self._check()
        batch = [self._inbound.popleft() for _ in range(min(limit, len(self._inbound)))]
        self._signal()
        return batch

    def write_parcels(self, parcels_untrusted: Sequence[Parcel]) -> int:
        """See TunDevice."""
        self._check()
        taken = 0
        for parcel in parcels_untrusted:
            try:
                layout_of_untrusted(*parcel)
            except MalformedParcelError:
                continue
            self.parcels_written.append(parcel)
            self.written += segment(parcel)
            taken += 1
        return taken

    def close(self) -> None:
        """See TunDevice."""
        self._closed = True
        if self._event_fd >= 0:
            os.close(self._event_fd)
            self._event_fd = -1

    def _check(self) -> None:
        if self._closed or self._gone:
            raise TunClosedError(f"the interface {self._name} is gone")

    def _signal(self) -> None:
        """Make the descriptor readable or not. A vanished device stays readable, as on Linux."""
        if self._event_fd < 0:
            return
        with suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        if self._inbound or self._gone:
            os.eventfd_write(self._event_fd, 1)


class FakeTunManager:
    """Hands out FakeTunDevices; ``opened`` has them in order, the last one open until its context exits.

    While ``failure`` is set, entering raises it.
    """

    def __init__(self, name: str = "fake0") -> None:
        self._name = name
        self.opened: list[FakeTunDevice] = []
        self.failure: TunError | None = None

    @property
    def is_open(self) -> bool:
        """Whether a device is configured now."""
        return bool(self.opened) and not self.opened[-1].closed

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FakeTunDevice]:
        """See TunManager."""
        if self.failure is not None:
            raise self.failure
        device = FakeTunDevice(self._name)
        self.opened.append(device)
        try:
            yield device
        finally:
            device.close()


class FakeClientTunManager:
    """A ClientTunManager whose host is the attributes here.

    ``transcript`` has what was done, in order: ``hold``, ``open <interface>``, ``close <interface>``,
    ``release``. ``opened`` has the devices and ``profiles`` what they were opened for. While
    ``hold_failure`` is set, ``hold`` raises it; ``open`` raises what ``open_failures`` has for the interface.
    """

    def __init__(self) -> None:
        self.transcript: list[str] = []
        self.opened: list[FakeTunDevice] = []
        self.profiles: list[TransportProfile] = []
        self.hold_failure: TunError | None = None
        self.open_failures: dict[str, TunError] = {}
        self.is_held = False
        self._carried: TunnelAddresses | None = None  # those of the open device

    @property
    def is_open(self) -> bool:
        """Whether a device is open now."""
        return self._carried is not None

    def way_out(self, ip_version: int) -> WayOut:
        """Where the traffic of this IP version goes now."""
        if not self.is_held:
            return WayOut.IN_CLEAR
        if self._carried is None or (ip_version == IPV6 and self._carried.ipv6 is None):
            return WayOut.NOWHERE
        return WayOut.TUNNEL

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """See ClientTunManager."""
        if self.hold_failure is not None:
            raise self.hold_failure
        if self.is_held:
            raise TunError("another client holds this host")
        self.is_held = True
        self.transcript.append("hold")
        try:
            yield
        finally:
            self.transcript.append("release")
            self.is_held = False

    @asynccontextmanager
    async def open(
        self, profile: TransportProfile, addresses: TunnelAddresses
    ) -> AsyncIterator[FakeTunDevice]:
        """See ClientTunManager."""
        if (profile.ipv6_subnet is None) != (addresses.ipv6 is None):
            raise ValueError("the profile and the addresses disagree about IPv6")
        if not self.is_held or self.is_open:
            raise RuntimeError("one device is opened at a time, and within hold()")
        if profile.interface_name in self.open_failures:
            raise self.open_failures[profile.interface_name]
        device = FakeTunDevice(profile.interface_name)
        self.transcript.append(f"open {device.name}")
        self.opened.append(device)
        self.profiles.append(profile)
        self._carried = addresses
        try:
            yield device
        finally:
            self.transcript.append(f"close {device.name}")
            self._carried = None
            device.close()


_device: type[TunDevice] = FakeTunDevice
_manager: type[TunManager] = FakeTunManager
_client_manager: type[ClientTunManager] = FakeClientTunManager
