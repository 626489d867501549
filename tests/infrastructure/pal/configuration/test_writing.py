"""Writing configurations: the bytes of the Go program, and what must survive a rewrite."""

import json
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from application.server.generate import ClientWish, GenerateClient
from domain.settings.defaults import default_server_settings
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.routing import TunnelRouting
from infrastructure.pal.configuration.reading import parse_client, parse_server, read_client, read_server
from infrastructure.pal.configuration.writing import client_json, server_json
from tests.adapters.configuration import KnownHost, MemoryServerConfiguration
from tests.adapters.entropy import SeededEntropy
from tests.adapters.primitives import PlainPrimitives
from tests.domain.settings.samples import a_server, public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    SERVER_FILES,
    case_name,
    document,
    server_document,
)
from tests.vectors import Json, JsonObject, child, children

FOLDER = Path("/lab/tungo")


def rewritten(found: JsonObject) -> JsonObject:
    file = parse_server(json.dumps(found), "server.json", public_key_of, FOLDER)
    known, settings = file.document, file.settings
    result: JsonObject = json.loads(server_json(settings, known, FOLDER))
    return result


@pytest.mark.parametrize("path", [path for path in SERVER_FILES if "Host" in document(path)], ids=case_name)
def test_an_august_server_file_is_written_byte_for_byte(path: Path) -> None:
    assert server_json(read_server(path, public_key_of)) == path.read_text()


@pytest.mark.parametrize(
    "path", [path for path in SERVER_FILES if "Host" not in document(path)], ids=case_name
)
def test_a_march_server_file_is_written_with_its_host_under_the_new_name(path: Path) -> None:
    written = server_json(read_server(path, public_key_of))
    assert written == path.read_text().replace('"FallbackServerAddress"', '"Host"')


@pytest.mark.parametrize("path", CLIENT_FILES, ids=case_name)
def test_a_client_file_is_written_byte_for_byte(path: Path) -> None:
    """The recordings are of standard output, where one newline follows."""
    assert client_json(read_client(path, public_key_of)) + "\n" == path.read_text()


def test_a_fresh_server_file_says_null_where_there_is_nothing_yet() -> None:
    written: JsonObject = json.loads(server_json(default_server_settings()))
    assert [key for key, value in written.items() if value is None] == [
        "X25519PublicKey",
        "X25519PrivateKey",
        "AllowedPeers",
    ]


def test_unknown_keys_survive_a_rewrite_in_their_order_behind_the_known_ones() -> None:
    found: JsonObject = {"Zeta": 1, **server_document(), "Alpha": [None, {"a": 1.5}]}
    child(found, "UDPSettings").update({"Offload": "auto", "Server": {"IPv4": "192.0.2.1", "Note": "ü"}})
    children(found, "AllowedPeers")[1]["Owner"] = "Jürgen"
    written = rewritten(found)
    assert written == found
    assert list(written)[-2:] == ["Zeta", "Alpha"]
    assert list(written)[:-2] == list(server_document())


def test_the_unknown_keys_of_a_peer_go_with_the_peer() -> None:
    found = server_document()
    first, second = children(found, "AllowedPeers")
    first["Owner"], second["Owner"] = "first", "second"
    file = parse_server(json.dumps(found), "server.json", public_key_of, FOLDER)
    known, settings = file.document, file.settings
    shorter = replace(settings, peers=settings.peers[1:])
    written: JsonObject = json.loads(server_json(shorter, known, FOLDER))
    assert written["AllowedPeers"] == [second]


def test_keys_in_another_case_are_written_in_theirs_and_not_twice() -> None:
    found: JsonObject = {key.upper(): value for key, value in server_document().items()}
    assert rewritten(found) == server_document()


def test_everything_that_a_profile_can_hold_is_written_and_read_again() -> None:
    found = server_document()
    full: dict[str, Json] = {
        "Server": {"Domain": "a.example", "IPv4": "192.0.2.1", "IPv6": "2001:db8::1"},
        "DNSv4": ["1.1.1.1", "8.8.8.8"],
        "DNSv6": ["2606:4700:4700::1111"],
        "DialTimeoutMs": 7000,
    }
    child(found, "TCPSettings").update(full)
    assert rewritten(found) == found


def test_a_client_without_a_port_has_no_port_in_its_file() -> None:
    settings = read_client(CLIENT_FILES[0], public_key_of)
    without = replace(settings, ws=replace(settings.ws, port=0))
    assert "Port" not in json.loads(client_json(without))["WSSettings"]
    assert parse_client(client_json(without), "client.json", public_key_of, FOLDER) == without


def test_a_generated_client_file_is_read_as_it_was_meant_and_tells_nothing_of_the_servers_own() -> None:
    server = a_server()
    certificate = TlsSettings(certificate_file="/etc/ssl/cert.pem", key_file="/etc/ssl/key.pem")
    ws = replace(server.ws, tls=certificate, trusted_proxies=(IPv4Network("127.0.0.1/32"),))
    use_case = GenerateClient(
        MemoryServerConfiguration(replace(server, ws=ws)),
        KnownHost(ServerAddress()),
        PlainPrimitives(),
        SeededEntropy(1),
    )
    generated = use_case.generate(ClientWish(protocol=TransportProtocol.TCP)).settings
    written: JsonObject = json.loads(client_json(generated))
    assert (written["Protocol"], written["FallbackProtocols"]) == ("TCP", ["UDP", "WSS"])
    known_to_the_go_program = set(child(document(CLIENT_FILES[0]), "WSSettings"))
    assert set(child(written, "WSSettings")) <= known_to_the_go_program
    assert parse_client(client_json(generated), "client.json", public_key_of, FOLDER) == generated


def test_the_settings_that_are_ours_survive_a_rewrite_of_the_server_file() -> None:
    found = server_document()
    child(found, "TCPSettings")["TrustedProxies"] = ["192.0.2.1"]
    child(found, "WSSettings").update(
        {
            "Protocol": "WSS",
            "TLS": {"CertificateFile": "tls/cert.pem", "KeyFile": "/etc/ssl/key.pem", "Note": "from the CA"},
            "TrustedProxies": ["::1", "10.0.0.0/8"],
        }
    )
    found |= {"ClientIsolation": True, "NAT": False}
    found["Offload"] = {"TunSegmentation": "off", "UdpCoalescing": "on", "Note": "this kernel corrupts"}
    assert rewritten(found) == found


def test_server_settings_of_ours_that_say_nothing_are_not_written() -> None:
    found = server_document()
    silent: JsonObject = {"ClientIsolation": False, "NAT": True, "Offload": {"TunSegmentation": "auto"}}
    assert rewritten({**found, **silent}) == found


def test_a_path_that_is_no_longer_the_one_in_the_file_is_written_as_it_is() -> None:
    found = server_document()
    child(found, "WSSettings")["TLS"] = {"CertificateFile": "cert.pem", "KeyFile": "key.pem"}
    file = parse_server(json.dumps(found), "server.json", public_key_of, FOLDER)
    known, settings = file.document, file.settings
    tls = replace(settings.ws.tls, certificate_file="/elsewhere/cert.pem")
    changed = replace(settings, ws=replace(settings.ws, tls=tls))
    written: JsonObject = json.loads(server_json(changed, known, FOLDER))
    assert child(written, "WSSettings")["TLS"] == {
        "CertificateFile": "/elsewhere/cert.pem",
        "KeyFile": "key.pem",
    }


def test_the_settings_that_are_ours_stand_in_a_client_file_only_if_they_say_something() -> None:
    """The vectors show the files without them, byte for byte."""
    settings = replace(
        read_client(CLIENT_FILES[0], public_key_of),
        fallbacks=(TransportProtocol.TCP, TransportProtocol.WSS),
        fallback_retry_s=30,
        rekey_interval_s=60,
        routing=TunnelRouting(
            include=(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")),
            exclude=(IPv4Network("10.0.0.7/32"),),
            exclude_lan=False,
            allow_ipv6_leak=True,
            kill_switch=True,
            allow_lan=False,
        ),
        offload=OffloadSettings(udp_segmentation=OffloadMode.OFF),
    )
    tls = TlsSettings(ca_file="/etc/ssl/ca.pem", pinned_certificate=bytes(32), server_name="vpn.example.org")
    settings = replace(settings, ws=replace(settings.ws, tls=tls))
    written: JsonObject = json.loads(client_json(settings))
    ours = ["RekeyIntervalSeconds", "FallbackProtocols", "FallbackRetrySeconds", "Include", "Exclude"]
    ours += ["ExcludeLAN", "AllowIPv6Leak", "KillSwitch", "AllowLAN", "Offload"]
    assert list(written)[-len(ours) :] == ours
    assert (written["Include"], written["Exclude"]) == (["10.0.0.0/8", "fd00::/8"], ["10.0.0.7"])
    assert written["Offload"] == {"UdpSegmentation": "off"}
    assert written["FallbackProtocols"] == ["TCP", "WSS"]
    assert child(written, "WSSettings")["TLS"] == {
        "CAFile": "/etc/ssl/ca.pem",
        "PinnedCertificate": "00" * 32,
        "ServerName": "vpn.example.org",
    }
    assert parse_client(client_json(settings), "client.json", public_key_of, FOLDER) == settings
