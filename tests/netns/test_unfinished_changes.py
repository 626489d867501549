"""Whatever step fails, and at whatever step the process is killed: nothing of it stays on the host."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import count
from typing import Final

import pytest

from domain.addressing.tunnel import client_addresses, server_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from domain.settings.routing import TunnelRouting
from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.journal import CLIENT, SERVER, JournalFolder
from infrastructure.pal.linux.recovery import Recovery, clean_up
from infrastructure.pal.tunnel.client.tun_manager import LinuxClientTunManager
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from tests.adapters.log import RememberingLog
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.steps import Steps
from tests.netns.tungo_program import program_environment
from tests.netns.uplink import NEIGHBOUR_V6, Uplink

pytestmark = pytest.mark.netns

PROFILE: Final = TransportProfile(
    protocol=TransportProtocol.UDP,
    interface_name="test-tun0",
    ipv4_subnet=IPv4Network("10.0.1.0/24"),
    ipv6_subnet=IPv6Network("fd00:1::/64"),
    server=ServerAddress(domain="vpn.example"),
    port=9090,
    mtu_bytes=1400,
    dial_timeout_ms=5000,
)

# More steps than anybody needs, fewer than a test that has gone wrong would take.
TOO_MANY_STEPS: Final = 100


async def hold_as_client(entered: Callable[[], None] = lambda: None) -> None:
    """Have a tunnel with everything that a client can change on a host, and give it up."""
    manager = LinuxClientTunManager(
        RememberingLog(),
        JournalFolder.of_this_host(),
        TunnelRouting(exclude=(IPv4Network("198.18.0.0/15"), IPv6Network("2001:db8:2::/48"))),
    )
    addresses = client_addresses(PROFILE.ipv4_subnet, PROFILE.ipv6_subnet, client_id=1)
    async with manager.hold(), manager.open(PROFILE, addresses):
        entered()


async def hold_as_server(entered: Callable[[], None] = lambda: None) -> None:
    """Serve a tunnel with everything that a server can change on a host, and give it up."""
    manager = ServerTunManager(
        PROFILE,
        server_addresses(PROFILE.ipv4_subnet, PROFILE.ipv6_subnet),
        RememberingLog(),
        JournalFolder.of_this_host(),
        isolated_from=[PROFILE.interface_name],
    )
    async with manager.open():
        entered()


@dataclass(frozen=True, slots=True)
class Role:
    """An end of the tunnel, on a host where all that it may change needs changing."""

    name: str
    life: Callable[[Callable[[], None]], Coroutine[None, None, None]]
    host: Namespace

    def clean_up(self) -> Recovery:
        """What ``tungo <role> cleanup`` does."""
        return self.host.call_async(lambda: clean_up(JournalFolder.of_this_host(), self.name))

    def journals(self) -> list[str]:
        return self.host.call(lambda: JournalFolder.of_this_host().interfaces(self.name))


@pytest.fixture(params=[CLIENT, SERVER])
def role(request: pytest.FixtureRequest, bed: NetnsBed) -> Role:
    uplink = Uplink(bed)
    if request.param == CLIENT:
        uplink.host.run("sysctl", "-qw", f"net.ipv4.conf.{uplink.interface}.rp_filter=1")
        return Role(CLIENT, hold_as_client, uplink.host)
    # What a router advertisement would have made.
    route = ("via", NEIGHBOUR_V6, "dev", uplink.interface, "proto", "ra", "metric", "1024")
    uplink.host.run("ip", "-6", "route", "replace", "default", *route)
    for program in ("iptables-nft", "ip6tables-nft", "iptables-legacy"):
        uplink.host.run(program, "-P", "FORWARD", "DROP")
        uplink.host.run(program, "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    return Role(SERVER, hold_as_server, uplink.host)


@pytest.mark.parametrize(
    ("error", "afterwards"),
    [
        pytest.param(NetworkError("refused"), False, id="refused"),
        pytest.param(asyncio.CancelledError(), True, id="cancelled"),
    ],
)
def test_whatever_step_of_a_start_fails_the_host_is_as_before(
    role: Role, monkeypatch: pytest.MonkeyPatch, error: BaseException, afterwards: bool
) -> None:
    before = role.host.snapshot()
    for number in count(1):
        has_entered, steps = attempt(role, monkeypatch, number, error, afterwards)
        if has_entered:
            assert set(steps.names) >= {"run_program", "add_address"}
            break
        assert role.host.snapshot() == before, steps.names
        assert role.journals() == [], steps.names
        assert number < TOO_MANY_STEPS


def test_whatever_step_of_a_stop_fails_a_clean_up_makes_up_for_it(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = role.host.snapshot()
    for number in count(steps_of_start(role, monkeypatch) + 1):
        _, steps = attempt(role, monkeypatch, number, NetworkError("refused"), False)
        if not steps.reached:
            break
        assert role.clean_up().failed == []
        assert role.host.snapshot() == before, steps.names
        assert role.journals() == [], steps.names


def steps_of_start(role: Role, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many steps it takes until the device is there."""
    steps = Steps(0, lambda: None)
    at_entry: list[int] = []
    with monkeypatch.context() as patch:
        steps.install(patch.setattr)
        role.host.call_async(lambda: role.life(lambda: at_entry.append(len(steps.names))))
    return at_entry[0]


def attempt(
    role: Role, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, afterwards: bool
) -> tuple[bool, Steps]:
    """Whether the device was there, with ``error`` raised at that step."""
    has_entered: list[bool] = []

    def fail() -> None:
        raise error

    steps = Steps(at, fail, afterwards=afterwards)
    with monkeypatch.context() as patch, suppress(type(error)):
        steps.install(patch.setattr)
        role.host.call_async(lambda: role.life(lambda: has_entered.append(True)))
    return bool(has_entered), steps


@pytest.fixture
def dying(role: Role) -> "Iterator[subprocess.Popen[str]]":
    command = ["ip", "netns", "exec", role.host.name, sys.executable, "-m", "tests.netns.dying", role.name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=program_environment()
    ) as program:
        yield program


def test_at_whatever_step_the_process_is_killed_a_clean_up_leaves_nothing(
    role: Role, dying: "subprocess.Popen[str]"
) -> None:
    assert dying.stdin is not None
    assert dying.stdout is not None
    before = role.host.snapshot()
    fates: list[str] = []
    while not fates or fates[-1].startswith("killed"):
        dying.stdin.write(f"{len(fates) + 1}\n")
        dying.stdin.flush()
        fates.append(dying.stdout.readline().strip())
        assert role.clean_up().failed == []
        assert role.host.snapshot() == before, fates
        assert role.journals() == [], fates
        assert len(fates) < TOO_MANY_STEPS
    assert fates[-1] == "survived 0"
    assert {"killed run_program", "killed write_setting", "killed add_address"} <= set(fates)
