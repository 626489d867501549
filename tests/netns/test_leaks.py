"""What the wire sees of programs that talk all the time, while the tunnel comes, breaks, comes back and goes.

The wire is the client's cable, looked at from the other end. Each packet of the programs carries a number, so
that it shows whether one left in clear after another had been led into the tunnel.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest

from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import TransportProtocol
from tests.netns.test_kill_switch import asks_for_neighbours
from tests.netns.tungo_program import START_S, eventually, run_tungo
from tests.netns.tunnel_bed import (
    BEYOND,
    BEYOND_V6,
    RECONNECT_S,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    opened_tunnel_bed,
    over,
)

pytestmark = pytest.mark.netns

RECONNECTS: Final = 20
EVERY_SEVENTH: Final = 7  # of them by the death of the server
# Three: the way out is another one than before, and than before that.
OTHER_GATEWAYS: Final = ("192.0.2.252", "192.0.2.253", "192.0.2.254")
A_WHILE: Final = 100  # rounds of talk, a second at least
PATIENCE_S: Final = 10.0

WORD: Final = b"not-for-your-ears-"
NUMBER_DIGITS: Final = 8
PAUSE_S: Final = 0.001  # between two words: both ends of the tunnel share this machine
DNS: Final = 53
DISCARD: Final = 9
# RFC 1035 section 4.1: a question for one name, of type A and class IN
DNS_HEADER: Final = bytes.fromhex("2a2a 0100 0001 0000 0000 0000")
DNS_QUESTION_END: Final = bytes.fromhex("00 0001 0001")

# <linux/if_ether.h>, <linux/if_packet.h>, <asm-generic/socket.h>
_ETH_P_ALL: Final = 3
_PACKET_OUTGOING: Final = 4
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 16 * 1024 * 1024

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP


class Program:
    """One socket that says ``WORD``, its name and a number to a host on the Internet, again and again.

    It is ``connected`` since before there was a tunnel, so that the kernel remembers its way and its source
    address, or it looks the way up for each packet.
    """

    def __init__(self, name: str, bed: TunnelBed, address: str, port: int, *, connected: bool) -> None:
        self.name = name.encode()
        self.spoken = 0
        self._is_dns = port == DNS
        self._endpoint = (address, port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = bed.internet.call(partial(socket.socket, family, socket.SOCK_DGRAM))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self._endpoint)  # or every packet would be answered by a refusal
        self._socket = bed.client.call(partial(socket.socket, family, socket.SOCK_DGRAM))
        self._socket.setblocking(False)
        self._connected = connected
        if connected:
            self._socket.connect(self._endpoint)

    def speak(self) -> None:
        """Say the next number; one that the kernel refuses is said again."""
        word = b"%s%s-%0*d" % (WORD, self.name, NUMBER_DIGITS, self.spoken)
        packet = DNS_HEADER + bytes([len(word)]) + word + DNS_QUESTION_END if self._is_dns else b"say " + word
        with suppress(OSError):
            if self._connected:
                self._socket.send(packet)
            else:
                self._socket.sendto(packet, self._endpoint)
            self.spoken += 1

    def close(self) -> None:
        self._socket.close()
        self._listener.close()


class Programs:
    """Programs on the client's host that talk from entry to exit: IPv4 and IPv6, data and DNS questions."""

    def __init__(self, bed: TunnelBed) -> None:
        self.all = [
            Program(
                f"{'udp' if port == DISCARD else 'dns'}{family}{how}", bed, address, port, connected=bool(how)
            )
            for family, address in ((4, BEYOND), (6, BEYOND_V6))
            for port in (DISCARD, DNS)
            for how in ("", "c")
        ]
        self._rounds = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="programs")

    def __enter__(self) -> "Programs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for program in self.all:
            program.close()

    def go_on(self, rounds: int = A_WHILE) -> None:
        """Return when each has tried that many times more."""
        wanted = self._rounds + rounds + 1  # one round may be half over
        assert eventually(lambda: self._rounds >= wanted, PATIENCE_S)

    def _talk(self) -> None:
        while not self._stopping.is_set():
            for program in self.all:
                program.speak()
                self._stopping.wait(PAUSE_S)
            self._rounds += 1


class Wire:
    """All that the client's host sends on its cable, from entry to exit.

    ``strange`` are the frames that neither carry the tunnel nor find a neighbour. ``heard`` has the numbers
    that each program was heard to say, in the order in which they came.
    """

    def __init__(self, bed: TunnelBed, transport: TransportProtocol) -> None:
        self.strange: list[bytes] = []
        self.heard: dict[bytes, list[int]] = {}
        self.carried = 0
        self._protocol = socket.IPPROTO_UDP if transport is UDP else socket.IPPROTO_TCP
        self._server = socket.inet_aton(SERVER)
        self._port = SLOT_DEFAULTS[transport.slot].port.to_bytes(2)
        self._socket = bed.internet.call(partial(socket.socket, socket.AF_PACKET, socket.SOCK_RAW))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((bed.internet_cable, _ETH_P_ALL))
        self._socket.settimeout(0.05)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wire")

    def __enter__(self) -> "Wire":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        _, lost = struct.unpack("=II", statistics)
        assert lost == 0, f"{lost} frames were not looked at"

    def hears(self, programs: Programs) -> bool:
        """Whether each program has been heard."""
        return all(self.heard.get(program.name) for program in programs.all)

    def forget(self) -> None:
        """Begin anew."""
        self.strange, self.heard, self.carried = [], {}, 0

    def _listen(self) -> None:
        while True:
            try:
                frame, (_, _, direction, *_) = self._socket.recvfrom(65535)
            except TimeoutError:
                if self._stopping.is_set():
                    return  # and nothing is left in the socket
                continue
            if direction != _PACKET_OUTGOING:
                self._look_at(frame)

    def _look_at(self, frame: bytes) -> None:
        if self._carries_tunnel(frame):
            self.carried += 1
        elif not asks_for_neighbours(frame):
            self.strange.append(frame)
        _, found, word = frame.partition(WORD)
        if found:
            name, _, number = word.partition(b"-")
            self.heard.setdefault(name, []).append(int(number[:NUMBER_DIGITS]))

    def _carries_tunnel(self, frame: bytes) -> bool:
        """Whether it is IPv4 without options, to the server's port."""
        return (
            frame[12:15] == b"\x08\x00\x45"
            and frame[23] == self._protocol
            and frame[30:34] == self._server
            and frame[36:38] == self._port
        )


transport = over(UDP, TCP)


@pytest.fixture
def bed(transport: TransportProtocol, folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(transport, folders, tmp_path) as made:
        for gateway in OTHER_GATEWAYS:
            made.internet.run("ip", "addr", "add", f"{gateway}/24", "dev", made.internet_cable)
        made.internet.run(
            "nft", "add table ip cut; add chain ip cut path { type filter hook forward priority 0; }"
        )
        yield made


@contextmanager
def broken(bed: TunnelBed, *, by_death: bool) -> Iterator[None]:
    """Inside, the server is dead, or the path to it refuses what the client sends."""
    if by_death:
        bed.server_process.kill()
        yield
        bed.start_server()
        return
    refused = f"add rule ip cut path ip daddr {SERVER}"
    bed.internet.run("nft", f"{refused} meta l4proto tcp reject with tcp reset; {refused} reject")
    yield
    bed.internet.run("nft", "flush chain ip cut path")


def reached(bed: TunnelBed, message: str, times: int) -> bool:
    """Whether the client has said so that often."""
    return bed.client_process.log.count(message) >= times


def follows(numbers: list[int]) -> bool:
    """Whether none is missing between the first and the last."""
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_start_and_stop_lead_each_program_into_the_tunnel_and_out_of_it_once(
    bed: TunnelBed, transport: TransportProtocol
) -> None:
    bed.start_server()
    with Wire(bed, transport) as wire, Programs(bed) as programs:
        assert eventually(lambda: wire.hears(programs), PATIENCE_S)
        bed.bring_up()
        before = {program.name: len(wire.heard[program.name]) for program in programs.all}
        programs.go_on()
        for program in programs.all:
            assert len(wire.heard[program.name]) == before[program.name], program.name
            assert follows(wire.heard[program.name]), program.name
            assert program.spoken > wire.heard[program.name][-1] + A_WHILE / 2, program.name
        assert wire.carried > 0
        wire.forget()
        assert bed.client_process.stop()[0] == 0
        assert eventually(lambda: wire.hears(programs), PATIENCE_S)
        programs.go_on(10)
    assert all(map(follows, wire.heard.values())), wire.heard


def test_nothing_is_seen_in_clear_through_twenty_reconnects_and_the_death_of_the_server(
    bed: TunnelBed, transport: TransportProtocol
) -> None:
    programs, gateways = Programs(bed), cycle(OTHER_GATEWAYS)
    bed.bring_up()
    with Wire(bed, transport) as wire, programs:
        for number in range(1, RECONNECTS + 1):
            # Each time another network: an end that the client has missed shows soon, and no pause is waited
            # out.
            with broken(bed, by_death=number % EVERY_SEVENTH == 0):
                bed.client.run("ip", "route", "replace", "default", "via", next(gateways))
                assert eventually(partial(reached, bed, "session ended", number), PATIENCE_S), (
                    bed.client_process.log
                )
            bed.client.run("ip", "route", "replace", "default", "via", next(gateways))
            assert eventually(partial(reached, bed, "msg=connected", number + 1), RECONNECT_S), (
                bed.client_process.log
            )
        bed.await_answer(START_S)
        assert wire.carried > RECONNECTS
        bed.server_process.kill()
        assert eventually(partial(reached, bed, "session ended", RECONNECTS + 1), PATIENCE_S)
        programs.go_on()
    assert wire.heard == {}
    assert wire.strange == []


def test_behind_the_kill_switch_nothing_is_seen_in_clear_after_a_kill_until_it_is_unlocked(
    bed: TunnelBed, transport: TransportProtocol, tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o700)
    file = folder / "client_configuration.json"
    file.write_bytes((bed.folders.client / file.name).read_bytes())
    file.chmod(0o600)
    edit_json(file, lock_down)
    bed.folders = replace(bed.folders, client=folder)
    programs = Programs(bed)
    bed.bring_up()
    with Wire(bed, transport) as wire, programs:
        programs.go_on()
        bed.client_process.kill()
        programs.go_on()
        assert wire.carried > 0
        bed.bring_up()
        programs.go_on()
        assert bed.client_process.stop()[0] == 0
        programs.go_on()
        assert (wire.heard, wire.strange) == ({}, [])
        assert run_tungo(bed.client, "client", "unlock").returncode == 0
        assert eventually(lambda: wire.hears(programs), PATIENCE_S)


def lock_down(document: dict[str, bool]) -> None:
    document["KillSwitch"] = True
