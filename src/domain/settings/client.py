"""What a client is told by its configuration (platform specification 3)."""

from dataclasses import dataclass, field, replace
from typing import Final

from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.noise.keys import KeyPair
from domain.rekey.rules import REKEY_INTERVAL_S
from domain.settings.offload import DEFAULT_OFFLOAD, OffloadSettings
from domain.settings.profile import SlotProfiles, TransportProfile, TransportProtocol
from domain.settings.routing import DEFAULT_ROUTING, TunnelRouting

# The protocol's (specification 5.1).
DEFAULT_REKEY_INTERVAL_S: Final = int(REKEY_INTERVAL_S)
# Ours: keys that live for more than a day are keys that are never changed.
LONGEST_REKEY_INTERVAL_S: Final = 24 * 60 * 60
# Ours: long enough that looking costs nothing, short enough that a network that blocked for a moment is
# forgotten soon.
DEFAULT_FALLBACK_RETRY_S: Final = 60
LONGEST_FALLBACK_RETRY_S: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class ClientSettings(SlotProfiles):
    """A client's configuration.

    ``protocol`` is what the client connects with, ``fallbacks`` what it tries after that, in this order, when
    no handshake gets through; the profiles of the others are carried along and not examined. On a fallback,
    ``fallback_retry_s`` is how soon the better ones are first tried again. ``client_id`` must equal the
    server's entry for ``public_key``, or every packet is dropped there. Keys are 32 bytes.
    ``rekey_interval_s`` is how long a session keeps its keys; the Go program has it fixed. ``offload`` is
    what the kernel may do for the data plane; with ``aggregation`` super-packets travel whole between ends
    that both know how.
    """

    client_id: int
    protocol: TransportProtocol
    server_public_key: bytes
    public_key: bytes
    private_key: bytes = field(repr=False)
    rekey_interval_s: int = DEFAULT_REKEY_INTERVAL_S
    fallbacks: tuple[TransportProtocol, ...] = ()
    fallback_retry_s: int = DEFAULT_FALLBACK_RETRY_S
    routing: TunnelRouting = DEFAULT_ROUTING
    offload: OffloadSettings = DEFAULT_OFFLOAD
    aggregation: bool = True

    @property
    def key_pair(self) -> KeyPair:
        """This client's static keys."""
        return KeyPair(private=self.private_key, public=self.public_key)

    @property
    def protocols(self) -> tuple[TransportProtocol, ...]:
        """What to connect with, the best first."""
        return (self.protocol, *self.fallbacks)

    def profile_of(self, protocol: TransportProtocol) -> TransportProfile:
        """The profile of ``protocol``, with ``protocol`` in it: what it says itself is not asked."""
        return replace(dict(self.slots)[protocol.slot], protocol=protocol)

    def addresses_of(self, protocol: TransportProtocol) -> TunnelAddresses:
        """This client's addresses in the tunnel of ``protocol``.

        ClientIdError if it has none, never for one of ``protocols`` in valid settings.
        """
        profile = self.profile_of(protocol)
        return client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, self.client_id)

    @property
    def active(self) -> TransportProfile:
        """The profile of ``protocol``."""
        return self.profile_of(self.protocol)

    @property
    def addresses(self) -> TunnelAddresses:
        """The addresses in the tunnel of ``protocol``."""
        return self.addresses_of(self.protocol)
