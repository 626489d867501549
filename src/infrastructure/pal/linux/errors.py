"""What can go wrong when the host's network is configured.

Errors::

    TunError (application.network.routing.tun)
    └── NetworkError                a step failed; the text says what, where and what to do
        ├── NetworkRightsError      the process lacks CAP_NET_ADMIN (also a TunUnavailableError)
        ├── AnotherClientError      the routing table of TunGo clients is in use
        ├── NftablesError           nft refused the document
        │   └── NftMissingError     nft is not installed (also a TunUnavailableError)
        └── SysctlError             a kernel setting cannot be read or written

They are TunErrors, so that ``TunManager.open`` raises one tree.
"""

from application.network.routing.tun import TunError, TunUnavailableError


class NetworkError(TunError):
    """The host's network could not be configured."""


class NetworkRightsError(NetworkError, TunUnavailableError):
    """The kernel refused for want of CAP_NET_ADMIN."""


class AnotherClientError(NetworkError):
    """Two clients cannot both be the way to the Internet."""


class NftablesError(NetworkError):
    """The firewall rules could not be installed, listed or removed."""


class NftMissingError(NftablesError, TunUnavailableError):
    """There is no program nft on this host."""


class SysctlError(NetworkError):
    """A kernel setting could not be read or written; ``key`` is its name, as sysctl(8) writes it."""

    def __init__(self, key: str, sentence: str) -> None:
        self.key = key
        super().__init__(sentence)
