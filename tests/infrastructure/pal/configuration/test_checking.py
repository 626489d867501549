"""What is wrong with a configuration file, and what is odd about it."""

import base64
import json
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from infrastructure.pal.configuration.checking import Checked, check
from infrastructure.pal.configuration.environment import NO_OVERLAY, read_overlay
from infrastructure.pal.configuration.roles import FileRole
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    SERVER_FILES,
    case_name,
    client_document,
    server_document,
)
from tests.vectors import JsonObject, child


def a_file(folder: Path, document: JsonObject, mode: int = 0o600) -> Path:
    file = folder / "file.json"
    file.write_text(json.dumps(document))
    file.chmod(mode)
    return file


def checked(path: Path) -> Checked:
    return check(path, public_key_of, NO_OVERLAY)


@pytest.mark.parametrize("path", [*SERVER_FILES, *CLIENT_FILES], ids=case_name)
def test_every_file_of_the_go_program_is_known_and_valid(path: Path) -> None:
    found = checked(path)
    assert found.role is (FileRole.SERVER if path in SERVER_FILES else FileRole.CLIENT)
    assert found.problems == ()


@pytest.mark.parametrize("document", [server_document(), client_document()], ids=["server", "client"])
def test_a_good_file_of_today_gives_no_reason_for_remarks(tmp_path: Path, document: JsonObject) -> None:
    assert checked(a_file(tmp_path, document)).remarks == ()


def test_all_problems_are_told_with_file_place_value_and_expectation(tmp_path: Path) -> None:
    document = client_document()
    child(document, "UDPSettings").update(MTU=12, Port="9090")
    file = a_file(tmp_path, {**document, "ClientID": -1})
    assert checked(file).problems == (
        f"{file}: UDPSettings.Port is '9090', expected a whole number.",
        f"{file}: ClientID is -1, expected 1 or more.",
        f"{file}: UDPSettings.MTU is 12, expected 576 to 1500 bytes.",
    )


def test_keys_that_nothing_reads_are_told_wherever_they_are(tmp_path: Path) -> None:
    document = server_document()
    child(document, "UDPSettings")["Mtu_"] = 1400
    key = base64.b64encode(b"p" * 32).decode()
    peer: JsonObject = {"PublicKey": key, "ClientID": 7, "Enabled": True, "Enabld": True}
    file = a_file(tmp_path, {**document, "NATT": False, "AllowedPeers": [peer]})
    assert checked(file) == Checked(
        FileRole.SERVER,
        remarks=(
            f"{file}: NATT is a key that nothing reads.",
            f"{file}: UDPSettings.Mtu_ is a key that nothing reads.",
            f"{file}: AllowedPeers[0].Enabld is a key that nothing reads.",
        ),
    )


def test_a_private_key_in_the_place_of_a_name_is_not_shown(tmp_path: Path) -> None:
    secret = base64.b64encode(b"s" * 32).decode()
    (remark,) = checked(a_file(tmp_path, {**client_document(), secret: 1})).remarks
    assert secret not in remark
    assert "a text that may be a key is a key that nothing reads" in remark


def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    file = a_file(tmp_path, client_document(), 0o644)
    assert checked(file).remarks == (
        f"{file} holds a private key and is open to others (mode 644); run chmod 600 {file}.",
    )


@pytest.mark.parametrize(
    ("host", "what"), [("", "older versions call Host"), ("vpn.example.org", "not used")]
)
def test_the_march_name_of_the_host_is_told(tmp_path: Path, host: str, what: str) -> None:
    file = a_file(tmp_path, {**server_document(), "Host": host, "FallbackServerAddress": "192.0.2.1"})
    (remark,) = checked(file).remarks
    assert what in remark
    assert "tungo config migrate" in remark


def test_a_file_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    document = server_document()
    (tmp_path / "cert.pem").write_text("")
    child(document, "WSSettings")["TLS"] = {"CertificateFile": "cert.pem", "KeyFile": "key.pem"}
    (remark,) = checked(a_file(tmp_path, document)).remarks
    assert "WSSettings.TLS.KeyFile" in remark
    assert "key.pem" in remark


def test_what_the_environment_breaks_is_told_as_such(tmp_path: Path) -> None:
    environment = {"TUNGO_ENABLE_TCP": "0", "TUNGO_ENABLE_UDP": "0", "TUNGO_ENABLE_WS": "0"}
    file = a_file(tmp_path, server_document())
    (problem,) = check(file, public_key_of, read_overlay(environment, public_key_of)).problems
    assert "TUNGO_ENABLE_UDP" in problem


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "not an object"),
        ("{}", "neither"),
        ('{"a": 1}', "neither"),
    ],
)
def test_what_is_no_configuration_is_a_problem(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    found = checked(file)
    assert found.role is None
    assert sentence in found.problems[0]
    assert str(file) in found.problems[0]


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissingError):
        checked(tmp_path / "missing.json")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        checked(tmp_path)


@pytest.mark.parametrize(
    ("name", "role", "problem"),
    [
        ("server_configuration.json", FileRole.SERVER, "EnableUDP is false"),
        ("client_configuration.json", FileRole.CLIENT, "ClientID is 0"),
        ("client_configuration.json.home", FileRole.CLIENT, "ClientID is 0"),
    ],
)
def test_a_file_that_says_nothing_is_what_its_name_says(
    name: str, role: FileRole, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("{}")
    found = checked(tmp_path / name)
    assert found.role is role
    assert problem in "".join(found.problems)
