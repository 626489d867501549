"""Reading configuration files: those of the Go program, those with mistakes, and anything at all."""

import base64
import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from domain.settings.client import ClientSettings
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.routing import TunnelRouting
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client, validate_server
from infrastructure.pal.configuration.reading import parse_client, parse_server, read_client, read_server
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    CONFIG_VECTORS,
    SERVER_FILES,
    case_name,
    client_document,
    document,
    manual_examples,
    server_document,
)
from tests.vectors import Json, JsonObject, child, children, number, text

FOLDER = Path("/lab/tungo")

HASH = bytes(range(32))


def server_of(changed: JsonObject) -> ServerSettings:
    return parse_server(json.dumps(changed), "server.json", public_key_of, FOLDER).settings


def client_of(changed: JsonObject) -> ClientSettings:
    return parse_client(json.dumps(changed), "client.json", public_key_of, FOLDER)


Settings = TypeVar("Settings")


def attempt(
    read: Callable[[JsonObject], Settings], changed: JsonObject
) -> tuple[Settings | None, tuple[str, ...]]:
    """The settings, or the sentences of the error."""
    try:
        return read(changed), ()
    except ConfigurationError as exc:
        return None, exc.sentences


def sentences(read: Callable[[JsonObject], object], changed: JsonObject) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(changed)
    return caught.value.sentences


@pytest.mark.parametrize("path", SERVER_FILES, ids=case_name)
def test_every_server_file_of_the_go_program_is_read(path: Path) -> None:
    recorded, settings = document(path), read_server(path, public_key_of)
    assert settings.host == recorded.get("Host", recorded.get("FallbackServerAddress"))
    assert settings.client_counter == recorded["ClientCounter"]
    assert base64.b64encode(settings.private_key).decode() == recorded["X25519PrivateKey"]
    for slot, profile in settings.slots:
        written = child(recorded, f"{slot.value}Settings")
        assert (slot in settings.enabled) is recorded[f"Enable{slot.value}"]
        assert profile.interface_name == written["TunName"]
        assert profile.ipv4_subnet == IPv4Network(text(written, "IPv4Subnet"))
        assert profile.port == written["Port"]
        assert profile.mtu_bytes == written["MTU"]
    peers = [] if recorded["AllowedPeers"] is None else children(recorded, "AllowedPeers")
    assert [(peer.client_id, peer.name) for peer in settings.peers] == [
        (number(peer, "ClientID"), text(peer, "Name")) for peer in peers
    ]


@pytest.mark.parametrize("path", CLIENT_FILES, ids=case_name)
def test_every_client_file_of_the_go_program_is_read(path: Path) -> None:
    recorded, settings = document(path), read_client(path, public_key_of)
    assert settings.client_id == recorded["ClientID"]
    assert settings.protocol.value == recorded["Protocol"]
    assert base64.b64encode(settings.private_key).decode() == recorded["ClientPrivateKey"]
    written = child(recorded, f"{settings.protocol.value}Settings")
    address = child(written, "Server")
    assert settings.active.server == ServerAddress(
        domain=str(address.get("Domain", "")),
        ipv4=IPv4Address(text(address, "IPv4")) if "IPv4" in address else None,
        ipv6=IPv6Address(text(address, "IPv6")) if "IPv6" in address else None,
    )
    if "IPv6Subnet" in written:
        assert settings.active.ipv6_subnet == IPv6Network(text(written, "IPv6Subnet"))


def test_what_a_server_file_leaves_out_has_the_defaults_of_the_specification() -> None:
    settings = server_of({"EnableUDP": True})
    assert settings == server_of({"EnableUDP": True, "UDPSettings": None, "AllowedPeers": None, "Host": None})
    assert settings.enabled == {TransportProtocol.UDP}
    assert settings.udp.interface_name == "s_udptun0"
    assert settings.udp.ipv4_subnet == IPv4Network("10.0.1.0/24")
    assert settings.udp.ipv6_subnet is None
    assert (settings.udp.port, settings.udp.mtu_bytes, settings.udp.dial_timeout_ms) == (9090, 1500, 5000)
    assert (settings.tcp.port, settings.ws.port) == (8080, 1010)


def test_zero_and_empty_values_of_a_server_file_are_filled_in_as_well() -> None:
    empty: JsonObject = {
        "TunName": "",
        "IPv4Subnet": "",
        "IPv6Subnet": "",
        "Port": 0,
        "MTU": 0,
        "Protocol": "UNKNOWN",
        "DialTimeoutMs": 0,
        "Server": {"IPv4": "", "IPv6": None},
        "DNSv4": None,
    }
    assert server_of({"EnableUDP": True, "UDPSettings": empty}) == server_of({"EnableUDP": True})


def test_keys_match_in_any_case_and_the_last_of_two_wins() -> None:
    settings = server_of({"enableudp": True, "UDPSETTINGS": {"port": 1, "PORT": 2}})
    assert settings.udp.port == 2
    assert settings.enabled == {TransportProtocol.UDP}


@pytest.mark.parametrize("written", ["udp", "Udp", "UDP"])
def test_protocols_match_in_any_case(written: str) -> None:
    assert client_of({**client_document(), "Protocol": written}).protocol is TransportProtocol.UDP


def test_the_examples_of_the_manual_are_valid() -> None:
    certbot, behind_nginx, pinned = manual_examples()
    assert server_of(certbot).ws.tls.serves
    proxied = server_of(behind_nginx).ws
    assert proxied.trusted_proxies == (IPv4Network("127.0.0.1/32"),)
    assert proxied.server.ipv4 == IPv4Address("127.0.0.1")
    websocket = {**child(client_document(), "WSSettings"), **child(pinned, "WSSettings")}
    client = client_of({**client_document(), **pinned, "WSSettings": websocket})
    assert client.active.tls.pinned_certificate is not None


def test_unknown_keys_are_ignored() -> None:
    assert server_of({**server_document(), "Comment": {"any": [None, 1.5]}}) == server_of(server_document())


def test_a_server_file_says_whether_clients_are_isolated_and_translated() -> None:
    silent = server_of(server_document())
    assert (silent.client_isolation, silent.nat) == (False, True)
    spoken = server_of({**server_document(), "clientisolation": True, "Nat": False})
    assert (spoken.client_isolation, spoken.nat) == (True, False)


def test_either_file_says_what_the_kernel_may_do_and_by_default_it_may_do_what_it_can() -> None:
    said: JsonObject = {"Offload": {"tunsegmentation": "off", "UdpSegmentation": "ON", "Other": 1}}
    expected = OffloadSettings(OffloadMode.OFF, OffloadMode.ON, OffloadMode.AUTO)
    assert server_of({**server_document(), **said}).offload == expected
    assert client_of({**client_document(), **said}).offload == expected
    silent: list[JsonObject] = [{}, {"Offload": None}, {"Offload": {"TunSegmentation": None}}]
    for nothing in silent:
        assert server_of({**server_document(), **nothing}).offload == OffloadSettings()
        assert client_of({**client_document(), **nothing}).offload == OffloadSettings()


def test_the_march_name_of_the_host_is_understood() -> None:
    assert (
        server_of({"EnableUDP": True, "FallbackServerAddress": " vpn.example.org "}).host == "vpn.example.org"
    )
    both: JsonObject = {"EnableUDP": True, "Host": "a.example", "FallbackServerAddress": "b.example"}
    assert server_of(both).host == "a.example"
    assert server_of({**both, "Host": " "}).host == "b.example"


def test_a_problem_with_the_march_name_is_told_under_that_name() -> None:
    (sentence,) = sentences(server_of, {"EnableUDP": True, "FallbackServerAddress": "a b"})
    assert sentence.startswith("server.json: FallbackServerAddress is 'a b', expected an IPv4 address")


def test_keys_may_be_broken_into_lines() -> None:
    changed = client_document()
    key = text(changed, "X25519PublicKey")
    assert client_of({**changed, "X25519PublicKey": f"{key[:20]}\r\n{key[20:]}\n"}) == client_of(changed)


def test_addresses_may_stand_in_brackets_and_mapped_ones_are_ipv4() -> None:
    changed = client_document()
    child(changed, "UDPSettings")["Server"] = {"IPv4": "::ffff:192.0.2.1", "IPv6": "[2001:db8::1]"}
    assert client_of(changed).active.server == ServerAddress(
        ipv4=IPv4Address("192.0.2.1"), ipv6=IPv6Address("2001:db8::1")
    )


def over_websocket(tls: JsonObject) -> TlsSettings:
    """What a client of whose WSSettings ``tls`` is the TLS member makes of it."""
    changed = client_document()
    child(changed, "WSSettings")["TLS"] = tls
    return client_of({**changed, "Protocol": "WSS"}).profile_of(TransportProtocol.WSS).tls


def test_a_client_file_without_fallbacks_has_none_and_tries_again_after_a_minute() -> None:
    settings = client_of(client_document())
    assert (settings.fallbacks, settings.fallback_retry_s) == ((), 60)
    assert settings == client_of(
        {**client_document(), "FallbackProtocols": None, "FallbackRetrySeconds": None}
    )


def test_fallbacks_stand_in_their_order_and_match_in_any_case() -> None:
    changed: JsonObject = {
        **client_document(),
        "FallbackProtocols": ["wss", "Tcp"],
        "FallbackRetrySeconds": 5,
    }
    settings = client_of(changed)
    assert settings.fallbacks == (TransportProtocol.WSS, TransportProtocol.TCP)
    assert settings.protocols == (TransportProtocol.UDP, *settings.fallbacks)
    assert settings.fallback_retry_s == 5


def test_a_client_file_that_says_nothing_about_routing_sends_everything_but_the_lan_into_the_tunnel() -> None:
    settings = client_of(client_document())
    assert settings.routing == TunnelRouting()
    nulls: JsonObject = dict.fromkeys(
        ("Include", "Exclude", "ExcludeLAN", "AllowIPv6Leak", "KillSwitch", "AllowLAN")
    )
    assert settings == client_of({**client_document(), **nulls})


def test_what_goes_into_the_tunnel_is_read_from_networks_and_switches() -> None:
    changed: JsonObject = {
        "Include": ["10.0.0.0/8", " fd00::/8"],
        "exclude": ["10.0.0.7"],
        "ExcludeLan": False,
        "AllowIPv6Leak": True,
        "KillSwitch": True,
        "AllowLAN": False,
    }
    assert client_of({**client_document(), **changed}).routing == TunnelRouting(
        include=(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")),
        exclude=(IPv4Network("10.0.0.7/32"),),
        exclude_lan=False,
        allow_ipv6_leak=True,
        kill_switch=True,
        allow_lan=False,
    )


def test_relative_paths_begin_in_the_folder_of_the_file() -> None:
    server = server_document()
    child(server, "WSSettings").update(
        {"Protocol": "WSS", "TLS": {"CertificateFile": "tls/fullchain.pem", "KeyFile": "/etc/ssl/key.pem"}}
    )
    assert server_of(server).ws.tls == TlsSettings(
        certificate_file="/lab/tungo/tls/fullchain.pem", key_file="/etc/ssl/key.pem"
    )
    assert over_websocket({"CAFile": "ca.pem"}) == TlsSettings(ca_file="/lab/tungo/ca.pem")


def test_the_folder_is_that_of_the_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    changed = client_document()
    child(changed, "WSSettings")["TLS"] = {"CAFile": "ca.pem"}
    real, link = tmp_path / "real" / "client.json", tmp_path / "link.json"
    real.write_text(json.dumps(changed))
    link.symlink_to(real)
    for path in (real, link):
        assert read_client(path, public_key_of).ws.tls.ca_file == str(tmp_path / "real" / "ca.pem")


@pytest.mark.parametrize("written", [HASH.hex(), HASH.hex().upper(), HASH.hex(":").upper()])
def test_a_pin_is_read_as_openssl_prints_it(written: str) -> None:
    tls = over_websocket({"PinnedCertificate": written, "ServerName": " vpn.example.org "})
    assert tls == TlsSettings(pinned_certificate=HASH, server_name="vpn.example.org")


def test_empty_tls_settings_are_none() -> None:
    empty: JsonObject = {
        "CAFile": "",
        "PinnedCertificate": "",
        "ServerName": " ",
        "CertificateFile": "",
        "KeyFile": None,
    }
    assert over_websocket(empty) == over_websocket({}) == TlsSettings()


def test_trusted_proxies_are_networks_or_addresses() -> None:
    changed = server_document()
    child(changed, "WSSettings")["TrustedProxies"] = [
        "127.0.0.1",
        " ::1",
        "::ffff:192.0.2.1",
        "10.0.0.0/8",
        "fd00::/8",
    ]
    assert server_of({**changed, "TCPSettings": {"trustedproxies": None}}).ws.trusted_proxies == (
        IPv4Network("127.0.0.1/32"),
        IPv6Network("::1/128"),
        IPv4Network("192.0.2.1/32"),
        IPv4Network("10.0.0.0/8"),
        IPv6Network("fd00::/8"),
    )


SERVER_MISTAKES: list[tuple[str, Json, str]] = [
    ("UDPSettings.Port", 9090.5, "is 9090.5, expected a whole number"),
    ("UDPSettings.Port", "9090", "is '9090', expected a whole number"),
    ("UDPSettings.Port", True, "is true, expected a whole number"),
    ("UDPSettings.Port", 2**64, "is 18446744073709551616, expected a whole number of at most 64 bits"),
    ("UDPSettings.Port", 65536, "is 65536, expected a port from 1 to 65535"),
    ("UDPSettings.MTU", 9000, "is 9000, expected 1280 to 1500 bytes, because the tunnel carries IPv6"),
    ("UDPSettings.TunName", 5, "is 5, expected a text in quotes"),
    ("UDPSettings.TunName", "a/b", "is 'a/b', expected an interface name"),
    ("UDPSettings.IPv4Subnet", "10.0.1.0", "is '10.0.1.0', expected a subnet with its prefix length"),
    ("UDPSettings.IPv4Subnet", "10.0.1.7/24", "expected a subnet without host bits, here 10.0.1.0/24"),
    ("UDPSettings.IPv4Subnet", "fd00::/64", "is 'fd00::/64', expected an IPv4 subnet"),
    ("UDPSettings.IPv4Subnet", 7, "is 7, expected a subnet such as '10.0.1.0/24'"),
    ("UDPSettings.IPv6Subnet", "10.0.1.0/24", "expected an IPv6 subnet such as fd00:1::/64"),
    ("UDPSettings.Protocol", None, "is null, expected one of UDP, TCP, WS, WSS"),
    ("UDPSettings.Protocol", "", "is '', expected one of UDP, TCP, WS, WSS"),
    ("UDPSettings.Protocol", "TCP", "is 'TCP', expected UDP, as in its name"),
    ("UDPSettings.Encryption", None, "is null, expected ChaCha20Poly1305"),
    ("UDPSettings.Encryption", "AES", "is 'AES', expected ChaCha20Poly1305"),
    ("UDPSettings.Server", "1.2.3.4", "is '1.2.3.4', expected an object in braces"),
    ("UDPSettings.Server", {"IPv4": "x"}, "UDPSettings.Server.IPv4 is 'x', expected an IPv4 address"),
    ("UDPSettings.Server", {"IPv6": "::ffff:1.2.3.4"}, "expected an IPv6 address such as '2001:db8::1'"),
    (
        "UDPSettings.Server",
        {"Domain": "a.example"},
        "UDPSettings.Server.Domain is 'a.example', expected an IPv4",
    ),
    ("UDPSettings.DNSv4", ["1.1.1.1", " "], "UDPSettings.DNSv4[1] is ' ', expected an IPv4 address"),
    ("UDPSettings.DNSv6", ["1.1.1.1"], "UDPSettings.DNSv6[0] is '1.1.1.1', expected an IPv6 address"),
    ("UDPSettings.DNSv6", "::1", "is '::1', expected a list in brackets"),
    ("UDPSettings", [], "is a list, expected an object in braces"),
    ("UDPSettings.TLS", {"KeyFile": "key.pem"}, "UDPSettings.TLS is set, expected nothing, for TLS comes"),
    ("UDPSettings.TrustedProxies", ["::1"], "is set, expected nothing, for no header comes with UDP"),
    ("TCPSettings.TrustedProxies", "::1", "is '::1', expected a list in brackets"),
    ("TCPSettings.TrustedProxies", [7], "TrustedProxies[0] is 7, expected an address or a network such as"),
    (
        "TCPSettings.TrustedProxies",
        ["10.0.0.0/8", "proxy"],
        "TrustedProxies[1] is 'proxy', expected an address",
    ),
    ("TCPSettings.TrustedProxies", ["10.0.0.0/33"], "is '10.0.0.0/33', expected an address or a network"),
    ("TCPSettings.TrustedProxies", ["10.0.0.1/8"], "expected a network without host bits, here 10.0.0.0/8"),
    ("TCPSettings.TrustedProxies", ["fd00::1/64"], "expected a network without host bits, here fd00::/64"),
    ("TCPSettings.TrustedProxies", ["::ffff:10.0.0.0/104"], "expected an IPv4 network in its own notation"),
    ("WSSettings.TLS", "cert.pem", "is 'cert.pem', expected an object in braces"),
    ("WSSettings.TLS", {"CertificateFile": 1}, "TLS.CertificateFile is 1, expected the path of a file"),
    ("WSSettings.TLS", {"KeyFile": "a\nb"}, "TLS.KeyFile is 'a\\nb', expected the path of a file in PEM"),
    ("WSSettings.TLS", {"KeyFile": "key.pem"}, "TLS.CertificateFile is not set, expected the path of the"),
    ("WSSettings.Protocol", "WSS", "is 'WSS', expected WS, or TLS.CertificateFile and TLS.KeyFile beside it"),
    ("EnableTCP", "true", "is 'true', expected true or false"),
    ("EnableTCP", 1, "is 1, expected true or false"),
    ("ClientIsolation", "yes", "is 'yes', expected true or false"),
    ("NAT", 0, "is 0, expected true or false"),
    ("Offload", "off", "is 'off', expected an object in braces"),
    ("Offload", {"TunSegmentation": True}, "Offload.TunSegmentation is true, expected one of auto, on, off"),
    ("Offload", {"UdpSegmentation": "yes"}, "UdpSegmentation is 'yes', expected one of auto, on, off"),
    ("Offload", {"UdpCoalescing": ""}, "Offload.UdpCoalescing is '', expected one of auto, on, off"),
    ("Host", 5, "is 5, expected a text in quotes"),
    ("Host", " ", "is ' ', expected an IPv4 address, an IPv6 address or a domain name, or nothing"),
    ("X25519PublicKey", "!", "is not valid, expected a key in base64"),
    ("X25519PrivateKey", "c2hvcnQ=", "is 5 bytes, expected a key of 32 bytes in base64"),
    ("ClientCounter", -1, "is -1, expected 0 or more"),
    ("AllowedPeers", {}, "is an object, expected a list in brackets"),
    ("AllowedPeers", [None], "AllowedPeers[0] is null, expected an object in braces"),
    ("AllowedPeers", [{"Enabled": 0}], "AllowedPeers[0].Enabled is 0, expected true or false"),
    ("AllowedPeers", [{"ClientID": 1}], "AllowedPeers[0].PublicKey is 0 bytes, expected a key of 32 bytes"),
]


def with_value(document: JsonObject, path: str, value: Json) -> JsonObject:
    first, _, rest = path.partition(".")
    return {**document, first: with_value(child(document, first), rest, value) if rest else value}


@pytest.mark.parametrize(("path", "value", "told"), SERVER_MISTAKES)
def test_a_mistake_in_a_server_file_is_one_sentence_with_its_place(path: str, value: Json, told: str) -> None:
    (sentence,) = sentences(server_of, with_value(server_document(), path, value))
    assert sentence.startswith(f"server.json: {path}")
    assert told in sentence
    assert sentence.endswith(".")


CLIENT_MISTAKES: list[tuple[str, Json, str]] = [
    ("ClientID", "1", "is '1', expected a whole number"),
    ("ClientID", 0, "is 0, expected 1 or more"),
    ("ClientID", 254, "is 254, expected 1 to 253 in 10.0.1.0/24"),
    ("Protocol", "UNKNOWN", "is not set, expected UDP, TCP, WS or WSS"),
    ("Protocol", None, "is null, expected one of"),
    ("Protocol", "QUIC", "is 'QUIC', expected one of UDP, TCP, WS, WSS"),
    ("X25519PublicKey", None, "is 0 bytes, expected a key of 32 bytes"),
    ("ClientPublicKey", "AAAA", "is 3 bytes, expected a key of 32 bytes"),
    ("ClientPrivateKey", 5, "is not valid, expected a key in base64"),
    ("UDPSettings.IPv4Subnet", None, "is not set, expected a subnet such as 10.0.1.0/24"),
    ("UDPSettings.IPv4Subnet", "10.0.1.0", "expected a subnet with its prefix length"),
    ("UDPSettings.Server", None, "is empty, expected Domain, IPv4 or IPv6"),
    ("UDPSettings.Server", {"IPv4": "vpn.example.org"}, "expected an IPv4 address"),
    ("UDPSettings.Server", {"Domain": "!!"}, "UDPSettings.Server.Domain is '!!', expected a domain name"),
    ("UDPSettings.Port", 0, "is 0, expected a port from 1 to 65535"),
    ("UDPSettings.MTU", 0, "is 0, expected 576 to 1500 bytes"),
    ("UDPSettings.TunName", " ", "expected an interface name"),
    ("UDPSettings.TunName", "../tun0", "is '../tun0', expected an interface name of 1 to 15 letters"),
    ("UDPSettings.TunName", "sixteen_letters_", "is 'sixteen_letters_', expected an interface name"),
    ("UDPSettings.MTU", 1501, "is 1501, expected 576 to 1500 bytes"),
    ("FallbackProtocols", "TCP", "is 'TCP', expected a list in brackets"),
    (
        "FallbackProtocols",
        ["TCP", "QUIC"],
        "FallbackProtocols[1] is 'QUIC', expected one of UDP, TCP, WS, WSS",
    ),
    ("FallbackProtocols", ["UNKNOWN"], "FallbackProtocols[0] is 'UNKNOWN', expected one of"),
    ("FallbackProtocols", [None], "FallbackProtocols[0] is null, expected one of"),
    (
        "FallbackProtocols",
        ["udp"],
        "FallbackProtocols[0] is 'UDP', expected a protocol that Protocol does not",
    ),
    ("FallbackRetrySeconds", 0.5, "is 0.5, expected a whole number"),
    ("FallbackRetrySeconds", 0, "is 0, expected 1 to 86400 seconds"),
    ("KillSwitch", "on", "is 'on', expected true or false"),
    ("AllowLAN", 1, "is 1, expected true or false"),
    ("Offload", {"TunSegmentation": 1}, "Offload.TunSegmentation is 1, expected one of auto, on, off"),
    ("AllowIPv6Leak", [], "is a list, expected true or false"),
    ("ExcludeLAN", "192.168.0.0/16", "is '192.168.0.0/16', expected true or false"),
    ("Include", "10.0.0.0/8", "is '10.0.0.0/8', expected a list in brackets"),
    ("Include", ["10.0.0.1/8"], "Include[0] is '10.0.0.1/8', expected a network without host bits, here"),
    ("Exclude", ["10.0.0.0/8", "lan"], "Exclude[1] is 'lan', expected an address or a network such as"),
    ("Exclude", ["::ffff:10.0.0.0/104"], "expected an IPv4 network in its own notation"),
    ("Exclude", ["0.0.0.0/0", "::/0"], "is '0.0.0.0/0, ::/0', expected networks that leave something for"),
    (
        "UDPSettings.TLS",
        {"CAFile": "ca.pem"},
        "is set, expected nothing, for TLS comes with WebSockets alone",
    ),
    (
        "UDPSettings.TrustedProxies",
        ["::1"],
        "is set, expected nothing, for it belongs into the server's file",
    ),
]


@pytest.mark.parametrize(("path", "value", "told"), CLIENT_MISTAKES)
def test_a_mistake_in_a_client_file_is_one_sentence_with_its_place(path: str, value: Json, told: str) -> None:
    (sentence,) = sentences(client_of, with_value(client_document(), path, value))
    assert sentence.startswith(f"client.json: {path}")
    assert told in sentence


WEBSOCKET_CLIENT_MISTAKES: list[tuple[JsonObject, str]] = [
    ({"PinnedCertificate": "sha256"}, "PinnedCertificate is 'sha256', expected a SHA-256 as 64 hex digits"),
    ({"PinnedCertificate": 7}, "PinnedCertificate is 7, expected a SHA-256 as 64 hex digits"),
    ({"PinnedCertificate": "00:11"}, "PinnedCertificate is 2 bytes, expected the SHA-256 of a certificate"),
    ({"PinnedCertificate": ":"}, "PinnedCertificate is 0 bytes, expected the SHA-256 of a certificate"),
    ({"ServerName": "a b"}, "ServerName is 'a b', expected a domain name"),
    ({"ServerName": 5}, "ServerName is 5, expected a text in quotes"),
    ({"CAFile": []}, "CAFile is a list, expected the path of a file in PEM form"),
    ({"CertificateFile": "a"}, "CertificateFile is set, expected nothing, for a client shows no certificate"),
]


@pytest.mark.parametrize(("tls", "told"), WEBSOCKET_CLIENT_MISTAKES)
def test_a_mistake_in_the_tls_settings_of_a_client_is_one_sentence(tls: JsonObject, told: str) -> None:
    (sentence,) = sentences(over_websocket, tls)
    assert sentence.startswith(f"client.json: WSSettings.TLS.{told}")


def test_what_a_fallback_lacks_is_told_as_of_the_protocol_itself() -> None:
    changed: JsonObject = {**client_document(), "TCPSettings": None, "FallbackProtocols": ["TCP"]}
    told = [sentence.removeprefix("client.json: ").split()[0] for sentence in sentences(client_of, changed)]
    assert told == [
        "TCPSettings.IPv4Subnet",
        "TCPSettings.TunName",
        "TCPSettings.Server",
        "TCPSettings.Port",
        "TCPSettings.MTU",
    ]


def test_fallbacks_are_not_held_against_a_protocol_that_nobody_can_read() -> None:
    changed: JsonObject = {
        **client_document(),
        "Protocol": "QUIC",
        "FallbackProtocols": ["UDP", "TCP", "TCP"],
    }
    told = [sentence.removeprefix("client.json: ").split()[0] for sentence in sentences(client_of, changed)]
    assert told == ["Protocol", "FallbackProtocols[2]"]


def test_mistakes_of_notation_and_broken_rules_are_told_together() -> None:
    changed = server_document()
    changed |= {"Host": "a b", "EnableTCP": "yes", "X25519PrivateKey": "?"}
    child(changed, "UDPSettings").update({"Port": "9090", "MTU": 100, "IPv4Subnet": "10.0.1.9/24"})
    child(changed, "WSSettings")["TunName"] = ""
    child(changed, "WSSettings")["Protocol"] = "TCP"
    told = [sentence.removeprefix("server.json: ").split()[0] for sentence in sentences(server_of, changed)]
    assert told == [
        "UDPSettings.IPv4Subnet",
        "UDPSettings.Port",
        "X25519PrivateKey",
        "EnableTCP",
        "Host",
        "UDPSettings.MTU",
        "WSSettings.Protocol",
    ]


def test_a_client_file_without_anything_tells_everything_that_is_missing() -> None:
    told = [sentence.removeprefix("client.json: ").split()[0] for sentence in sentences(client_of, {})]
    assert told == ["Protocol", "ClientID", "X25519PublicKey", "ClientPublicKey", "ClientPrivateKey"]


def test_profiles_that_a_client_does_not_use_may_be_missing() -> None:
    changed = client_document()
    del changed["TCPSettings"]
    changed["WSSettings"] = None
    assert client_of(changed).active == client_of(client_document()).active


def test_no_message_ever_holds_a_key() -> None:
    changed = server_document()
    private_key = text(changed, "X25519PrivateKey")
    leaks: list[JsonObject] = [
        {**changed, "Host": private_key},
        {**changed, "EnableUDP": private_key},
        {**changed, "X25519PrivateKey": [private_key]},
        {**changed, "X25519PrivateKey": f"{private_key}!"},
        {**changed, "UDPSettings": {**child(changed, "UDPSettings"), "TunName": private_key}},
        {**changed, "UDPSettings": private_key},
        {**changed, "AllowedPeers": [private_key]},
        {**changed, "X25519PublicKey": text(client_document(), "ClientPublicKey")},
        {**changed, "WSSettings": {"TLS": {"KeyFile": f"-----BEGIN PRIVATE KEY-----\n{private_key}\n"}}},
        {**changed, "WSSettings": {"TLS": private_key}},
    ]
    for leak in leaks:
        for sentence in sentences(server_of, leak):
            assert private_key[:8] not in sentence
            assert text(client_document(), "ClientPublicKey")[:8] not in sentence


def test_the_cause_of_an_error_does_not_quote_the_file_either() -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_of({**server_document(), "EnableUDP": text(server_document(), "X25519PrivateKey")})
    assert caught.value.__cause__ is None


def test_a_missing_file_is_its_own_error_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissingError, match="does not exist; 'tungo server gen' makes it"):
        read_server(tmp_path / "server_configuration.json", public_key_of)
    with pytest.raises(
        ConfigurationMissingError, match="does not exist; run 'tungo server gen' on the server"
    ):
        read_client(tmp_path / "client_configuration.json", public_key_of)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_configuration_error(data: bytes) -> None:
    text_untrusted = data.decode("utf-8", "replace")
    for parse in (parse_server, parse_client):
        with pytest.raises(ConfigurationError):
            parse(text_untrusted, "any", public_key_of, FOLDER)


any_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
profile_keys = [*sorted(child(client_document(), "UDPSettings")), "DNSv4", "DNSv6", "Unknown"]
tls_keys = ["CAFile", "PinnedCertificate", "ServerName", "CertificateFile", "KeyFile"]
any_profile = st.dictionaries(st.sampled_from(profile_keys), any_json) | st.fixed_dictionaries(
    {
        "TLS": st.dictionaries(st.sampled_from(tls_keys), any_json),
        "TrustedProxies": st.lists(st.ip_addresses().map(str) | any_json, max_size=3),
    }
)
protocol_names: list[Json] = ["UDP", "tcp", "WS", "WSS", "UNKNOWN", 5]
any_protocols: st.SearchStrategy[Json] = st.lists(st.sampled_from(protocol_names), max_size=3)
any_networks: st.SearchStrategy[Json] = st.lists(
    st.sampled_from(["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1"])
    | st.ip_addresses().map(str)
    | any_json,
    max_size=3,
)
any_client = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(client_document(), any_json | any_profile),
        "FallbackProtocols": any_protocols,
        "FallbackRetrySeconds": any_json,
        "Include": any_networks,
        "Exclude": any_networks,
        "KillSwitch": any_json,
    },
)
any_server = st.fixed_dictionaries(
    {},
    optional={
        key: any_json | (any_profile if key.endswith("Settings") else st.nothing())
        for key in (*server_document(), "FallbackServerAddress", "host", "ClientIsolation", "NAT", "Offload")
    },
)


@settings(deadline=None)
@given(any_server)
def test_a_server_file_with_any_values_is_valid_settings_or_a_configuration_error(
    changes: JsonObject,
) -> None:
    settings, told = attempt(server_of, {**server_document(), **changes})
    assert (settings is None) is bool(told)
    assert all(sentence.startswith("server.json") for sentence in told)
    if settings is not None:
        validate_server(settings, public_key_of)


@settings(deadline=None)
@given(any_client)
def test_a_client_file_with_any_values_is_valid_settings_or_a_configuration_error(
    changes: JsonObject,
) -> None:
    settings, told = attempt(client_of, {**client_document(), **changes})
    assert (settings is None) is bool(told)
    assert all(sentence.startswith("client.json") for sentence in told)
    if settings is not None:
        validate_client(settings, public_key_of)


def test_the_vector_folder_was_found() -> None:
    assert CONFIG_VECTORS.is_dir()
    assert len(SERVER_FILES) == 22
    assert len(CLIENT_FILES) == 23
