"""The story of a stand-in for tungo, told with real namespaces, TUN devices and a real cable."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from presentation.demo.account import Account
from presentation.demo.errors import DemoError
from presentation.demo.story import TUNGO, play

STAND_IN = (sys.executable, str(Path(__file__).parents[2] / "adapters" / "plain_tunnel.py"))

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("network_rights")]


def titles(account: io.StringIO) -> list[str]:
    """The steps that the account tells, ``!`` in front of one that failed."""
    steps = []
    for line in account.getvalue().splitlines():
        mark, title = line[:6].strip(), line[6:].strip().split("  ")[0]
        if mark in {"ok", "FAILED"}:
            steps.append(title if mark == "ok" else f"!{title}")
    return steps


def test_a_tunnel_that_works_passes_every_step() -> None:
    account = io.StringIO()
    play(2, STAND_IN, Account(account))
    assert titles(account) == [
        *("test bed", "no tunnel yet", "server gen", "tunnel up", "ping", "ping", "on the cable"),
        *("transfer", "on the cable", "memory", "stop", "left behind", "removed"),
    ]
    assert account.getvalue().endswith("\nAll of it worked.\n")


@pytest.mark.parametrize("transport", ["tcp", "ws", "wss"])
def test_tungo_itself_passes_every_step_over_streams(transport: str) -> None:
    account = io.StringIO()
    play(2, TUNGO, Account(account), transport)
    assert account.getvalue().endswith("\nAll of it worked.\n")


@pytest.mark.parametrize(
    ("mischief", "step", "complaint"),
    [
        ("clear", "on the cable", "20 with a ping in clear"),
        ("litter", "left behind", "table ip plain"),
        ("crash", "tunnel up", "the client ended by itself"),
    ],
)
def test_a_tunnel_that_misbehaves_fails_the_step_that_checks_it(
    mischief: str, step: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_TUNNEL", mischief)
    account = io.StringIO()
    with pytest.raises(DemoError, match=complaint):
        play(1, STAND_IN, Account(account))
    assert titles(account)[-1] == f"!{step}"
    assert "The last lines of the client:" in account.getvalue()


def test_an_interrupted_story_cleans_up() -> None:
    program = (
        "import sys\n"
        "from presentation.demo.account import Account\n"
        "from presentation.demo.story import play\n"
        "from presentation.demo.errors import DemoInterruptedError\n"
        "try:\n    play(4000, sys.argv[1:], Account(sys.stdout))\n"
        "except DemoInterruptedError as error:\n    print(error)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *STAND_IN], stdout=subprocess.PIPE, text=True
    ) as story:
        assert story.stdout is not None
        told = ""
        while "tunnel up" not in told:
            line = story.stdout.readline()
            assert line, told
            told += line
        story.send_signal(signal.SIGINT)
        told += story.communicate(timeout=60)[0]
    assert "interrupted by SIGINT" in told.splitlines()[-1]
    assert story.returncode == 0
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"tungo-demo-{story.pid}-" not in namespaces
