"""Fixtures of more than one part of the tests."""

from collections.abc import Iterator

import pytest

from infrastructure.pal.linux.journal import STATE_FOLDER_VARIABLE
from tests.netns.bed import bed

__all__ = ["bed"]


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The journals of this test run are its own, those of the programs that it starts among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("state") / "tungo"))
        yield
