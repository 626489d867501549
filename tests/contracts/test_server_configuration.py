"""What every ServerConfiguration does, whether it keeps the settings in memory or in a file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationMissingError,
    ServerConfiguration,
)
from domain.settings.defaults import default_server_settings
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.store import ServerConfigurationStore
from tests.adapters.configuration import MemoryServerConfiguration
from tests.adapters.log import RememberingLog
from tests.domain.settings.samples import a_server, public_key_of

Empty: TypeAlias = Callable[[Path], ServerConfiguration]


def in_memory(_: Path) -> ServerConfiguration:
    return MemoryServerConfiguration()


def in_a_file(folder: Path) -> ServerConfiguration:
    return ServerConfigurationStore(folder / "tungo" / "server.json", public_key_of, RememberingLog())


@pytest.fixture(params=[in_memory, in_a_file])
def configuration(request: pytest.FixtureRequest, tmp_path: Path) -> ServerConfiguration:
    """One without settings."""
    empty: Empty = request.param
    return empty(tmp_path)


def test_where_nothing_is_nothing_is_loaded_updated_or_created(configuration: ServerConfiguration) -> None:
    for _ in range(2):
        with pytest.raises(ConfigurationMissingError):
            configuration.load()
        with pytest.raises(ConfigurationMissingError):
            configuration.update(lambda settings: settings)


def test_a_fresh_server_is_created_once_and_kept(configuration: ServerConfiguration) -> None:
    assert configuration.load_or_create() == default_server_settings()
    assert configuration.load() == default_server_settings()
    configuration.update(lambda _: a_server())
    assert configuration.load_or_create() == a_server()


def test_an_update_sees_the_present_settings_and_returns_the_new_ones(
    configuration: ServerConfiguration,
) -> None:
    configuration.load_or_create()
    configuration.update(lambda _: a_server())
    updated = configuration.update(lambda settings: replace(settings, host=f"new.{settings.host}"))
    assert updated.host == "new.vpn.example.org"
    assert configuration.load() == updated


def test_settings_that_are_not_valid_replace_nothing(configuration: ServerConfiguration) -> None:
    before = configuration.load_or_create()
    with pytest.raises(ConfigurationError, match="ClientCounter"):
        configuration.update(lambda settings: replace(settings, client_counter=-1))
    assert configuration.load() == before


def test_a_change_that_fails_replaces_nothing_and_fails_as_it_is(configuration: ServerConfiguration) -> None:
    before = configuration.load_or_create()

    def fail(_: ServerSettings) -> ServerSettings:
        raise PermissionError("of the change itself")

    with pytest.raises(PermissionError, match="of the change itself"):
        configuration.update(fail)
    assert configuration.load() == before
    assert configuration.update(lambda settings: settings) == before
