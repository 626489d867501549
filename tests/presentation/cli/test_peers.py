"""``tungo server gen`` and ``tungo server peers`` over a real file."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.link import decode_link
from infrastructure.pal.configuration.reading import read_server
from presentation.cli.commands import ExitStatus
from tests.presentation.cli.files import entries, run, run_as_nobody, run_json

public_key_of = PycaPrimitives().public_key
CLIENT_KEY = base64.b64encode(public_key_of(b"k" * 32)).decode()
HOST = ("--host", "vpn.example.org")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The folder of a server with the peers 1, laptop, and 2, phone."""
    for name in ("laptop", "phone"):
        assert run("server", "gen", "--config-dir", tmp_path, "--name", name, *HOST).exit_code == 0
    return tmp_path


def file_of(folder: Path) -> Path:
    return folder / "server_configuration.json"


def test_list_shows_who_may_connect(server: Path) -> None:
    run("server", "peers", "disable", "phone", "--config-dir", server)
    result = run("server", "peers", "list", "--config-dir", server)
    assert result.stdout == (
        "NUMBER  NAME    ENABLED  ADDRESSES\n"
        "1       laptop  yes      UDP 10.0.1.2\n"
        "2       phone   no       UDP 10.0.1.3\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")


def test_list_is_for_programs_too(server: Path) -> None:
    peers = entries(run_json("server", "peers", "list", "--config-dir", server), "peers")
    key = peers[0].pop("public_key")
    assert len(base64.b64decode(str(key))) == 32
    assert peers[0] == {"number": 1, "name": "laptop", "enabled": True, "addresses": {"UDP": ["10.0.1.2"]}}


def test_a_server_without_peers_says_how_to_get_one(server: Path) -> None:
    for name in ("laptop", "phone"):
        run("server", "peers", "remove", name, "--config-dir", server)
    assert run("s", "peers", "list", "--config-dir", server).stdout.startswith("there are no peers; ")
    assert run_json("s", "peers", "list", "--config-dir", server) == {"peers": []}


def test_show_tells_everything_about_one(server: Path) -> None:
    shown = run("server", "peers", "show", "2", "--config-dir", server).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["number", "name", "enabled", "public", "UDP"]
    assert run_json("server", "peers", "show", "phone", "--config-dir", server)["number"] == 2


def test_the_folder_can_stand_at_the_server(server: Path) -> None:
    assert run("server", "--config-dir", server, "peers", "show", "phone").exit_code == 0


def test_names_from_the_file_cannot_move_the_cursor(server: Path) -> None:
    document = json.loads(file_of(server).read_text())
    document["AllowedPeers"][0]["Name"] = "\x1b[2Jroot"
    file_of(server).write_text(json.dumps(document))
    for command in (("list",), ("show", "1"), ("disable", "1"), ("remove", "1")):
        result = run("server", "peers", *command, "--config-dir", server)
        assert result.exit_code == 0
        assert "\\x1b[2Jroot" in result.stdout
        assert "\x1b" not in result.stdout


def test_disable_and_enable_and_rename_and_remove_say_what_they_did(server: Path) -> None:
    said = [
        run("server", "peers", *command, "--config-dir", server).stdout
        for command in (
            ("disable", "2"),
            ("enable", "phone"),
            ("rename", "2", "tablet"),
            ("remove", "tablet"),
        )
    ]
    assert said == [
        "peer 2 (phone) is disabled\n",
        "peer 2 (phone) is enabled\n",
        "peer 2 is called tablet now\n",
        "peer 2 (tablet) is removed\n",
    ]
    assert [peer.name for peer in read_server(file_of(server), public_key_of).peers] == ["laptop"]


def test_a_removed_number_is_given_to_the_next_client(server: Path) -> None:
    run("server", "peers", "remove", "1", "--config-dir", server)
    result = run("server", "peers", "add", "tablet", "--config-dir", server, *HOST)
    assert json.loads(result.stdout)["ClientID"] == 1
    assert run_json("server", "peers", "show", "tablet", "--config-dir", server)["number"] == 1


def test_regenerate_writes_another_configuration_for_the_same_client(server: Path, tmp_path: Path) -> None:
    old = read_server(file_of(server), public_key_of).peers[1]
    output = tmp_path / "phone.json"
    result = run("server", "peers", "regenerate", "phone", "--config-dir", server, "--output", output, *HOST)
    assert (result.exit_code, result.stdout) == (0, "")
    client = json.loads(output.read_text())
    new = read_server(file_of(server), public_key_of).peers[1]
    assert (new.client_id, new.name) == (old.client_id, old.name) == (client["ClientID"], "phone")
    assert base64.b64decode(client["ClientPublicKey"]) == new.public_key != old.public_key


def test_a_clients_own_key_is_admitted_and_its_private_key_is_not_there(server: Path) -> None:
    result = run("server", "gen", "--config-dir", server, "--client-key", CLIENT_KEY, *HOST)
    client = json.loads(result.stdout)
    assert (client["ClientPublicKey"], client["ClientPrivateKey"]) == (CLIENT_KEY, None)
    assert "private key is not in it" in result.stderr
    assert read_server(file_of(server), public_key_of).peers[-1].public_key == public_key_of(b"k" * 32)


def test_a_code_and_its_link_are_shown_and_that_they_are_secret(server: Path) -> None:
    result = run("server", "gen", "--config-dir", server, "--qr", *HOST)
    *code, link = result.stdout.splitlines()
    assert len(code) > 20
    assert set("".join(code)) == set("█▀▄ ")
    document = decode_link(link, public_key_of)
    assert document["ClientID"] == 3
    assert document["ClientPrivateKey"]
    assert "hold the client's private key" in result.stderr


def test_a_code_can_come_beside_a_file(server: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.json"
    result = run(
        "server", "gen", "--config-dir", server, "--qr", "--output", output, "--client-key", CLIENT_KEY, *HOST
    )
    document = decode_link(result.stdout.splitlines()[-1], public_key_of)
    assert document == json.loads(output.read_text())
    assert "hold the client's private key" not in result.stderr


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("show", "tablet"), "there is no peer 'tablet'; 'tungo server peers list' shows numbers and names"),
        (("disable", "9"), "there is no peer '9'; 'tungo server peers list' shows numbers and names"),
        (("remove", ""), "there is no peer ''; 'tungo server peers list' shows numbers and names"),
        (
            ("rename", "phone", "laptop"),
            "the name 'laptop' cannot be given to a peer, expected a name that peer 1 does not have",
        ),
        (
            ("add", "laptop"),
            "the name 'laptop' cannot be given to a peer, expected a name that peer 1 does not have",
        ),
        (
            ("add", "--client-key", "nonsense"),
            ("the client's key is not a public key of 32 bytes in base64; 'tungo client keygen' prints one"),
        ),
        (
            ("regenerate", "phone", "--protocol", "tcp"),
            "this server does not serve TCP; set EnableTCP to true",
        ),
        (
            ("regenerate", "phone", "--host", "two words"),
            "'two words' is not an IPv4 address, an IPv6 address or a domain name",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(
    command: tuple[str, ...], sentence: str, server: Path
) -> None:
    text = file_of(server).read_text()
    host = HOST if command[0] == "add" else ()
    if command[0] == "regenerate" and "--host" not in command:
        host = HOST
    result = run("server", "peers", *command, "--config-dir", server, *host)
    assert (result.exit_code, result.stdout, result.stderr) == (
        ExitStatus.FAILURE,
        "",
        f"tungo: {sentence}\n",
    )
    assert file_of(server).read_text() == text


@pytest.mark.parametrize(
    "command",
    [("list",), ("show", "1"), ("rename", "1", "x"), ("enable", "1"), ("remove", "1"), ("regenerate", "1")],
)
def test_where_there_is_no_server_nothing_is_made(command: tuple[str, ...], tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        result = run("server", "peers", *command, "--config-dir", folder)
        assert result.exit_code == ExitStatus.FAILURE
        assert "'tungo server gen' makes it together with a first client" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_told_with_place_value_and_expectation(server: Path) -> None:
    document = json.loads(file_of(server).read_text())
    document["AllowedPeers"][1]["ClientID"] = 999
    file_of(server).write_text(json.dumps(document))
    result = run("server", "peers", "list", "--config-dir", server)
    assert result.exit_code == ExitStatus.FAILURE
    assert result.stderr == (
        f"tungo: {file_of(server)}: AllowedPeers[1].ClientID is 999, "
        "expected 1 to 253 in 10.0.1.0/24, the subnet of UDPSettings\n"
    )


@pytest.mark.parametrize("command", [("list",), ("show", "1"), ("disable", "1"), ("add", "x", *HOST)])
def test_who_has_no_rights_is_told_so_with_a_status_of_its_own(
    command: tuple[str, ...], server: Path
) -> None:
    result = run_as_nobody("server", "peers", *command, "--config-dir", server)
    assert (result.returncode, result.stdout) == (ExitStatus.NO_RIGHTS, "")
    assert "run as root" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["server peers", "server peers show", "server peers rename 1", "server peers turn 1"]
)
def test_wrong_usage_shows_the_right_one(line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == ExitStatus.USAGE
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("line", ["server peers list", "client configs list", "config check"])
def test_looking_at_files_loads_no_tunnel(line: str, server: Path) -> None:
    program = (
        "import sys\nfrom tungo.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'asyncio', 'pyroute2', 'dependency_injector', 'tungo.container'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program, *line.split(), "--config-dir", str(server)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
