"""The files of the client configurations, beside those of the Go program and of others."""

import os
import stat
from pathlib import Path

import pytest

from application.client.configurations import ClientConfigurations
from application.runtime.configuration import ConfigurationError
from infrastructure.pal.configuration.client_store import ClientConfigurationFolder
from infrastructure.pal.configuration.reading import read_client
from infrastructure.pal.configuration.replacing import exclusive_lock
from tests.domain.settings.samples import a_client, public_key_of
from tests.infrastructure.pal.configuration.documents import CLIENT_FILES

ACTIVE = "client_configuration.json"


def a_folder(path: Path) -> ClientConfigurationFolder:
    return ClientConfigurationFolder(path, public_key_of)


def test_the_files_have_the_names_and_the_rights_that_the_go_program_gives_them(tmp_path: Path) -> None:
    folder = tmp_path / "tungo"
    ClientConfigurations(a_folder(folder)).add("at home", a_client())
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    files.pop(f".{ACTIVE}.lock")
    assert files == {ACTIVE: 0o600, f"{ACTIVE}.at home": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert read_client(folder / ACTIVE, public_key_of) == a_client()


def test_a_configuration_that_the_go_program_has_stored_is_used_to_the_byte(tmp_path: Path) -> None:
    text = CLIENT_FILES[0].read_bytes()
    (tmp_path / f"{ACTIVE}.7").write_bytes(text)
    ClientConfigurations(a_folder(tmp_path)).use("7")
    assert (tmp_path / ACTIVE).read_bytes() == text


def test_files_that_are_no_configurations_are_not_listed(tmp_path: Path) -> None:
    for file in (
        f"{ACTIVE}~", f"{ACTIVE}.bak", f"{ACTIVE}.home.bak", f"{ACTIVE}.home~", f".{ACTIVE}.lock",
        f"{ACTIVE}.", f"x{ACTIVE}.y", "server_configuration.json", "tui.json",
    ):  # fmt: skip
        (tmp_path / file).write_text("{}")
    (tmp_path / os.fsdecode(b"client_configuration.json.\xff")).write_text("{}")
    (tmp_path / f"{ACTIVE}.home").write_text("{}")
    assert a_folder(tmp_path).names() == ("home",)


def test_a_link_to_a_stored_configuration_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    kept = ClientConfigurations(a_folder(tmp_path))
    kept.add("home", a_client())
    (tmp_path / f"{ACTIVE}.go").write_bytes(CLIENT_FILES[0].read_bytes())
    (tmp_path / ACTIVE).unlink()
    (tmp_path / ACTIVE).symlink_to(tmp_path / f"{ACTIVE}.home")
    kept.use("go")
    assert kept.one("home").settings == a_client()
    assert not (tmp_path / ACTIVE).is_symlink()


def test_an_active_file_that_is_not_even_text_is_kept_when_another_takes_its_place(tmp_path: Path) -> None:
    kept = ClientConfigurations(a_folder(tmp_path))
    kept.add("home", a_client())
    (tmp_path / ACTIVE).write_bytes(b"\xff\x00")
    assert kept.all()[0].problems == (f"{tmp_path / ACTIVE} is not UTF-8 text at byte 0.",)
    assert kept.use("home") == "previous"
    assert (tmp_path / f"{ACTIVE}.previous").read_bytes() == b"\xff\x00"


def test_what_is_no_regular_file_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{ACTIVE}.pipe")
    (tmp_path / f"{ACTIVE}.folder").mkdir()
    (tmp_path / f"{ACTIVE}.dangling").symlink_to(tmp_path / "nowhere")
    problems = {one.name: one.problems for one in ClientConfigurations(a_folder(tmp_path)).all()}
    assert "not a regular file" in problems["pipe"][0]
    assert "not a regular file" in problems["folder"][0]
    assert "does not exist" in problems["dangling"][0]


def test_nobody_changes_anything_while_another_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ClientConfigurations(a_folder(tmp_path))
    kept.add("home", a_client())
    with exclusive_lock(tmp_path / ACTIVE):
        monkeypatch.setattr(
            "infrastructure.pal.configuration.client_store.exclusive_lock",
            lambda path: exclusive_lock(path, timeout_s=0.01),
        )
        with pytest.raises(ConfigurationError, match="being changed by another process"):
            kept.rename("home", "flat")
    kept.rename("home", "flat")
    assert [one.name for one in kept.all()] == ["flat"]


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for act in (a_folder(file).names, lambda: ClientConfigurations(a_folder(file)).add("home", a_client())):
        with pytest.raises(ConfigurationError, match=str(file)):
            act()
