"""Several client configurations and the active one."""

from dataclasses import replace

import pytest

from application.client.configurations import (
    LONGEST_NAME_BYTES,
    ClientConfigurations,
    NameTakenError,
    NameUnusableError,
    NotKeptError,
    StillActiveError,
)
from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from domain.settings.client import ClientSettings
from tests.adapters.shelf import MemoryShelf
from tests.domain.settings.samples import a_client

HOME = a_client()
WORK = replace(HOME, client_id=2)


def shelf_with(**configurations: ClientSettings) -> tuple[ClientConfigurations, MemoryShelf]:
    """Configurations under their names; the first is active."""
    shelf = MemoryShelf()
    kept = ClientConfigurations(shelf)
    for name, settings in configurations.items():
        kept.add(name, settings)
    shelf.changes = 0
    return kept, shelf


def active_settings(shelf: MemoryShelf) -> ClientSettings:
    return shelf.settings(None, shelf.read(None))


def test_the_first_configuration_is_active_at_once_and_the_next_is_not() -> None:
    kept, shelf = shelf_with()
    assert kept.add("home", HOME) is True
    assert kept.add("work", WORK) is False
    assert [(one.name, one.active, one.settings) for one in kept.all()] == [
        ("home", True, HOME),
        ("work", False, WORK),
    ]
    assert active_settings(shelf) == HOME


def test_using_another_one_leaves_both_where_they_are() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    assert kept.use("work") is None
    assert active_settings(shelf) == WORK
    assert [(one.name, one.active) for one in kept.all()] == [("home", False), ("work", True)]


def test_a_broken_configuration_cannot_take_the_place_of_a_working_one() -> None:
    kept, shelf = shelf_with(home=HOME)
    shelf.texts["broken"] = b"{"
    with pytest.raises(ConfigurationError, match="broken is not valid"):
        kept.use("broken")
    assert shelf.changes == 0
    assert active_settings(shelf) == HOME


def test_an_active_configuration_without_a_name_gets_one_before_another_takes_its_place() -> None:
    kept, shelf = shelf_with(home=HOME)
    for edited, name in ((b"edited", "previous"), (b"edited again", "previous-2")):
        shelf.texts[None] = edited
        assert kept.use("home") == name
        assert shelf.texts[name] == edited
        assert active_settings(shelf) == HOME


def test_an_active_configuration_without_a_name_is_listed_first() -> None:
    kept, shelf = shelf_with(home=HOME)
    shelf.texts[None] = b"edited"
    nameless, home = kept.all()
    assert (nameless.name, nameless.active, nameless.settings) == (None, True, None)
    assert nameless.problems == ("None is not valid",)
    assert (home.name, home.active) == ("home", False)


def test_adding_what_is_active_gives_it_a_name() -> None:
    kept, shelf = shelf_with(home=HOME)
    shelf.texts = {None: shelf.texts[None]}
    assert kept.add("again", HOME) is True
    assert [(one.name, one.active) for one in kept.all()] == [("again", True)]


def test_a_name_in_use_is_taken_only_by_somebody_who_says_so() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    with pytest.raises(NameTakenError, match="--replace"):
        kept.add("work", HOME)
    assert shelf.changes == 0
    assert kept.add("work", replace(WORK, client_id=9), replaces=True) is False
    assert active_settings(shelf) == HOME


def test_replacing_the_active_one_makes_the_new_one_active() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    newer = replace(HOME, client_id=9)
    assert kept.add("home", newer, replaces=True) is True
    assert active_settings(shelf) == newer
    assert [one.name for one in kept.all()] == ["home", "work"]


@pytest.mark.parametrize(
    "name",
    [
        "", "  ", ".", "..", "a/b", "../../etc/passwd", "a\\b", "a\0b", "a\nb", "\ud800", "bak", "home.bak",
        "home~", "x" * (LONGEST_NAME_BYTES + 1), "é" * LONGEST_NAME_BYTES,
    ],
)  # fmt: skip
def test_a_name_that_is_no_file_of_its_own_is_refused(name: str) -> None:
    kept, shelf = shelf_with(home=HOME)
    with pytest.raises(NameUnusableError):
        kept.add(name, WORK)
    with pytest.raises(NameUnusableError):
        kept.rename("home", name)
    assert shelf.changes == 0


@pytest.mark.parametrize(
    "name", ["3", "vpn.example.org", "2001:db8::1", "at home", "zuhause-ü", "-", "home.json"]
)
def test_other_names_are_free(name: str) -> None:
    kept, _ = shelf_with(first=HOME)
    kept.add(name, WORK)
    assert kept.one(name).settings == WORK


def test_renaming_keeps_the_active_one_active() -> None:
    kept, _ = shelf_with(home=HOME, work=WORK)
    kept.rename("home", " flat ")
    assert [(one.name, one.active) for one in kept.all()] == [("flat", True), ("work", False)]


def test_renaming_replaces_nothing() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    with pytest.raises(NameTakenError):
        kept.rename("home", "work")
    assert shelf.changes == 0


def test_a_configuration_is_removed_but_not_the_active_one() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    with pytest.raises(StillActiveError, match="use another one first"):
        kept.remove("home")
    assert shelf.changes == 0
    kept.remove("work")
    assert [one.name for one in kept.all()] == ["home"]


def test_whoever_insists_removes_the_active_one_and_its_copy() -> None:
    kept, shelf = shelf_with(home=HOME)
    kept.remove("home", even_active=True)
    assert shelf.texts == {}


def test_the_active_one_is_shown_under_its_name() -> None:
    kept, shelf = shelf_with(home=HOME, work=WORK)
    kept.use("work")
    assert kept.one(None).name == "work"
    shelf.texts[None] = b"edited"
    assert kept.one(None).name is None


def test_there_may_be_no_active_one() -> None:
    kept, _ = shelf_with()
    assert kept.all() == ()
    with pytest.raises(ConfigurationMissingError):
        kept.one(None)


def test_a_name_that_nobody_knows_is_told_with_where_to_look() -> None:
    kept, shelf = shelf_with(home=HOME)
    for act in (kept.one, kept.use, kept.remove, lambda name: kept.rename(name, "other")):
        with pytest.raises(NotKeptError, match="tungo client configs list"):
            act("hme")
    assert shelf.changes == 0
