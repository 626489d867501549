"""What every shelf of client configurations promises."""

from collections.abc import Callable
from pathlib import Path

import pytest

from application.client.configurations import ConfigurationShelf
from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from infrastructure.pal.configuration.client_store import ClientConfigurationFolder
from tests.adapters.shelf import MemoryShelf
from tests.domain.settings.samples import a_client, public_key_of

MakeShelf = Callable[[Path], ConfigurationShelf]

SHELVES: dict[str, MakeShelf] = {
    "memory": lambda _: MemoryShelf(),
    "folder": lambda folder: ClientConfigurationFolder(folder / "tungo", public_key_of),
}


@pytest.fixture(params=SHELVES)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> ConfigurationShelf:
    return SHELVES[str(request.param)](tmp_path)


def test_at_first_there_is_nothing(shelf: ConfigurationShelf) -> None:
    assert shelf.names() == ()
    for name in (None, "home"):
        with pytest.raises(ConfigurationMissingError):
            shelf.read(name)


def test_what_was_written_is_read(shelf: ConfigurationShelf) -> None:
    with shelf.exclusive():
        shelf.write("home", b"first")
        shelf.write("home", b"second")
        shelf.write(None, b"\xff active")
    assert (shelf.read("home"), shelf.read(None)) == (b"second", b"\xff active")
    assert shelf.names() == ("home",)


def test_names_come_in_the_order_of_people(shelf: ConfigurationShelf) -> None:
    with shelf.exclusive():
        for name in ("10", "home", "2", "9", "bak", "old~"):
            shelf.write(name, b"text")
    assert shelf.names() == ("2", "9", "10", "home")


def test_what_is_renamed_is_found_under_the_new_name_alone(shelf: ConfigurationShelf) -> None:
    with shelf.exclusive():
        shelf.write("home", b"text")
        shelf.rename("home", "flat")
    assert shelf.names() == ("flat",)
    assert shelf.read("flat") == b"text"


def test_what_is_removed_is_gone_and_may_be_removed_again(shelf: ConfigurationShelf) -> None:
    with shelf.exclusive():
        shelf.write("home", b"text")
        for _ in range(2):
            shelf.remove("home")
            shelf.remove(None)
    assert shelf.names() == ()


def test_a_text_says_the_settings_that_it_was_made_of(shelf: ConfigurationShelf) -> None:
    assert shelf.settings("home", shelf.text(a_client())) == a_client()


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b"nonsense"])
def test_a_text_that_is_not_valid_says_nothing(shelf: ConfigurationShelf, text: bytes) -> None:
    with pytest.raises(ConfigurationError):
        shelf.settings("home", text)
