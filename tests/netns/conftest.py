from collections.abc import Iterator

import pytest

from infrastructure.pal.linux.journal import STATE_FOLDER_VARIABLE


@pytest.fixture(scope="module", autouse=True)
def _journals_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals are named after network namespaces, whose numbers the kernel gives out again.

    So what a test has killed would look like a forgotten change of whoever gets the number next.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("state")))
        yield
