"""What nft can do here, and what the firewall does to a tunnel."""

from collections.abc import Sequence

from application.diagnosis.finding import Finding
from infrastructure.pal.linux.doctor.journals import running
from infrastructure.pal.linux.doctor.wording import worded
from infrastructure.pal.linux.errors import ForeignNameError, NftMissingError
from infrastructure.pal.linux.journal import CLIENT, JournalFolder
from infrastructure.pal.linux.kill_switch import is_locked
from infrastructure.pal.linux.nftables import dropping_forward_chains

# The chains of iptables: a server makes an exception there for its own interfaces.
_OF_IPTABLES = ("ip filter FORWARD", "ip6 filter FORWARD")


async def examine_nft(journals: JournalFolder) -> Sequence[Finding]:
    """Raises NetworkError, MissingRightsError."""
    try:
        locked = await is_locked()
    except (ForeignNameError, NftMissingError) as exc:
        return [worded(exc)]
    usable = Finding.ok("nft can read the firewall rules")
    if locked and not running(journals, CLIENT):
        return [
            usable,
            Finding.warning(
                "the kill switch is on and no client runs: nothing but the local network can be reached",
                "start `tungo client`, or switch it off with `tungo client unlock`",
            ),
        ]
    return [usable]


async def examine_forward_chains() -> Sequence[Finding]:
    """What drops the packets of clients on their way through. Raises NetworkError, MissingRightsError."""
    try:
        chains = [chain for chain in await dropping_forward_chains() if chain not in _OF_IPTABLES]
    except NftMissingError:
        return [
            Finding.warning("without nft nothing is known about other firewalls", "install nftables first")
        ]
    if not chains:
        return [Finding.ok("no firewall drops what the server forwards")]
    return [
        Finding.problem(
            f"the firewall chain {chain} drops forwarded packets, those of clients among them",
            "allow what comes from and goes to the server's interfaces (s_udptun0 and so on) there",
        )
        for chain in chains
    ]
