"""What the environment lays over a server's file: in force everywhere, written nowhere."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError
from domain.noise.keys import KeyPair
from domain.settings.profile import TransportProtocol
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.store import ServerConfigurationStore
from tests.adapters.log import RememberingLog
from tests.vectors import JsonObject

PRIMITIVES = PycaPrimitives()
KEYS = KeyPair.from_private(PRIMITIVES, b"e" * 32)
PUBLIC = base64.b64encode(KEYS.public).decode()
PRIVATE = base64.b64encode(KEYS.private).decode()


def store(folder: Path, environment: Mapping[str, str]) -> ServerConfigurationStore:
    path = folder / "server_configuration.json"
    return ServerConfigurationStore(path, PRIMITIVES.public_key, RememberingLog(), environment)


def written(folder: Path) -> JsonObject:
    document: JsonObject = json.loads((folder / "server_configuration.json").read_text("utf-8"))
    return document


def counted(settings: ServerSettings) -> ServerSettings:
    return replace(settings, client_counter=7)


@pytest.mark.parametrize("name", ["TUNGO_HOST", "Host", "ServerIP"])
def test_a_host_is_in_force_and_stays_out_of_the_file(tmp_path: Path, name: str) -> None:
    laid = store(tmp_path, {name: "vpn.example.org"})
    assert laid.load_or_create().host == "vpn.example.org"
    assert laid.update(counted).host == "vpn.example.org"
    assert written(tmp_path)["Host"] == ""
    assert written(tmp_path)["ClientCounter"] == 7
    assert store(tmp_path, {}).load().host == ""


def test_our_names_come_before_those_of_the_go_program(tmp_path: Path) -> None:
    environment = {"TUNGO_HOST": "ours.example.org", "Host": "go.example.org"}
    assert store(tmp_path, environment).load_or_create().host == "ours.example.org"


@pytest.mark.parametrize("names", [("TUNGO_ENABLE_TCP", "TUNGO_ENABLE_UDP"), ("EnableTCP", "EnableUDP")])
def test_transports_are_switched_and_the_file_keeps_its_own(tmp_path: Path, names: tuple[str, str]) -> None:
    laid = store(tmp_path, {names[0]: "T", names[1]: "false"})
    assert laid.load_or_create().enabled == {TransportProtocol.TCP}
    laid.update(counted)
    assert (written(tmp_path)["EnableTCP"], written(tmp_path)["EnableUDP"]) == (False, True)


def test_keys_of_the_environment_are_used_and_never_stored(tmp_path: Path) -> None:
    laid = store(tmp_path, {"TUNGO_PUBLIC_KEY": PUBLIC, "TUNGO_PRIVATE_KEY": PRIVATE})
    assert laid.load_or_create().key_pair == KEYS
    laid.update(counted)
    assert PRIVATE not in (tmp_path / "server_configuration.json").read_text("utf-8")


@pytest.mark.parametrize(
    "environment",
    [
        {"EnableTCP": "yes"},
        {"TUNGO_HOST": "not a host/!!"},
        {"TUNGO_PUBLIC_KEY": PUBLIC},
        {"TUNGO_PUBLIC_KEY": "!", "TUNGO_PRIVATE_KEY": PRIVATE},
        {"X25519_PUBLIC_KEY": PRIVATE, "X25519_PRIVATE_KEY": PRIVATE},
    ],
    ids=["boolean", "host", "half a pair", "no key", "foreign pair"],
)
def test_what_is_malformed_is_an_error_that_names_the_variable_and_no_key(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    store(tmp_path, {}).load_or_create()
    with pytest.raises(ConfigurationError) as caught:
        store(tmp_path, environment).load()
    assert any(name in str(caught.value) for name in environment)
    assert PRIVATE not in str(caught.value)


def test_the_variables_that_have_a_say_are_told_by_name(tmp_path: Path) -> None:
    log = RememberingLog()
    path = tmp_path / "server_configuration.json"
    ServerConfigurationStore(path, PRIMITIVES.public_key, log, {"Host": "192.0.2.7"}).load_or_create()
    (event,) = log.events
    assert event.fields == {"variables": "Host"}


def test_the_last_good_text_is_kept_beside_the_file_with_closed_rights(tmp_path: Path) -> None:
    plain = store(tmp_path, {})
    plain.load_or_create()
    before = (tmp_path / "server_configuration.json").read_bytes()
    plain.update(counted)
    backup = tmp_path / "server_configuration.json.bak"
    assert backup.read_bytes() == before
    assert backup.stat().st_mode & 0o777 == 0o600
