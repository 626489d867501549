"""Peers and configurations changed on the command line while a real tunnel is up."""

import json
from pathlib import Path
from typing import Final

import pytest

from domain.settings.profile import TransportProtocol
from presentation.cli.commands import ExitStatus
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import RECONNECT_S, SERVER, TunnelBed, make_folders, opened_tunnel_bed
from tests.presentation.cli.files import run

pytestmark = pytest.mark.netns

# A server looks at its file once a second, or is told at once.
EFFECT_S: Final = 5.0
# A client that was cut off over UDP notices when nothing has come for 15 s.
NOTICE_S: Final = 15.0


def revocations(bed: TunnelBed) -> int:
    return bed.server_process.log.count('msg="session revoked"')


def peers(bed: TunnelBed, *arguments: str | Path) -> None:
    result = run("server", "peers", *arguments, "--config-dir", bed.folders.server)
    assert result.exit_code == ExitStatus.OK, result.stderr


def assert_cut_off(bed: TunnelBed, times: int) -> None:
    assert eventually(lambda: revocations(bed) == times, EFFECT_S), bed.server_process.log
    assert not bed.answers(bed.server_in_tunnel)


def test_a_running_server_does_what_the_command_line_says_of_a_peer(tmp_path: Path) -> None:
    folders = make_folders(TransportProtocol.UDP, tmp_path)
    document = json.loads((folders.client / "client_configuration.json").read_text("utf-8"))
    number = str(document["ClientID"])
    with opened_tunnel_bed(TransportProtocol.UDP, folders, tmp_path) as bed:
        bed.bring_up()
        peers(bed, "rename", number, "laptop")
        peers(bed, "disable", "laptop")
        assert_cut_off(bed, 1)
        peers(bed, "enable", "laptop")
        bed.await_answer(NOTICE_S + RECONNECT_S)

        renewed = tmp_path / "renewed.json"
        peers(bed, "regenerate", "laptop", "--host", SERVER, "--output", renewed)
        assert_cut_off(bed, 2)

        # The client takes up its new configuration, with which it is let in at once.
        bed.client_process.stop()
        for command in (("add", renewed), ("use", "renewed")):
            result = run("client", "configs", *command, "--config-dir", folders.client)
            assert result.exit_code == ExitStatus.OK, result.stderr
        bed.bring_up()

        peers(bed, "remove", "laptop")
        assert_cut_off(bed, 3)
