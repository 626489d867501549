"""``tungo client configs`` and ``tungo client keygen`` over real files."""

import base64
import json
from pathlib import Path

import pytest

from infrastructure.pal.configuration.link import encode_link
from infrastructure.pal.configuration.writing import client_json
from presentation.cli.commands import ExitStatus
from tests.domain.settings.samples import CLIENT_PRIVATE_KEY, a_client, a_server, public_key_of
from tests.presentation.cli.files import entries, run, run_as_nobody, run_json

ACTIVE = "client_configuration.json"
TEXT = client_json(a_client())
PRIVATE_KEY = base64.b64encode(CLIENT_PRIVATE_KEY).decode()


def configs(folder: Path, *arguments: str | Path, stdin: bytes | None = None) -> str:
    """Standard output of ``tungo client configs``, which has to succeed."""
    result = run("client", "configs", *arguments, "--config-dir", folder, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file as the server gives it out."""
    file = tmp_path / "laptop.json"
    file.write_text(TEXT)
    return file


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    """A folder with the configurations home, which is active, and work."""
    place = tmp_path / "tungo"
    for name in ("home", "work"):
        configs(place, "add", source, "--name", name)
    active = (place / f"{ACTIVE}.home").read_text().replace("203.0.113.7", "203.0.113.8")
    (place / f"{ACTIVE}.home").write_text(active)
    (place / ACTIVE).write_text(active)
    return place


def test_list_shows_which_there_are_and_which_is_active(folder: Path) -> None:
    assert configs(folder, "list") == (
        "   NAME  NUMBER  PROTOCOL  SERVER\n"
        "*  home  1       UDP       203.0.113.8:9090\n"
        "   work  1       UDP       203.0.113.7:9090\n"
    )


def test_list_is_for_programs_too(folder: Path) -> None:
    (folder / f"{ACTIVE}.broken").write_text("{")
    listed = entries(run_json("client", "configs", "list", "--config-dir", folder), "configurations")
    broken, home, _ = listed
    assert home == {
        "name": "home",
        "active": True,
        "valid": True,
        "problems": [],
        "number": 1,
        "protocols": ["UDP"],
        "servers": ["203.0.113.8:9090"],
        "addresses": ["10.0.1.2"],
    }
    assert (broken["name"], broken["valid"], broken["number"]) == ("broken", False, None)
    assert str(folder / f"{ACTIVE}.broken") in str(broken["problems"])


def test_a_broken_configuration_is_listed_with_what_is_wrong(folder: Path) -> None:
    (folder / f"{ACTIVE}.broken").write_text("{")
    result = run("client", "configs", "list", "--config-dir", folder)
    assert result.exit_code == 0
    assert "broken" in result.stdout
    assert "is not JSON" in result.stderr


@pytest.mark.parametrize("missing", [True, False])
def test_where_there_are_none_that_is_said(tmp_path: Path, missing: bool) -> None:
    place = tmp_path / "missing" if missing else tmp_path
    assert configs(place, "list").startswith("there are no configurations; ")
    assert run_json("client", "configs", "list", "--config-dir", place) == {"configurations": []}
    assert list(tmp_path.iterdir()) == []


def test_show_has_everything_but_the_private_key(folder: Path) -> None:
    for result in (
        run("client", "configs", "show", "--config-dir", folder),
        run("client", "configs", "show", "work", "--config-dir", folder),
        run("client", "--config-dir", folder, "configs", "show", "home", "--json"),
    ):
        assert result.exit_code == 0
        assert "(hidden)" in result.stdout
        assert PRIVATE_KEY not in result.stdout
        assert base64.b64encode(a_client().public_key).decode() in result.stdout


def test_show_for_programs_is_the_whole_document(folder: Path) -> None:
    shown = run_json("client", "configs", "show", "work", "--config-dir", folder)
    assert shown["configuration"] == json.loads(TEXT) | {"ClientPrivateKey": "(hidden)"}
    assert (shown["name"], shown["active"], shown["valid"]) == ("work", False, True)


def test_showing_a_broken_one_fails_with_what_is_wrong(folder: Path) -> None:
    (folder / f"{ACTIVE}.broken").write_text(TEXT.replace('"ClientID": 1', '"ClientID": 0'))
    for json_option in ((), ("--json",)):
        result = run("client", "configs", "show", "broken", "--config-dir", folder, *json_option)
        assert result.exit_code == ExitStatus.FAILURE
        assert f"{ACTIVE}.broken: ClientID is 0, expected 1 or more" in result.stderr
        assert bool(result.stdout) is bool(json_option)


@pytest.mark.parametrize("way", ["file", "stdin", "link", "link on stdin"])
def test_a_configuration_comes_in_any_way_and_the_first_is_active(
    way: str, tmp_path: Path, source: Path
) -> None:
    link = encode_link(a_client(), public_key_of)
    argument, stdin, name = {
        "file": (str(source), None, "laptop"),
        "stdin": ("-", TEXT.encode(), "203.0.113.7"),
        "link": (link, None, "203.0.113.7"),
        "link on stdin": ("-", f"\n{link}\n".encode(), "203.0.113.7"),
    }[way]
    place = tmp_path / "tungo"
    assert configs(place, "add", argument, stdin=stdin) == (
        f"kept as {name}\n{name} is the active configuration\n"
    )
    assert json.loads((place / ACTIVE).read_text()) == json.loads(TEXT)
    assert (place / f"{ACTIVE}.{name}").read_bytes() == (place / ACTIVE).read_bytes()


def test_a_file_of_the_go_program_is_called_as_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / f"{ACTIVE}.7").write_text(TEXT)
    assert configs(folder, "add", tmp_path / f"{ACTIVE}.7") == "kept as 7\n"


def test_a_file_that_the_configuration_names_is_still_found(folder: Path, tmp_path: Path) -> None:
    document = json.loads(TEXT)
    document |= {"Protocol": "WSS"}
    document["WSSettings"]["TLS"] = {"CAFile": "ca.pem"}
    (tmp_path / "wss.json").write_text(json.dumps(document))
    configs(folder, "add", tmp_path / "wss.json")
    stored = json.loads((folder / f"{ACTIVE}.wss").read_text())
    assert stored["WSSettings"]["TLS"] == {"CAFile": str(tmp_path / "ca.pem")}


def test_adding_can_be_using(folder: Path, source: Path) -> None:
    assert configs(folder, "add", source, "--name", "third", "--use") == (
        "kept as third\nthird is the active configuration\n"
    )
    assert (folder / ACTIVE).read_bytes() == (folder / f"{ACTIVE}.third").read_bytes()


def test_using_another_one_changes_the_active_file(folder: Path) -> None:
    assert configs(folder, "use", "work") == "work is the active configuration\n"
    assert json.loads((folder / ACTIVE).read_text()) == json.loads(TEXT)


def test_what_was_active_without_a_name_is_kept_and_that_is_told(folder: Path) -> None:
    (folder / ACTIVE).write_text("{}")
    result = run("client", "configs", "use", "work", "--config-dir", folder)
    assert result.stderr == "tungo: the one that was active before had no name and is kept as previous\n"
    assert (folder / f"{ACTIVE}.previous").read_text() == "{}"


def test_a_broken_one_is_not_used(folder: Path) -> None:
    before = (folder / ACTIVE).read_bytes()
    (folder / f"{ACTIVE}.broken").write_text(TEXT.replace('"Port": 9090', '"Port": "9090"'))
    result = run("client", "configs", "use", "broken", "--config-dir", folder)
    assert result.exit_code == ExitStatus.FAILURE
    assert "UDPSettings.Port is '9090', expected a whole number" in result.stderr
    assert (folder / ACTIVE).read_bytes() == before


def test_rename_and_remove_say_what_they_did(folder: Path) -> None:
    assert configs(folder, "rename", "work", "office") == "work is called office now\n"
    assert configs(folder, "remove", "office") == "office is removed\n"
    assert configs(folder, "remove", "home", "--force") == "home is removed\n"
    assert not [file for file in folder.iterdir() if file.name.startswith(ACTIVE)]


def test_the_private_key_stays_at_the_client(tmp_path: Path) -> None:
    """The whole way: a key made here, its public half admitted there, the file joined with the key here."""
    client, server = tmp_path / "client", tmp_path / "server"
    keygen = run("client", "keygen", "--config-dir", client)
    assert keygen.exit_code == 0
    assert keygen.stderr == f"tungo: the private key is in {client / 'client.key'}\n"
    key_file = client / "client.key"
    private_key = key_file.read_text().strip()
    assert key_file.stat().st_mode & 0o777 == 0o600
    public_key = keygen.stdout.strip()
    assert public_key_of(base64.b64decode(private_key)) == base64.b64decode(public_key)
    issued = run(
        "server", "gen", "--config-dir", server, "--host", "vpn.example.org", "--client-key", public_key
    ).stdout
    assert private_key not in issued + "".join(file.read_text() for file in server.iterdir())
    assert configs(client, "add", "-", stdin=issued.encode()).startswith("kept as vpn.example.org\n")
    active = json.loads((client / ACTIVE).read_text())
    assert (active["ClientPrivateKey"], active["ClientPublicKey"]) == (private_key, public_key)


def test_the_key_can_be_in_a_file_of_any_name(tmp_path: Path) -> None:
    key_file = tmp_path / "my.key"
    public_key = run("client", "keygen", "--output", key_file).stdout.strip()
    issued = run(
        "server",
        "gen",
        "--config-dir",
        tmp_path / "server",
        "--host",
        "::1",
        "--client-key",
        public_key,
        "--qr",
    ).stdout
    link = issued.splitlines()[-1]
    refused = run("client", "configs", "add", link, "--config-dir", tmp_path / "client")
    assert refused.exit_code == ExitStatus.FAILURE
    assert "the link: ClientPrivateKey is not set, expected a key" in refused.stderr
    assert not (tmp_path / "client").exists()
    assert configs(tmp_path / "client", "add", link, "--key", key_file).startswith("kept as ::1\n")


def test_a_key_is_never_made_in_the_place_of_another(tmp_path: Path) -> None:
    assert run("client", "keygen", "--config-dir", tmp_path).exit_code == 0
    before = (tmp_path / "client.key").read_text()
    result = run("client", "keygen", "--config-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILURE, "")
    assert "client.key exists already" in result.stderr
    assert (tmp_path / "client.key").read_text() == before


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("use", "hme"), "there is no configuration 'hme'; 'tungo client configs list' shows"),
        (("show", "hme"), "there is no configuration 'hme'; 'tungo client configs list' shows"),
        (("rename", "hme", "x"), "there is no configuration 'hme'; 'tungo client configs list' shows"),
        (("remove", "../tungo"), "there is no configuration '../tungo'; "),
        (("rename", "work", "a/b"), "'a/b' cannot be the name of a configuration, expected 1 to 229 bytes"),
        (("rename", "work", "home"), "there is a configuration 'home' already; choose another name"),
        (("remove", "home"), "'home' is the active configuration; use another one first"),
        (("add", "missing.json"), "missing.json does not exist; give a file that 'tungo server gen' made"),
        (("add", "/dev/null"), "/dev/null is not a regular file"),
        (("add", "tungo://AbC"), "the link is not complete or was changed on its way; copy it again"),
        (("add", "tungo://AbC", "--name", ".."), "the link is not complete"),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(
    command: tuple[str, ...], sentence: str, folder: Path
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    result = run("client", "configs", *command, "--config-dir", folder)
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILURE, "")
    assert result.stderr.startswith(f"tungo: {sentence}")
    assert len(result.stderr.splitlines()) == 1
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"", "standard input is empty"),
        (b"\xff", "standard input is not UTF-8 text at byte 0"),
        (b"{" * 10, "standard input is not JSON"),
        (b" " * (1024 * 1024 + 1), "standard input has more than 1048576 bytes"),
        (
            TEXT.replace("UDP", "UDQ").encode(),
            "standard input: Protocol is 'UDQ', expected one of UDP, TCP, WS, WSS",
        ),
        (json.dumps({"AllowedPeers": [], "Host": a_server().host}).encode(), "is a server's configuration"),
    ],
)
def test_what_comes_in_is_validated_before_anything_is_touched(
    stdin: bytes, sentence: str, folder: Path
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    result = run("client", "configs", "add", "-", "--name", "new", "--config-dir", folder, stdin=stdin)
    assert result.exit_code == ExitStatus.FAILURE
    assert sentence in result.stderr
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_name_in_use_is_taken_over_only_on_request(folder: Path, source: Path) -> None:
    refused = run("client", "configs", "add", source, "--name", "home", "--config-dir", folder)
    assert refused.exit_code == ExitStatus.FAILURE
    assert "--replace" in refused.stderr
    assert configs(folder, "add", source, "--name", "home", "--replace") == (
        "kept as home\nhome is the active configuration\n"
    )
    assert json.loads((folder / ACTIVE).read_text()) == json.loads(TEXT)


@pytest.mark.parametrize(
    "command",
    [("list",), ("show",), ("use", "work"), ("rename", "work", "x"), ("remove", "work"), ("add", "-")],
)
def test_who_has_no_rights_is_told_so_with_a_status_of_its_own(
    command: tuple[str, ...], folder: Path
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    if command == ("add", "-"):
        command = ("add", encode_link(a_client(), public_key_of), "--name", "new")
    result = run_as_nobody("client", "configs", *command, "--config-dir", folder)
    assert (result.returncode, result.stdout) == (ExitStatus.NO_RIGHTS, "")
    assert "run as root" in result.stderr
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_key_that_cannot_be_stored_is_not_printed(folder: Path) -> None:
    for output in (("--config-dir", folder), ("--output", folder / "key")):
        result = run_as_nobody("client", "keygen", *output)
        assert (result.returncode, result.stdout) == (ExitStatus.NO_RIGHTS, "")
        assert "cannot be" in result.stderr
