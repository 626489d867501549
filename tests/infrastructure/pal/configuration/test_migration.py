"""Bringing files of older versions up to date."""

import json
import os
import stat
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError
from infrastructure.pal.configuration.migration import migrate, plan
from infrastructure.pal.configuration.reading import read_client, read_server
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    CONFIG_VECTORS,
    SERVER_FILES,
    case_name,
    client_document,
    document,
    server_document,
)
from tests.vectors import JsonObject, child

MARCH_SERVER = CONFIG_VECTORS / "march-default" / "server_configuration.json"
MARCH_CLIENT = CONFIG_VECTORS / "march-default" / "client_configuration.json"
FILES = [*SERVER_FILES, *CLIENT_FILES]


def a_file(folder: Path, content: JsonObject | Path, mode: int = 0o600) -> Path:
    file = folder / "file.json"
    file.write_text(content.read_text() if isinstance(content, Path) else json.dumps(content, indent="\t"))
    file.chmod(mode)
    return file


def test_a_server_file_of_march_becomes_one_of_today(tmp_path: Path) -> None:
    file = a_file(tmp_path, MARCH_SERVER, 0o644)
    before = read_server(file, public_key_of)
    done = migrate(file, public_key_of)
    assert done.changes == (
        "TCPSettings.TunName becomes 's_tcptun0', was 'tcptun0'",
        "UDPSettings.TunName becomes 's_udptun0', was 'udptun0'",
        "WSSettings.TunName becomes 's_wstun0', was 'wstun0'",
        "Host is added: '203.0.113.7'",
        "FallbackServerAddress goes: '203.0.113.7'",
        "the mode 644 becomes 600",
    )
    after = read_server(file, public_key_of)
    assert (after.host, after.peers, after.private_key) == (before.host, before.peers, before.private_key)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (tmp_path / "file.json.bak").read_text() == MARCH_SERVER.read_text()


def test_a_client_file_of_march_gets_the_interfaces_of_today(tmp_path: Path) -> None:
    file = a_file(tmp_path, MARCH_CLIENT)
    assert len(migrate(file, public_key_of).changes) == 3
    after = read_client(file, public_key_of)
    assert [profile.interface_name for _, profile in after.slots] == ["c_tcptun0", "c_udptun0", "c_wstun0"]


@pytest.mark.parametrize("path", FILES, ids=case_name)
def test_what_was_brought_up_to_date_is_up_to_date(path: Path, tmp_path: Path) -> None:
    file = a_file(tmp_path, path, 0o644)
    assert migrate(file, public_key_of).changes
    text = file.read_bytes()
    assert migrate(file, public_key_of).changes == ()
    assert file.read_bytes() == text


@pytest.mark.parametrize("path", FILES, ids=case_name)
def test_looking_changes_nothing(path: Path, tmp_path: Path) -> None:
    file = a_file(tmp_path, path, 0o644)
    assert plan(file, public_key_of).changes
    assert os.listdir(tmp_path) == ["file.json"]  # noqa: PTH208 - names are what is needed
    assert file.read_text() == path.read_text()


@pytest.mark.parametrize("document", [server_document(), client_document()], ids=["server", "client"])
def test_keys_that_nobody_knows_stay_and_keys_in_other_letters_get_their_own(
    document: JsonObject, tmp_path: Path
) -> None:
    udp = child(document, "UDPSettings")
    udp["Colour"] = "blue"
    udp["mtu"] = udp.pop("MTU")
    file = a_file(tmp_path, {**document, "Comment": [1, {"a": None}]})
    changes = migrate(file, public_key_of).changes
    assert [change.split(" ", 2)[:2] for change in changes] == [
        ["UDPSettings.MTU", "is"],
        ["UDPSettings.mtu", "goes:"],
    ]
    after = json.loads(file.read_text())
    assert (after["Comment"], after["UDPSettings"]["Colour"]) == ([1, {"a": None}], "blue")


def test_names_of_interfaces_that_somebody_chose_stay(tmp_path: Path) -> None:
    march = document(MARCH_SERVER)
    child(march, "UDPSettings")["TunName"] = "office"
    file = a_file(tmp_path, march)
    migrate(file, public_key_of)
    assert read_server(file, public_key_of).udp.interface_name == "office"


def test_the_counter_catches_up_with_the_numbers_in_use(tmp_path: Path) -> None:
    server = server_document()
    server["ClientCounter"] = 0
    file = a_file(tmp_path, server)
    assert migrate(file, public_key_of).changes == ("ClientCounter becomes 2, was 0",)


def test_no_key_is_shown(tmp_path: Path) -> None:
    server = server_document()
    server["x25519privatekey"] = private_key = str(server.pop("X25519PrivateKey"))
    changes = migrate(a_file(tmp_path, server), public_key_of).changes
    assert changes == ("X25519PrivateKey is added: a key", "x25519privatekey goes: a key")
    assert private_key not in "".join(changes)


def test_a_file_behind_a_link_is_the_one_that_changes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    file = a_file(tmp_path / "real", MARCH_SERVER)
    link = tmp_path / "link.json"
    link.symlink_to(file)
    migrate(link, public_key_of)
    assert link.is_symlink()
    assert read_server(file, public_key_of).udp.interface_name == "s_udptun0"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({**server_document(), "ClientCounter": -1}, "ClientCounter is -1, expected 0 or more"),
        ({**client_document(), "ClientID": 0}, "ClientID is 0, expected 1 or more"),
        ({"Name": "x"}, "neither a server's nor a client's"),
    ],
)
def test_a_file_that_is_not_valid_is_told_and_kept(
    tmp_path: Path, content: JsonObject, sentence: str
) -> None:
    file = a_file(tmp_path, content, 0o644)
    text = file.read_text()
    with pytest.raises(ConfigurationError, match=sentence):
        migrate(file, public_key_of)
    assert file.read_text() == text
    assert not (tmp_path / "file.json.bak").exists()
