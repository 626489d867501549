from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.settings.profile import TransportProtocol
from infrastructure.pal.linux.journal import STATE_FOLDER_VARIABLE
from tests.netns.bed import Namespace
from tests.netns.tungo_program import Tungo
from tests.netns.tunnel_bed import Folders, TunnelBed, make_folders, opened_tunnel_bed


@pytest.fixture(scope="module", autouse=True)
def _journals_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals are named after network namespaces, whose numbers the kernel gives out again.

    So what a test has killed would look like a forgotten change of whoever gets the number next.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def transport() -> TransportProtocol:
    """What the tunnel runs over; ``over`` makes another one for a module."""
    return TransportProtocol.UDP


@pytest.fixture(scope="module")
def folders(transport: TransportProtocol, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Fresh configurations; a module that wants others changes these in a fixture of the same name."""
    return make_folders(transport, tmp_path_factory.mktemp("configuration"))


@pytest.fixture(scope="module")
def shared_bed(
    transport: TransportProtocol, folders: Folders, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TunnelBed]:
    """One bed for a whole module."""
    with opened_tunnel_bed(transport, folders, tmp_path_factory.mktemp("logs")) as made:
        yield made


@pytest.fixture
def tunnel(shared_bed: TunnelBed) -> TunnelBed:
    """A tunnel that works; tests may kill its ends, the next one starts them again."""
    shared_bed.bring_up()
    return shared_bed


@pytest.fixture
def neighbour(tunnel: TunnelBed, tmp_path: Path) -> Iterator[Namespace]:
    """A host with another client of the same server, connected."""
    host = tunnel.neighbour()
    process = Tungo(host, "client", tunnel.folders.other, tmp_path / "other.log")
    try:
        process.await_log('msg="tunnel is up"')
        yield host
    finally:
        process.stop()


@pytest.fixture
def fresh_bed(transport: TransportProtocol, folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    """A bed in which nothing has been started yet."""
    with opened_tunnel_bed(transport, folders, tmp_path) as made:
        yield made
