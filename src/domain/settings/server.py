"""What a server is told by its configuration (platform specification 2)."""

from dataclasses import dataclass, field

from domain.addressing.peers import AccessList, Peer
from domain.noise.keys import KeyPair
from domain.settings.offload import DEFAULT_OFFLOAD, OffloadSettings
from domain.settings.profile import SlotProfiles, TransportProfile, TransportProtocol


@dataclass(frozen=True, slots=True)
class ServerSettings(SlotProfiles):
    """A server's configuration.

    ``enabled`` holds the slots that listen: some of TCP, UDP and WS. ``host`` is the public address or
    name that generated clients get, empty for detection. The keys are 32 bytes each, or both empty before
    the first start. ``client_counter`` is for the Go program, which counts clients up from it.

    The last four are ours. With ``client_isolation`` no client reaches another one, over whichever
    transports they are connected. Without ``nat`` what clients send on keeps their tunnel addresses, for
    whoever has the tunnel subnets routed to the server. ``offload`` is what the kernel may do for the data
    plane; with ``aggregation`` super-packets travel whole to and from peers that know how.
    """

    enabled: frozenset[TransportProtocol]
    host: str
    public_key: bytes
    private_key: bytes = field(repr=False)
    client_counter: int
    peers: tuple[Peer, ...]
    client_isolation: bool = False
    nat: bool = True
    offload: OffloadSettings = DEFAULT_OFFLOAD
    aggregation: bool = True

    @property
    def key_pair(self) -> KeyPair:
        """This server's static keys; ValueError before it has any."""
        return KeyPair(private=self.private_key, public=self.public_key)

    @property
    def has_keys(self) -> bool:
        """Whether the server has its key pair already."""
        return bool(self.private_key) and bool(self.public_key)

    def enabled_profiles(self) -> tuple[TransportProfile, ...]:
        """The profiles that listen."""
        return tuple(profile for slot, profile in self.slots if slot in self.enabled)

    def access_list(self) -> AccessList:
        """Who may connect; ValueError if two peers share a key or an id, never for valid settings."""
        return AccessList(self.peers)
