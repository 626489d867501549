"""What a running server keeps to: a setting takes effect at once, takes a restart, or is for others."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

import pytest

from application.server.restart import restart_keys
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProfile, TransportProtocol
from domain.settings.server import ServerSettings
from tests.domain.settings.samples import a_server

Change: TypeAlias = Callable[[ServerSettings], ServerSettings]

PROFILE_CHANGES: list[tuple[str, Callable[[TransportProfile], TransportProfile]]] = [
    ("TunName", lambda profile: replace(profile, interface_name="other")),
    ("IPv4Subnet", lambda profile: replace(profile, ipv4_subnet=IPv4Network("10.9.0.0/24"))),
    ("IPv6Subnet", lambda profile: replace(profile, ipv6_subnet=IPv6Network("fd00:9::/64"))),
    ("Server", lambda profile: replace(profile, server=ServerAddress(ipv4=IPv4Address("192.0.2.1")))),
    ("Port", lambda profile: replace(profile, port=9999)),
    ("MTU", lambda profile: replace(profile, mtu_bytes=1300)),
    ("TLS.CertificateFile", lambda profile: replace(profile, tls=TlsSettings(certificate_file="/c.pem"))),
    ("TLS.KeyFile", lambda profile: replace(profile, tls=TlsSettings(key_file="/k.pem"))),
    ("TrustedProxies", lambda profile: replace(profile, trusted_proxies=(IPv4Network("192.0.2.0/24"),))),
]

SERVER_CHANGES: list[tuple[str, Change]] = [
    ("X25519PublicKey", lambda settings: replace(settings, public_key=bytes(32))),
    ("X25519PrivateKey", lambda settings: replace(settings, private_key=bytes(32))),
    ("EnableTCP", lambda settings: replace(settings, enabled=settings.enabled - {TransportProtocol.TCP})),
    ("ClientIsolation", lambda settings: replace(settings, client_isolation=True)),
    ("NAT", lambda settings: replace(settings, nat=False)),
    (
        "Offload.TunSegmentation",
        lambda settings: replace(settings, offload=OffloadSettings(tun_segmentation=OffloadMode.OFF)),
    ),
    (
        "Offload.UdpSegmentation",
        lambda settings: replace(settings, offload=OffloadSettings(udp_segmentation=OffloadMode.OFF)),
    ),
    (
        "Offload.UdpCoalescing",
        lambda settings: replace(settings, offload=OffloadSettings(udp_coalescing=OffloadMode.OFF)),
    ),
    ("Aggregation", lambda settings: replace(settings, aggregation=False)),
]

UNHEEDED_PROFILE_CHANGES: list[Callable[[TransportProfile], TransportProfile]] = [
    lambda profile: replace(profile, dial_timeout_ms=9000),
    lambda profile: replace(profile, dns_v4=(IPv4Address("192.0.2.53"),)),
    lambda profile: replace(profile, dns_v6=(IPv6Address("2001:db8::53"),)),
    lambda profile: replace(profile, protocol=TransportProtocol.WSS),
]

UNHEEDED_SERVER_CHANGES: list[Change] = [
    lambda settings: replace(settings, host="other.example.org"),
    lambda settings: replace(settings, client_counter=77),
    lambda settings: replace(settings, peers=()),
]


@pytest.mark.parametrize(("key", "change"), PROFILE_CHANGES, ids=[key for key, _ in PROFILE_CHANGES])
def test_a_setting_of_a_transport_that_takes_a_restart_is_named(
    key: str, change: Callable[[TransportProfile], TransportProfile]
) -> None:
    running = a_server()
    assert restart_keys(running, replace(running, tcp=change(running.tcp))) == (f"TCPSettings.{key}",)
    assert restart_keys(running, replace(running, udp=change(running.udp))) == (f"UDPSettings.{key}",)
    assert restart_keys(running, replace(running, ws=change(running.ws))) == (f"WSSettings.{key}",)


@pytest.mark.parametrize(("key", "change"), SERVER_CHANGES, ids=[key for key, _ in SERVER_CHANGES])
def test_a_setting_of_the_server_that_takes_a_restart_is_named(key: str, change: Change) -> None:
    running = a_server()
    assert restart_keys(running, change(running)) == (key,)
    assert restart_keys(change(running), running) == (key,)


def test_of_a_transport_that_is_switched_off_only_the_switch_is_named() -> None:
    running = a_server()
    changed = replace(
        running, enabled=running.enabled - {TransportProtocol.TCP}, tcp=replace(running.tcp, port=9999)
    )
    assert restart_keys(running, changed) == ("EnableTCP",)


@pytest.mark.parametrize("change", UNHEEDED_PROFILE_CHANGES)
def test_what_a_transport_of_a_server_does_not_heed_is_not_named(
    change: Callable[[TransportProfile], TransportProfile],
) -> None:
    running = a_server()
    assert restart_keys(running, replace(running, ws=change(running.ws))) == ()


@pytest.mark.parametrize("change", UNHEEDED_SERVER_CHANGES)
def test_what_takes_effect_at_once_or_is_for_new_clients_alone_is_not_named(change: Change) -> None:
    running = a_server()
    assert restart_keys(running, change(running)) == ()


def test_several_keys_stand_in_the_order_of_the_file() -> None:
    running = a_server()
    changed = running
    for _, change in reversed(SERVER_CHANGES):
        changed = change(changed)
    changed = replace(changed, udp=replace(changed.udp, port=9999, mtu_bytes=1300))
    assert restart_keys(running, changed)[:3] == ("UDPSettings.Port", "UDPSettings.MTU", "X25519PublicKey")


def test_no_setting_is_forgotten_here() -> None:
    """Of a field that is added it has to be said what a running server does about it."""
    running = a_server()

    def touched(before: object, changed: list[object], names: list[str]) -> set[str]:
        return {name for name in names for after in changed if getattr(after, name) != getattr(before, name)}

    of_servers = [change(running) for change in (*UNHEEDED_SERVER_CHANGES, *(c for _, c in SERVER_CHANGES))]
    names = [field.name for field in dataclasses.fields(ServerSettings)]
    assert touched(running, [*of_servers], names) == set(names) - {"tcp", "udp", "ws"}
    profiles = [c(running.ws) for c in (*UNHEEDED_PROFILE_CHANGES, *(c for _, c in PROFILE_CHANGES))]
    names = [field.name for field in dataclasses.fields(TransportProfile)]
    assert touched(running.ws, [*profiles], names) == set(names)
