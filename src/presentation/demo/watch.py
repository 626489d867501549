"""What a stranger on the cable sees: ``python -m presentation.demo.watch ...``, ended by SIGTERM.

Prints ``watching`` when it sees every frame of the interface, and one JSON object at the end.
"""

import argparse
import json
import select
import signal
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from typing import Final

from presentation.demo.errors import DemoError

READY: Final = "watching"

# linux/if_ether.h, linux/in.h
ETH_P_ALL: Final = 0x0003
ETH_P_IP: Final = 0x0800
ETH_P_ARP: Final = 0x0806
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
CARRIERS: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}

# destination (6), source (6), EtherType (2)
ETHERNET_HEADER: Final = struct.Struct("!6s6sH")
# source port (2), destination port (2), the same in UDP and TCP
PORTS: Final = struct.Struct("!HH")
SHORTEST_IPV4_HEADER: Final = 20

LARGEST_FRAME: Final = 65_600  # a super-packet of 64 KiB and its Ethernet header


@dataclass(slots=True)
class Sighting:
    """How many frames of which kind crossed the cable."""

    tunnel: int = 0  # UDP or TCP, as the tunnel has it, from or to the server's port
    arp: int = 0
    other: int = 0
    readable: int = 0  # frames of any kind that contain the pattern in clear

    def add(self, frame_untrusted: bytes, carrier: int, port: int, pattern: bytes) -> None:
        """Count one frame; ``carrier`` is the IP protocol number of the tunnel."""
        kind = classify(frame_untrusted, carrier, port)
        if kind == "tunnel":
            self.tunnel += 1
        elif kind == "arp":
            self.arp += 1
        else:
            self.other += 1
        self.readable += pattern in frame_untrusted


def classify(frame_untrusted: bytes, carrier: int, port: int) -> str:
    """``tunnel`` for IPv4 with the protocol ``carrier`` from or to ``port``, ``arp``, or ``other``."""
    if len(frame_untrusted) < ETHERNET_HEADER.size:
        return "other"
    ether_type: int = ETHERNET_HEADER.unpack_from(frame_untrusted)[2]
    if ether_type == ETH_P_ARP:
        return "arp"
    packet = frame_untrusted[ETHERNET_HEADER.size :]
    if ether_type != ETH_P_IP or len(packet) < SHORTEST_IPV4_HEADER or packet[9] != carrier:
        return "other"
    header_bytes = (packet[0] & 0x0F) * 4
    if len(packet) < header_bytes + PORTS.size:
        return "other"
    return "tunnel" if port in PORTS.unpack_from(packet, header_bytes) else "other"


def watch(interface: str, carrier: int, port: int, pattern: bytes) -> Sighting:
    """Count until SIGTERM. Raises OSError if the interface cannot be watched."""
    sighting = Sighting()
    wake_reader, wake_writer = socket.socketpair()
    wake_writer.settimeout(0)  # as set_wakeup_fd demands
    signal.set_wakeup_fd(wake_writer.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    with wake_reader, wake_writer, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as cable:
        cable.bind((interface, ETH_P_ALL))
        cable.settimeout(0)
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([cable, wake_reader], [], [])
            if cable in readable:
                sighting.add(cable.recv(LARGEST_FRAME), carrier, port, pattern)
            elif wake_reader in readable:
                signal.set_wakeup_fd(-1)
                return sighting


def parse_sighting(output: str) -> Sighting:
    """The sighting from the output of this program. Raises DemoError if it holds none."""
    last_line = output.strip().splitlines()[-1:]
    try:
        return Sighting(**json.loads(last_line[0]))
    except (IndexError, TypeError, ValueError) as error:
        raise DemoError(f"the cable could not be watched: {' '.join(last_line) or 'no output'}") from error


def main() -> int:
    """Watch one interface; returns the exit status."""
    parser = argparse.ArgumentParser(prog="watch")
    parser.add_argument("--interface", required=True)
    parser.add_argument("--carrier", choices=sorted(CARRIERS), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pattern", required=True, metavar="HEX")
    arguments = parser.parse_args()
    try:
        pattern = bytes.fromhex(str(arguments.pattern))
        carrier = CARRIERS[str(arguments.carrier)]
        sighting = watch(str(arguments.interface), carrier, int(arguments.port), pattern)
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(sighting)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
