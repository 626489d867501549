"""The story that the demo tells, step by step; every step is a check that can fail."""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from presentation.demo.account import Account
from presentation.demo.bed import (
    BEYOND_ADDRESS,
    CLIENT_CABLE,
    SERVER_ADDRESS,
    Bed,
    Namespace,
    build_bed,
    namespace_exists,
    namespace_names,
)
from presentation.demo.errors import DemoError, DemoInterruptedError
from presentation.demo.interruption import signals_interrupt, signals_wait
from presentation.demo.isolation import enter_isolation
from presentation.demo.measure import (
    Plan,
    Traffic,
    parse_echo_times_ms,
    parse_plan,
    parse_traffic,
    parse_transfer,
)
from presentation.demo.programs import Program, attempt, find, run
from presentation.demo.transfer import MIB, deadline_s
from presentation.demo.transports import carrier_of, pinned, serve_only
from presentation.demo.watch import READY, parse_sighting

TUNGO: Final = (sys.executable, "-m", "tungo")

READY_DEADLINE_S: Final = 15.0
GENERATE_DEADLINE_S: Final = 30.0
WATCH_DEADLINE_S: Final = 10.0
POLL_S: Final = 0.05
PINGS: Final = 5
PING_INTERVAL_S: Final = 0.2
TRANSFER_PORT: Final = 47_000  # any port will do in a namespace of one's own
LOG_LINES: Final = 12

# The bytes that every ping carries: what a stranger on the cable would look for.
PING_PATTERN: Final = b"tungo demo ping".hex()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story takes place and who hears it."""

    bed: Bed
    folder: Path
    account: Account
    cleanup: ExitStack
    transport: str  # udp, tcp, ws or wss

    @property
    def carrier(self) -> str:
        """``udp`` or ``tcp``."""
        return carrier_of(self.transport)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The two ends of the tunnel, started."""

    plan: Plan
    server: Program
    client: Program
    started_s: float


def tell(size_mib: int, transport: str) -> None:
    """Run the demo on this process's standard output, with a transfer of ``size_mib``.

    Raises DemoError if any step fails; what the demo made is gone by then.
    """
    enter_isolation()
    account = Account(sys.stdout)
    account.headline(
        f"TunGo over {transport.upper()}: a server and a client on this machine, and a tunnel between them"
    )
    play(size_mib, TUNGO, account, transport)


def play(size_mib: int, program: Sequence[str], account: Account, transport: str = "udp") -> None:
    """Tell the story of ``program`` (the start of its command line) to ``account``. Raises DemoError."""
    label = f"tungo-demo-{os.getpid()}"
    with signals_wait():
        try:
            with ExitStack() as cleanup, signals_interrupt():
                folder = _act(label, size_mib, program, account, cleanup, transport)
            account.begin("removed")
            _check_removed(label, folder)
            account.passed("the namespaces and the temporary folder are gone")
        except DemoError as error:
            account.failed(str(error))
            raise
    account.closing("All of it worked.")


def _act(
    label: str, size_mib: int, program: Sequence[str], account: Account, cleanup: ExitStack, transport: str
) -> Path:
    account.begin("test bed")
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tungo-demo-")))
    bed = build_bed(label, cleanup)
    stage = Stage(bed, folder, account, cleanup, transport)
    account.passed(
        f"namespaces for a client, a server {SERVER_ADDRESS} and a host beyond it {BEYOND_ADDRESS}"
    )

    account.begin("no tunnel yet")
    if _ping_once(bed.client, BEYOND_ADDRESS):
        raise DemoError(f"the client reaches {BEYOND_ADDRESS} without a tunnel")
    account.passed(f"the client cannot reach {BEYOND_ADDRESS}")

    account.begin("server gen")
    plan = _generate(program, stage)
    account.passed(f"a client configuration for {SERVER_ADDRESS}, {stage.carrier.upper()} port {plan.port}")

    before = {namespace: namespace.state() for namespace in (bed.server, bed.client)}
    account.begin("tunnel up")
    tunnel = _start(program, plan, stage)
    try:
        _await_answer(tunnel, stage)
        _ping_watched(tunnel, stage)
        _transfer_counted(tunnel, size_mib, stage)
        _weigh(tunnel, account)
        _stop(tunnel, account)
        account.begin("left behind")
        _check_restored(before)
        account.passed("nothing: interfaces, routes, rules and firewall are as they were")
    except DemoError as error:
        account.failed(str(error))
        if not isinstance(error, DemoInterruptedError):
            for end in (tunnel.server, tunnel.client):
                account.excerpt(f"The last lines of the {end.name}:", end.last_lines(LOG_LINES))
        raise
    return folder


def _generate(program: Sequence[str], stage: Stage) -> Plan:
    arguments = ("server", "gen", "--config-dir", str(stage.folder / "server"), "--host", SERVER_ADDRESS)
    inside = stage.bed.server.inside(*program, *arguments)
    configuration = run("ip", *inside, timeout_s=GENERATE_DEADLINE_S)
    if stage.transport != "udp":
        # The first call has made the server's file; what it serves is edited there.
        fingerprint = serve_only(stage.transport, stage.folder / "server")
        inside = stage.bed.server.inside(*program, *arguments, "--protocol", stage.transport)
        configuration = run("ip", *inside, timeout_s=GENERATE_DEADLINE_S)
        if fingerprint is not None:
            configuration = pinned(configuration, fingerprint)
    plan = parse_plan(configuration)
    client_folder = stage.folder / "client"
    client_folder.mkdir(mode=0o700)
    file = client_folder / "client_configuration.json"
    file.touch(mode=0o600)
    file.write_text(configuration, encoding="utf-8")
    return plan


def _start(program: Sequence[str], plan: Plan, stage: Stage) -> Tunnel:
    started_s = time.monotonic()
    server, client = (
        _run_inside(namespace, role, role, [*program, role, "--config-dir", str(stage.folder / role)], stage)
        for role, namespace in (("server", stage.bed.server), ("client", stage.bed.client))
    )
    return Tunnel(plan, server, client, started_s)


def _run_inside(namespace: Namespace, name: str, log_name: str, argv: Sequence[str], stage: Stage) -> Program:
    inside = [find("ip"), *namespace.inside(*argv)]
    return Program(name, inside, stage.folder / f"{log_name}.log", stage.cleanup)


def _await_answer(tunnel: Tunnel, stage: Stage) -> None:
    address = tunnel.plan.server_tunnel_address
    while not _ping_once(stage.bed.client, address):
        tunnel.server.check_running()
        tunnel.client.check_running()
        if time.monotonic() > tunnel.started_s + READY_DEADLINE_S:
            raise DemoError(f"no answer through the tunnel within {READY_DEADLINE_S:.0f} s")
        time.sleep(POLL_S)
    seconds = time.monotonic() - tunnel.started_s
    stage.account.passed(f"{address} answers {seconds:.1f} s after both ends were started")


def _ping_watched(tunnel: Tunnel, stage: Stage) -> None:
    account = stage.account
    watcher = _start_watcher(tunnel.plan, stage)
    for address in (tunnel.plan.server_tunnel_address, BEYOND_ADDRESS):
        account.begin("ping")
        times = _ping(stage.bed.client, address)
        account.passed(f"{address:<12}  {' '.join(f'{time_ms:.2f}' for time_ms in times)} ms")
    account.begin("on the cable")
    watcher.stop()
    sighting = parse_sighting(watcher.output)
    # Each ping is a question and an answer, to two addresses.
    if sighting.readable or sighting.other or sighting.tunnel < 4 * PINGS:
        raise DemoError(
            f"{sighting.tunnel} packets of the tunnel, {sighting.other} other packets, "
            f"{sighting.readable} with a ping in clear"
        )
    what = f"{sighting.tunnel} {stage.carrier.upper()} packets of port {tunnel.plan.port}"
    account.passed(f"{what}; none shows a ping in clear")


def _start_watcher(plan: Plan, stage: Stage) -> Program:
    argv = (
        *(sys.executable, "-m", "presentation.demo.watch", "--interface", CLIENT_CABLE),
        *("--carrier", stage.carrier, "--port", str(plan.port), "--pattern", PING_PATTERN),
    )
    watcher = _run_inside(stage.bed.client, "watcher of the cable", "watch", argv, stage)
    deadline = time.monotonic() + WATCH_DEADLINE_S
    while READY not in watcher.output:
        watcher.check_running()
        if time.monotonic() > deadline:
            raise DemoError("the cable could not be watched in time")
        time.sleep(POLL_S)
    return watcher


def _ping_once(namespace: Namespace, address: str) -> bool:
    status, _, _ = attempt("ip", *namespace.inside(find("ping"), "-n", "-c", "1", "-W", "1", address))
    return status == 0


def _ping(namespace: Namespace, address: str) -> list[float]:
    arguments = ("-n", "-c", str(PINGS), "-i", str(PING_INTERVAL_S), "-W", "2", "-p", PING_PATTERN)
    _, output, _ = attempt("ip", *namespace.inside(find("ping"), *arguments, address))
    times = parse_echo_times_ms(output)
    if len(times) != PINGS:
        raise DemoError(f"{address} answered {len(times)} of {PINGS} pings through the tunnel")
    return times


def _transfer_counted(tunnel: Tunnel, size_mib: int, stage: Stage) -> None:
    account = stage.account
    account.begin("transfer")
    before = _cable_traffic(stage.bed)
    account.passed(_transfer(tunnel, size_mib, stage))
    account.begin("on the cable")
    after = _cable_traffic(stage.bed)
    outer = Traffic(after.packets - before.packets, after.size_bytes - before.size_bytes)
    if outer.size_bytes < size_mib * MIB:
        raise DemoError(f"only {outer.size_bytes} bytes crossed the cable for {size_mib} MiB")
    account.passed(f"{outer.size_bytes / MIB:.0f} MiB in {outer.packets} packets, both ways")


def _transfer(tunnel: Tunnel, size_mib: int, stage: Stage) -> str:
    """The transfer and what there is to say about it. Raises DemoError unless all arrived as it was sent."""
    options = ("--address", tunnel.plan.server_tunnel_address, "--port", str(TRANSFER_PORT))
    command = (sys.executable, "-m", "presentation.demo.transfer")
    receiver, sender = (
        _run_inside(namespace, name, side, [*command, side, *options, "--size", str(size_mib)], stage)
        for name, side, namespace in (
            ("receiver of the transfer", "receive", stage.bed.server),
            ("sender of the transfer", "send", stage.bed.client),
        )
    )
    # Each side ends at its deadline by itself; the margin is for hashing.
    for end in (sender, receiver):
        end.wait(2 * deadline_s(size_mib))
    sent, received = parse_transfer(sender.output), parse_transfer(receiver.output)
    if sent.sha256 != received.sha256 or received.size_bytes != size_mib * MIB:
        raise DemoError("what arrived is not what was sent: the SHA-256 sums differ")
    rate = sent.gigabits_per_second
    shown = f"{rate:.2f} Gbit/s" if rate >= 1 else f"{rate * 1000:.0f} Mbit/s"
    return f"{size_mib} MiB over TCP in {sent.seconds:.2f} s, {shown}; SHA-256 equal ({sent.sha256[:12]}...)"


def _cable_traffic(bed: Bed) -> Traffic:
    return parse_traffic(run("ip", "-n", bed.client.name, "-j", "-s", "link", "show", "dev", CLIENT_CABLE))


def _weigh(tunnel: Tunnel, account: Account) -> None:
    account.begin("memory")
    server, client = (end.peak_memory_bytes() / MIB for end in (tunnel.server, tunnel.client))
    account.passed(f"server {server:.0f} MiB, client {client:.0f} MiB at most")


def _stop(tunnel: Tunnel, account: Account) -> None:
    account.begin("stop")
    started = time.monotonic()
    for end in (tunnel.client, tunnel.server):
        end.stop()
    account.passed(f"both ends ended on SIGTERM with status 0, within {time.monotonic() - started:.1f} s")


def _check_restored(before: dict[Namespace, frozenset[str]]) -> None:
    for namespace, state in before.items():
        now = namespace.state()
        if now != state:
            difference = sorted(now - state) or sorted(state - now)
            verb = "left behind" if now - state else "took away"
            raise DemoError(f"the tunnel {verb} in {namespace.name}: {'; '.join(difference)}")


def _check_removed(label: str, folder: Path) -> None:
    left = [name for name in namespace_names(label) if namespace_exists(name)]
    if folder.exists():
        left.append(str(folder))
    if left:
        raise DemoError(f"could not be removed: {', '.join(left)}")
