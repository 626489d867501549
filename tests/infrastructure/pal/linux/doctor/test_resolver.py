"""Name servers and the server's name, with a resolv.conf and answers that are made up."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from application.diagnosis.finding import Finding, Severity
from application.network.connection.transport import ResolutionError
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import ServerAddress, TransportProfile
from infrastructure.pal.linux.doctor.resolver import examine_resolver
from tests.domain.settings.samples import a_client


def profile(server: ServerAddress) -> TransportProfile:
    return replace(a_client().active, server=server)


BY_NAME = profile(ServerAddress(domain="vpn.example.org"))
BY_ADDRESS = profile(ServerAddress(ipv4=IPv4Address("203.0.113.7")))


async def known(name: str, port: int, family: int) -> Sequence[Endpoint]:
    return [Endpoint("203.0.113.9", port)]


async def unknown(name: str, port: int, family: int) -> Sequence[Endpoint]:
    raise ResolutionError("no such name")


def resolv_conf(folder: Path, text: str) -> Path:
    path = folder / "resolv.conf"
    path.write_text(text, encoding="utf-8")
    return path


def severities(findings: Sequence[Finding]) -> list[Severity]:
    return [finding.severity for finding in findings]


def test_name_servers_and_addresses_are_named(tmp_path: Path) -> None:
    path = resolv_conf(tmp_path, "# nameserver 1.1.1.1\nsearch lan\nnameserver 192.0.2.53\nnameserver ::1\n")
    findings = asyncio.run(examine_resolver([BY_NAME, BY_NAME], path, known))
    assert findings == [
        Finding.ok(f"{path} names 192.0.2.53, ::1"),
        Finding.ok("vpn.example.org is at 203.0.113.9"),
    ]


def test_a_name_that_is_not_found_is_a_problem(tmp_path: Path) -> None:
    path = resolv_conf(tmp_path, "nameserver 192.0.2.53\n")
    findings = asyncio.run(examine_resolver([BY_NAME], path, unknown))
    assert severities(findings) == [Severity.OK, Severity.PROBLEM]
    assert "no such name" in findings[1].text


def test_without_name_servers_only_a_server_with_a_name_is_out_of_reach(tmp_path: Path) -> None:
    path = resolv_conf(tmp_path, "nameserver\noptions edns0\n")
    assert severities(asyncio.run(examine_resolver([BY_ADDRESS], path, known))) == [Severity.WARNING]
    assert severities(asyncio.run(examine_resolver([BY_NAME], path, known)))[0] is Severity.PROBLEM
    missing = asyncio.run(examine_resolver([BY_NAME], tmp_path / "missing", known))[0]
    assert missing.severity is Severity.PROBLEM
    assert "No such file" in missing.text
