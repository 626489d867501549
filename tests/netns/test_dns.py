"""A client's host asks the name servers of its tunnel, and later its own: real programs, real look-ups."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from tests.infrastructure.pal.linux.dns.places import dangling_link, nothing, state_of
from tests.netns.name_servers import HostWithEtc, name_server
from tests.netns.tungo_program import START_S, eventually, program_environment
from tests.netns.tunnel_bed import (
    CLIENT_GATEWAY,
    SERVER,
    Folders,
    TunnelBed,
    edit_json,
    opened_tunnel_bed,
)

pytestmark = pytest.mark.netns

NAME: Final = "name.example"
SERVER_NAME: Final = "vpn.example"
IN_LAN: Final = "192.0.2.77"
IN_TUNNEL: Final = "10.0.1.77"
TUNNEL_SERVER: Final = "10.0.1.1"

STOP_S: Final = 0.5


class Client:
    """``tungo client`` on a host with an /etc of its own."""

    def __init__(self, host: HostWithEtc, folder: Path, log_file: Path, path: str) -> None:
        self._log_file = log_file
        with log_file.open("wb") as output:
            self._process = subprocess.Popen(
                host.command(sys.executable, "-m", "tungo", "client", "--config-dir", str(folder)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=program_environment() | {"PATH": path},
            )
        up = eventually(lambda: "tunnel is up" in self.log or self._process.poll() is not None, START_S)
        assert up, self.log
        assert self._process.poll() is None, self.log

    @property
    def log(self) -> str:
        return self._log_file.read_text("utf-8")

    def stop(self) -> float:
        """The seconds from the signal until nothing was left to do; Python takes some more to end."""
        self._process.terminate()
        assert self._process.wait(10) == 0, self.log
        return (self._time_of("stopped") - self._time_of('"shutting down"')).total_seconds()

    def _time_of(self, message: str) -> datetime:
        [line] = [line for line in self.log.splitlines() if f" msg={message} " in line]
        return datetime.fromisoformat(line.split()[0].removeprefix("time="))

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)


class World:
    """A server with a name server in the tunnel, and a client's host whose own name server is in its LAN."""

    def __init__(self, bed: TunnelBed, host: HostWithEtc, tmp_path: Path) -> None:
        self.bed = bed
        self.host = host
        self._log_folder = tmp_path
        self.programs = tmp_path / "bin"
        self.programs.mkdir()
        for name in ("ip", "sh", "mount", "nft", "sleep", "sysctl"):
            found = shutil.which(name)
            assert found is not None, f"{name} is not installed"
            (self.programs / name).symlink_to(found)
        self._started: list[Client] = []

    def start(self) -> Client:
        log_file = self._log_folder / f"named-client-{len(self._started)}.log"
        self._started.append(Client(self.host, self.bed.folders.client, log_file, os.fspath(self.programs)))
        return self._started[-1]

    def clean_up(self) -> str:
        done = subprocess.run(
            self.host.command(sys.executable, "-m", "tungo", "client", "cleanup"),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=program_environment() | {"PATH": os.fspath(self.programs)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> dict[str, object]:
        """What is in /etc; of a mount only what a container has of it."""
        found = state_of(self.host.etc)
        if self.host.resolv_conf_is_mount:
            return {name: (entry.content, entry.mode, entry.inode) for name, entry in found.items()}
        return {**found}

    def end(self) -> None:
        for client in self._started:
            client.kill()


def by_dhcp(folder: Path) -> None:
    """A file as a DHCP client leaves it."""
    (folder / "resolv.conf").write_text(f"search lan\nnameserver {CLIENT_GATEWAY}\n")


def by_link(folder: Path) -> None:
    """A link to such a file."""
    (folder / "run").mkdir()
    (folder / "run" / "resolv.conf").write_text(f"nameserver {CLIENT_GATEWAY}\n")
    (folder / "resolv.conf").symlink_to("run/resolv.conf")


@pytest.fixture(scope="module")
def folders(folders: Folders) -> Folders:
    """The client of these asks the tunnel's name server, and looks for its server by name."""

    def name_name_servers(document: dict[str, dict[str, object]]) -> None:
        document["UDPSettings"]["DNSv4"] = [TUNNEL_SERVER]
        # By its name alone: without a name server the client would not find it.
        document["UDPSettings"]["Server"] = {"Domain": SERVER_NAME}

    edit_json(folders.client / "client_configuration.json", name_name_servers)
    return folders


@contextmanager
def opened_world(
    folders: Folders, tmp_path: Path, shape: Callable[[Path], None], *, is_mount: bool = False
) -> Iterator[World]:
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as bed:
        host = HostWithEtc(bed.client, tmp_path / "etc", resolv_conf_is_mount=is_mount)
        shape(host.etc)
        world = World(bed, host, tmp_path)
        bed.start_server()
        with (
            name_server(bed.internet, CLIENT_GATEWAY, {NAME: IN_LAN, SERVER_NAME: SERVER}),
            # Whom glibc asks if nothing says whom.
            name_server(bed.client, "127.0.0.1", {NAME: IN_LAN, SERVER_NAME: SERVER}),
            name_server(bed.server, TUNNEL_SERVER, {NAME: IN_TUNNEL}),
        ):
            try:
                yield world
            finally:
                world.end()


@pytest.mark.parametrize(
    ("shape", "is_mount"),
    [(by_dhcp, False), (by_link, False), (dangling_link, False), (nothing, False), (by_dhcp, True)],
)
def test_whatever_stands_there_comes_back_after_a_stop_and_after_a_kill(
    folders: Folders, tmp_path: Path, shape: Callable[[Path], None], *, is_mount: bool
) -> None:
    with opened_world(folders, tmp_path, shape, is_mount=is_mount) as world:
        before = world.state()
        assert world.host.look_up(NAME) == IN_LAN

        client = world.start()
        assert world.host.look_up(NAME) == IN_TUNNEL
        client.stop()
        assert world.state() == before

        client = world.start()
        client.kill()
        assert world.host.look_up(NAME) != IN_LAN
        assert "took back the name servers in /etc/resolv.conf\n" in world.clean_up()
        assert world.state() == before
        assert world.clean_up() == "there is nothing to take back\n"

        world.start().kill()
        client = world.start()  # which has to find its server by name
        assert "took back what a killed process had left behind" in client.log
        assert world.host.look_up(NAME) == IN_TUNNEL, client.log
        client.stop()
        assert world.state() == before
        assert world.host.look_up(NAME) == IN_LAN


def test_no_question_leaves_beside_the_tunnel(folders: Folders, tmp_path: Path) -> None:
    with opened_world(folders, tmp_path, by_dhcp) as world:
        with world.bed.captured_frames() as frames:
            assert world.host.look_up(NAME) == IN_LAN
        assert any(map(is_question, frames))
        world.start()
        with world.bed.captured_frames() as frames:
            assert world.host.look_up(NAME) == IN_TUNNEL
            world.bed.server_process.kill()
            assert world.host.look_up(NAME) != IN_LAN  # nor does anybody ask elsewhere when none answers
        assert frames
        assert not any(map(is_question, frames))


def test_a_stop_takes_no_longer_with_a_dead_name_server_and_a_hanging_resolvconf(
    folders: Folders, tmp_path: Path
) -> None:
    with opened_world(folders, tmp_path, by_dhcp) as world:
        before = world.state()
        script = world.programs / "resolvconf"
        script.write_text(
            f"#!/bin/sh\n[ $1 = -a ] && echo nameserver {TUNNEL_SERVER} > /etc/resolv.conf || sleep 5\n"
        )
        script.chmod(0o755)
        client = world.start()
        assert "by=resolvconf" in client.log
        world.bed.server_process.kill()
        assert client.stop() < STOP_S
        assert "the name servers of this host are still being put back" in client.log
        script.write_text("#!/bin/sh\nexit 0\n")
        assert "took back the name servers of c_udptun0 in resolvconf\n" in world.clean_up()
        assert before.keys() == world.state().keys()


def test_what_a_dhcp_client_writes_while_the_tunnel_is_up_is_overruled(
    folders: Folders, tmp_path: Path
) -> None:
    with opened_world(folders, tmp_path, by_link) as world:
        client = world.start()
        world.host.resolv_conf.unlink()
        by_dhcp(world.host.etc)
        assert eventually(lambda: "those of the tunnel again" in client.log, 10)
        assert world.host.look_up(NAME) == IN_TUNNEL
        client.stop()
        assert world.host.resolv_conf.read_text() == f"search lan\nnameserver {CLIENT_GATEWAY}\n"
        assert world.host.look_up(NAME) == IN_LAN


def test_a_name_server_in_the_lan_is_used_and_that_it_is_no_secret_is_said(
    folders: Folders, tmp_path: Path
) -> None:
    client_folder = tmp_path / "to-the-lan"
    shutil.copytree(folders.client, client_folder)

    def name_gateway(document: dict[str, dict[str, object]]) -> None:
        document["UDPSettings"]["DNSv4"] = [CLIENT_GATEWAY]

    edit_json(client_folder / "client_configuration.json", name_gateway)
    with opened_world(replace(folders, client=client_folder), tmp_path, by_dhcp) as world:
        client = world.start()
        assert world.host.look_up(NAME) == IN_LAN
        assert "is asked past the tunnel" in client.log
        assert f"server={CLIENT_GATEWAY}" in client.log


def is_question(frame_untrusted: bytes) -> bool:
    """Whether an Ethernet frame carries a question to a name server."""
    packet = frame_untrusted[14:]
    if len(packet) < 48 or packet[0] >> 4 not in {4, 6}:
        return False
    header_bytes, protocol = (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])
    return protocol in {6, 17} and packet[header_bytes + 2 : header_bytes + 4] == b"\x00\x35"
