"""A stand-in for the tungo program for tests of the demo: a tunnel that hides nothing from an expert.

Takes the arguments of ``tungo server gen``, ``tungo server`` and ``tungo client``. Each packet travels in one
UDP datagram, disguised by one XOR. ``PLAIN_TUNNEL`` in the environment makes it misbehave:

- ``clear``: packets travel as they are;
- ``litter``: the server leaves its firewall table behind;
- ``crash``: the client ends at once.
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

PORT = 9090
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
MISCHIEF = os.environ.get("PLAIN_TUNNEL", "")
DISGUISE = bytes.maketrans(
    bytes(range(256)), bytes(b if MISCHIEF == "clear" else b ^ 0x5A for b in range(256))
)

FIREWALL = """
table ip plain {
  chain out {
    type nat hook postrouting priority 100;
    ip saddr 10.0.1.0/24 masquerade
  }
}
"""


def command(*argv: str, text: str | None = None) -> None:
    """Run a configuration command."""
    subprocess.run(argv, input=text, text=True, check=True)


def open_tun(name: str, address: str) -> int:
    """A TUN device that is up."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    command("ip", "address", "add", address, "dev", name)
    command("ip", "link", "set", name, "mtu", "1400", "up")
    return tun


def relay(tun: int, transport: socket.socket, peer: tuple[str, int] | None) -> None:
    """Carry packets both ways until SIGTERM; a server learns its peer from the datagrams."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        readable, _, _ = select.select([tun, transport.fileno()], [], [])
        if transport.fileno() in readable:
            packet, peer = transport.recvfrom(65_535)
            os.write(tun, packet.translate(DISGUISE))
        if tun in readable:
            packet = os.read(tun, 65_535)
            if peer is not None:
                transport.sendto(packet.translate(DISGUISE), peer)


def serve() -> None:
    """The server's part."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as transport:
        transport.bind(("0.0.0.0", PORT))
        tun = open_tun("plain_server", "10.0.1.1/24")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
        command("nft", "-f", "-", text=FIREWALL)
        try:
            relay(tun, transport, None)
        finally:
            if MISCHIEF != "litter":
                command("nft", "delete", "table", "ip", "plain")


def connect(config_dir: Path) -> None:
    """The client's part."""
    server = json.loads((config_dir / "client_configuration.json").read_text(encoding="utf-8"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as transport:
        tun = open_tun("plain_client", "10.0.1.2/24")
        for half in ("0.0.0.0/1", "128.0.0.0/1"):
            command("ip", "route", "add", half, "dev", "plain_client")
        relay(tun, transport, (str(server["Host"]), PORT))


def main() -> None:
    """Act on the command line."""
    arguments = sys.argv[1:]
    if arguments[:2] == ["server", "gen"]:
        host = arguments[arguments.index("--host") + 1]
        settings = {"IPv4Subnet": "10.0.1.0/24", "Port": PORT}
        sys.stdout.write(json.dumps({"Host": host, "Protocol": "UDP", "UDPSettings": settings}))
    elif arguments[:1] == ["server"]:
        serve()
    elif MISCHIEF == "crash":
        sys.exit("the stand-in crashes as told")
    else:
        connect(Path(arguments[arguments.index("--config-dir") + 1]))


if __name__ == "__main__":
    main()
