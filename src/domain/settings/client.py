"""What a client is told by its configuration (platform specification 3)."""

from dataclasses import dataclass, field, replace
from typing import Final

from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.noise.keys import KeyPair
from domain.rekey.rules import REKEY_INTERVAL_S
from domain.settings.profile import TransportProfile, TransportProtocol

# The protocol's (specification 5.1).
DEFAULT_REKEY_INTERVAL_S: Final = int(REKEY_INTERVAL_S)
# Ours: keys that live for more than a day are keys that are never changed.
LONGEST_REKEY_INTERVAL_S: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """A client's configuration.

    ``protocol`` selects the profile in use; the two others are carried along and not examined. ``client_id``
    must equal the server's entry for ``public_key``, or every packet is dropped there. Keys are 32 bytes.
    ``rekey_interval_s`` is how long a session keeps its keys; the Go program has it fixed.
    """

    client_id: int
    tcp: TransportProfile
    udp: TransportProfile
    ws: TransportProfile
    protocol: TransportProtocol
    server_public_key: bytes
    public_key: bytes
    private_key: bytes = field(repr=False)
    rekey_interval_s: int = DEFAULT_REKEY_INTERVAL_S

    @property
    def key_pair(self) -> KeyPair:
        """This client's static keys."""
        return KeyPair(private=self.private_key, public=self.public_key)

    @property
    def slots(self) -> tuple[tuple[TransportProtocol, TransportProfile], ...]:
        """Every profile with the slot that it stands in, in the order of the file."""
        return (
            (TransportProtocol.TCP, self.tcp),
            (TransportProtocol.UDP, self.udp),
            (TransportProtocol.WS, self.ws),
        )

    @property
    def active_slot(self) -> TransportProtocol:
        """The slot in use; WS and WSS share one."""
        return TransportProtocol.WS if self.protocol is TransportProtocol.WSS else self.protocol

    @property
    def active(self) -> TransportProfile:
        """The profile in use, with ``protocol``: what the profile itself says about it is not asked."""
        return replace(dict(self.slots)[self.active_slot], protocol=self.protocol)

    @property
    def addresses(self) -> TunnelAddresses:
        """This client's addresses in the tunnel; ClientIdError if it has none, never for valid settings."""
        return client_addresses(self.active.ipv4_subnet, self.active.ipv6_subnet, self.client_id)
