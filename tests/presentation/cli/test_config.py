"""``tungo config`` over real files."""

import json
import shutil
from pathlib import Path

import pytest

from presentation.cli.commands import ExitStatus
from tests.infrastructure.pal.configuration.documents import CONFIG_VECTORS
from tests.presentation.cli.files import entries, run, run_as_nobody, run_json

SERVER, CLIENT = "server_configuration.json", "client_configuration.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the March program, and a second client beside them."""
    for name, copy in ((SERVER, SERVER), (CLIENT, CLIENT), (CLIENT, f"{CLIENT}.home")):
        shutil.copy(CONFIG_VECTORS / "march-default" / name, tmp_path / copy)
        (tmp_path / copy).chmod(0o600)
    return tmp_path


def break_file(file: Path) -> None:
    document = json.loads(file.read_text())
    document["UDPSettings"]["MTU"] = 9000
    file.write_text(json.dumps(document))


def test_everything_in_the_folder_is_checked(folder: Path) -> None:
    result = run("config", "check", "--config-dir", folder)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{folder / SERVER} is a valid server configuration\n"
        f"{folder / CLIENT} is a valid client configuration\n"
        f"{folder / CLIENT}.home is a valid client configuration\n"
    )
    assert "FallbackServerAddress is what older versions call Host" in result.stderr


def test_problems_have_place_value_and_expectation_and_a_status(folder: Path) -> None:
    break_file(folder / SERVER)
    result = run("config", "check", "--config-dir", folder)
    assert result.exit_code == ExitStatus.FAILURE
    assert f"tungo: {folder / SERVER}: UDPSettings.MTU is 9000, expected 576 to 1500 bytes\n" in result.stderr
    assert f"{folder / CLIENT} is a valid client configuration" in result.stdout
    assert f"{folder / SERVER} is" not in result.stdout


def test_one_file_can_be_checked_wherever_it_is(folder: Path, tmp_path: Path) -> None:
    file = folder / SERVER
    file.rename(tmp_path / "edited")
    result = run("config", "check", tmp_path / "edited")
    assert (result.exit_code, result.stdout) == (
        0,
        f"{tmp_path / 'edited'} is a valid server configuration\n",
    )


def test_check_is_for_programs_too(folder: Path) -> None:
    files = entries(run_json("config", "check", folder / CLIENT), "files")
    assert files == [
        {"file": str(folder / CLIENT), "role": "client", "valid": True, "problems": [], "remarks": []}
    ]
    break_file(folder / CLIENT)
    result = run("config", "check", folder / CLIENT, "--json")
    assert (result.exit_code, result.stderr) == (ExitStatus.FAILURE, "")
    (broken,) = json.loads(result.stdout)["files"]
    assert (broken["valid"], len(broken["problems"])) == (False, 1)


def test_the_environment_counts_as_it_does_for_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNGO_HOST", "not a host")
    result = run("config", "check", folder / SERVER)
    assert result.exit_code == ExitStatus.FAILURE
    assert "TUNGO_HOST" in result.stderr


def test_a_dry_run_says_what_would_change_and_changes_nothing(folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    result = run("config", "migrate", "--config-dir", folder, "--dry-run")
    assert result.exit_code == 0
    assert f"{folder / SERVER} would change:\n" in result.stdout
    assert "  UDPSettings.TunName becomes 's_udptun0', was 'udptun0'\n" in result.stdout
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_migrate_changes_the_files_and_says_where_the_old_ones_are(folder: Path) -> None:
    before = (folder / SERVER).read_bytes()
    result = run("config", "migrate", "--config-dir", folder)
    assert result.exit_code == 0
    assert f"the text from before is in {folder / SERVER}.bak\n" in result.stdout
    assert (folder / f"{SERVER}.bak").read_bytes() == before
    again = run("config", "migrate", "--config-dir", folder)
    assert again.stdout == (
        f"{folder / SERVER} is up to date\n"
        f"{folder / CLIENT} is up to date\n"
        f"{folder / CLIENT}.home is up to date\n"
    )


def test_migrate_is_for_programs_too(folder: Path) -> None:
    (planned,) = entries(run_json("config", "migrate", folder / CLIENT, "--dry-run"), "files")
    assert planned["backup"] is None
    (done,) = entries(run_json("config", "migrate", folder / CLIENT), "files")
    assert done == {**planned, "backup": f"{folder / CLIENT}.bak"}
    assert "TCPSettings.TunName becomes 'c_tcptun0', was 'tcptun0'" in str(done["changes"])
    (nothing,) = entries(run_json("config", "migrate", folder / CLIENT), "files")
    assert (nothing["changes"], nothing["backup"]) == ([], None)


def test_if_one_file_is_not_valid_none_is_changed(folder: Path) -> None:
    break_file(folder / f"{CLIENT}.home")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    result = run("config", "migrate", "--config-dir", folder)
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILURE, "")
    assert f"{CLIENT}.home: UDPSettings.MTU is 9000" in result.stderr
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_files_that_are_not_there_are_told(command: str, tmp_path: Path) -> None:
    for arguments in (
        (tmp_path / "missing.json",),
        ("--config-dir", tmp_path),
        ("--config-dir", tmp_path / "no"),
    ):
        result = run("config", command, *arguments)
        assert (result.exit_code, result.stdout) == (ExitStatus.FAILURE, "")
        assert str(arguments[-1]) in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("check",), ("migrate",), ("migrate", "--dry-run")])
def test_who_has_no_rights_is_told_so_with_a_status_of_its_own(
    command: tuple[str, ...], folder: Path
) -> None:
    folder.chmod(0o700)
    for arguments in ((folder / SERVER,), ("--config-dir", folder)):
        result = run_as_nobody("config", *command, *arguments)
        assert (result.returncode, result.stdout) == (ExitStatus.NO_RIGHTS, "")
        assert "run as root" in result.stderr
