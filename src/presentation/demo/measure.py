"""Numbers out of what other programs print."""

import json
import re
from dataclasses import dataclass
from typing import Final

from domain.addressing.tunnel import SubnetError, parse_ipv4_subnet, server_addresses
from domain.settings.profile import TransportProtocol
from domain.settings.rules import settings_path
from presentation.demo.errors import DemoError

_ECHO_TIME: Final = re.compile(r"icmp_seq=\d+ .*time[=<]([0-9.]+) ms")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a client configuration says about the tunnel."""

    server_tunnel_address: str
    port: int


@dataclass(frozen=True, slots=True)
class TransferResult:
    """One side's view of a transfer."""

    size_bytes: int
    seconds: float
    sha256: str

    @property
    def gigabits_per_second(self) -> float:
        """The rate, counted in payload."""
        return self.size_bytes * 8 / self.seconds / 1e9


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an interface has sent and received since it was made."""

    packets: int
    size_bytes: int


def parse_plan(client_json: str) -> Plan:
    """The plan of a generated client configuration. Raises DemoError if it is not one."""
    document = _parse_object(client_json, "client configuration")
    protocol = _member(document, "Protocol")
    if not isinstance(protocol, str) or protocol not in TransportProtocol.__members__:
        raise DemoError("the client configuration names no protocol")
    profile = _member(document, settings_path(TransportProtocol[protocol]))
    subnet, port = _member(profile, "IPv4Subnet"), _member(profile, "Port")
    if not isinstance(subnet, str) or not isinstance(port, int):
        raise DemoError(f"the client configuration has no subnet and port for {protocol}")
    try:
        addresses = server_addresses(parse_ipv4_subnet(subnet), None)
    except SubnetError as error:
        raise DemoError(f"the client configuration has a bad subnet: {error}") from error
    return Plan(str(addresses.ipv4.ip), port)


def parse_echo_times_ms(ping_output: str) -> list[float]:
    """The time of every answer that ``ping`` reports."""
    return [float(time) for time in _ECHO_TIME.findall(ping_output)]


def parse_transfer(output: str) -> TransferResult:
    """What one side of a transfer has printed. Raises DemoError with its words if that is not a result."""
    last_line = " ".join(output.strip().splitlines()[-1:])
    if not last_line.startswith("{"):
        raise DemoError(f"the transfer failed: {last_line or 'no output'}")
    result = _parse_object(last_line, "transfer")
    size, seconds, digest = (_member(result, name) for name in ("bytes", "seconds", "sha256"))
    if not isinstance(size, int) or not isinstance(seconds, float) or not isinstance(digest, str):
        raise DemoError(f"the transfer reports nonsense: {last_line}")
    return TransferResult(size, seconds, digest)


def parse_traffic(link_json: str) -> Traffic:
    """Both directions of ``ip -j -s link show dev NAME`` together. Raises DemoError."""
    links = _parse(link_json, "interface counters")
    counters = _member(links[0], "stats64") if isinstance(links, list) and links else None
    numbers: list[int] = []
    for name in ("packets", "bytes"):
        for direction in ("rx", "tx"):
            number = _member(_member(counters, direction), name)
            numbers.append(number if isinstance(number, int) else 0)
    return Traffic(packets=numbers[0] + numbers[1], size_bytes=numbers[2] + numbers[3])


def _parse_object(text: str, what: str) -> object:
    parsed = _parse(text, what)
    if not isinstance(parsed, dict):
        raise DemoError(f"the {what} is not a JSON object")
    return parsed


def _parse(text: str, what: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError as error:
        raise DemoError(f"the {what} is not JSON") from error
    return parsed


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None
