"""Writing configurations: the bytes of the Go program, and what must survive a rewrite."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from domain.settings.defaults import default_server_settings
from infrastructure.pal.configuration.reading import parse_client, parse_server, read_client, read_server
from infrastructure.pal.configuration.writing import client_json, server_json
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    SERVER_FILES,
    case_name,
    document,
    server_document,
)
from tests.vectors import Json, JsonObject, child, children


def rewritten(found: JsonObject) -> JsonObject:
    known, settings = parse_server(json.dumps(found), "server.json", public_key_of)
    result: JsonObject = json.loads(server_json(settings, known))
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
    known, settings = parse_server(json.dumps(found), "server.json", public_key_of)
    shorter = replace(settings, peers=settings.peers[1:])
    written: JsonObject = json.loads(server_json(shorter, known))
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
    assert parse_client(client_json(without), "client.json", public_key_of) == without
