"""What can go wrong when the host's network is configured.

Errors::

    TunError (application.network.routing.tun)
    └── NetworkError                a step failed; the text says what, where and what to do
        ├── NetworkRightsError      the process lacks CAP_NET_ADMIN (also a TunForbiddenError)
        ├── AnotherInstanceError    a running TunGo has what this one needs
        │   └── AnotherClientError  the routing table of TunGo clients is in use
        ├── ForeignNameError        somebody else has a firewall table or routing rule where ours belongs
        ├── SubnetCollisionError    the tunnel's subnet is also that of a network this host is connected to
        ├── JournalError            the journal of changes cannot be read or written
        │   └── JournalRightsError  this user may not (also a NetworkRightsError)
        ├── NftablesError           nft refused the document
        │   ├── NftRightsError      the process lacks CAP_NET_ADMIN (also a NetworkRightsError)
        │   └── NftMissingError     nft is not installed (also a TunUnavailableError)
        ├── IptablesError           iptables refused the rules, or cannot be started
        ├── SysctlError             a kernel setting cannot be read or written
        │   └── SysctlRightsError   this process may not (also a NetworkRightsError)
        └── ResolverError           the name servers of this host cannot be set or put back

They are TunErrors, so that the TUN managers raise one tree.
"""

from application.network.routing.tun import TunError, TunForbiddenError, TunUnavailableError


class NetworkError(TunError):
    """The host's network could not be configured."""


class NetworkRightsError(NetworkError, TunForbiddenError):
    """The kernel refused for want of CAP_NET_ADMIN, or of the right to a file."""


class AnotherInstanceError(NetworkError):
    """A running TunGo, in this process or another, has what this one needs."""


class AnotherClientError(AnotherInstanceError):
    """Two clients cannot both be the way to the Internet."""


class ForeignNameError(NetworkError):
    """A name or number that we use has an owner whom we do not know; what it stands for is left alone."""


class SubnetCollisionError(NetworkError):
    """With the tunnel up, some of its addresses or some of a connected network would be out of reach."""


class JournalError(NetworkError):
    """What is about to be changed cannot be written down, or what was cannot be read."""


class JournalRightsError(JournalError, NetworkRightsError):
    """The folder of the journals, or what is in it, belongs to somebody else."""


class NftablesError(NetworkError):
    """The firewall rules could not be installed, listed or removed."""


class NftRightsError(NftablesError, NetworkRightsError):
    """nft was not allowed to talk to the kernel."""


class NftMissingError(NftablesError, TunUnavailableError):
    """There is no program nft on this host."""


class IptablesError(NetworkError):
    """The rules could not be inserted, listed or removed."""


class SysctlError(NetworkError):
    """A kernel setting could not be read or written; ``key`` is its name, as sysctl(8) writes it."""

    def __init__(self, key: str, sentence: str) -> None:
        self.key = key
        super().__init__(sentence)


class SysctlRightsError(SysctlError, NetworkRightsError):
    """The kernel setting is read-only for this process."""


class ResolverError(NetworkError):
    """The name servers of this host could not be set or put back."""
