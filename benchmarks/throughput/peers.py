"""Other people's VPNs with their own defaults, as Debian packages them; measured where they are installed."""

import base64
import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from application.server.generate import new_key_pair
from benchmarks.throughput.beds import StarBed
from benchmarks.throughput.contenders import Contender, Tunnel
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from tests.infrastructure.network.tls.certificates import Authority
from tests.netns.bed import Namespace
from tests.netns.tungo_program import START_S, eventually

_WG_PORT: Final = 51820
_WG_MTU: Final = 1420  # what it gives itself
_OPENVPN_PORT: Final = 1194


class WireGuardGo:
    """The WireGuard that runs as a program, like this one."""

    name: str = "wireguard-go"

    def missing(self) -> str:
        """The daemon, the tool that configures it, and what gives it a /run of its own."""
        return _not_installed("wireguard-go", "wg", "unshare", "nsenter")

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:
        """Start the server and all clients; client ``n`` has 10.77.0.``n + 2``."""
        pairs = [new_key_pair(PycaPrimitives(), SystemEntropy()) for _ in range(len(bed.clients) + 1)]
        public = [base64.b64encode(pair.public).decode() for pair in pairs]
        private = [base64.b64encode(pair.private).decode() for pair in pairs]
        peers = "".join(
            f"[Peer]\nPublicKey={key}\nAllowedIPs=10.77.0.{number + 2}/32\n"
            for number, key in enumerate(public[1:])
        )
        interface = f"[Interface]\nPrivateKey={private[0]}\nListenPort={_WG_PORT}\n"
        log = folder / "log"
        server_pid = self._started(bed.server, "10.77.0.1/24", interface + peers, log, at_end)
        client_pids = []
        for number, client in enumerate(bed.clients):
            configuration = (
                f"[Interface]\nPrivateKey={private[number + 1]}\n[Peer]\nPublicKey={public[0]}\n"
                f"AllowedIPs=10.77.0.0/24\nEndpoint={bed.server_address(number)}:{_WG_PORT}\n"
            )
            address = f"10.77.0.{number + 2}/24"
            client_pids.append(self._started(client, address, configuration, log, at_end))
        return Tunnel(("10.77.0.1",) * len(bed.clients), server_pid, tuple(client_pids))

    @staticmethod
    def _started(namespace: Namespace, address: str, text: str, log: Path, at_end: ExitStack) -> int:
        """The process id of one end."""
        # Its control sockets lie in /run, which network namespaces share.
        alone = "mount -t tmpfs none /run && exec wireguard-go --foreground wg0"
        process = _daemon(namespace, ["unshare", "--mount", "sh", "-c", alone], log, at_end)
        wg = ["nsenter", f"--target={process.pid}", "--mount", "--net", "wg"]

        def answers() -> bool:
            return subprocess.run([*wg, "show", "wg0"], capture_output=True, check=False).returncode == 0

        assert eventually(answers, START_S), f"wireguard-go does not start: {log.read_text('utf-8')}"
        done = subprocess.run(
            [*wg, "setconf", "wg0", "/dev/stdin"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        namespace.run("ip", "addr", "add", address, "dev", "wg0")
        namespace.run("ip", "link", "set", "wg0", "mtu", str(_WG_MTU), "up")
        return process.pid


class OpenVpn:
    """OpenVPN from one point to another, with the cipher of the others and without its kernel module."""

    name: str = "openvpn"

    def missing(self) -> str:
        """The program."""
        return _not_installed("openvpn")

    def open(self, bed: StarBed, folder: Path, at_end: ExitStack) -> Tunnel:
        """Start both ends; there is one client only."""
        [client] = bed.clients
        authority = Authority.make(folder)
        ends = (
            (bed.server, "server", ["--tls-server", "--dh", "none", "--ifconfig", "10.78.0.1", "10.78.0.2"]),
            (
                client,
                "client",
                [
                    *("--tls-client", "--ifconfig", "10.78.0.2", "10.78.0.1"),
                    *("--nobind", "--remote", bed.server_address(0)),
                ],
            ),
        )
        pids = []
        for namespace, role, own in ends:
            certificate = authority.issue(role, [role])
            command = [
                *("openvpn", "--dev", "tun", "--proto", "udp", "--port", str(_OPENVPN_PORT), *own),
                *("--ca", authority.ca_file, "--cert", certificate.certificate_file),
                *("--key", certificate.key_file, "--data-ciphers", "CHACHA20-POLY1305"),
                *("--disable-dco", "--verb", "1"),
            ]
            pids.append(_daemon(namespace, command, folder / f"{role}.log", at_end).pid)
        return Tunnel(("10.78.0.1",), pids[0], (pids[1],))


def _daemon(
    namespace: Namespace, command: Sequence[str], log: Path, at_end: ExitStack
) -> "subprocess.Popen[bytes]":
    """A program inside that ``at_end`` kills; each step of the command line becomes the next, by exec."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace.name, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"LOG_LEVEL": "error"},
        )

    def end() -> None:
        process.kill()
        process.wait()

    at_end.callback(end)
    return process


def _not_installed(*programs: str) -> str:
    return ", ".join(program for program in programs if shutil.which(program) is None)


def version_of(program: str) -> str:
    """What it calls itself; empty if it is not installed."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
        return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "")
    return ""


_: tuple[type[Contender], ...] = (WireGuardGo, OpenVpn)
