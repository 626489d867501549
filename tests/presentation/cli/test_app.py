import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner, Result

from application.runtime.log import LogLevel
from domain.settings.profile import TransportProtocol
from presentation.cli.administration import GeneratedClient
from presentation.cli.app import build_app
from presentation.cli.commands import CleanUp, CommandError, ExitStatus, Loaders
from presentation.cli.options import CONFIG_DIR_VARIABLE
from tests.adapters.commands import RecordedCommands

Tungo = Callable[[str], Result]


@pytest.mark.parametrize("name", ["server", "s"])
def test_server_without_a_sub_command_serves(name: str, tungo: Tungo, commands: RecordedCommands) -> None:
    assert tungo(name).exit_code == 0
    assert commands.calls == [("server", "/etc/tungo", LogLevel.INFO)]


@pytest.mark.parametrize("name", ["client", "c"])
def test_client_connects(name: str, tungo: Tungo, commands: RecordedCommands) -> None:
    assert tungo(name).exit_code == 0
    assert commands.calls == [("client", "/etc/tungo", LogLevel.INFO)]


@pytest.mark.parametrize("role", ["server", "client"])
def test_options_choose_the_folder_and_the_level(role: str, tungo: Tungo, commands: RecordedCommands) -> None:
    assert tungo(f"{role} --config-dir /lab --log-level warning").exit_code == 0
    assert commands.calls == [(role, "/lab", LogLevel.WARNING)]


@pytest.mark.parametrize("role", ["server", "client"])
def test_an_option_chooses_how_log_lines_look(role: str, tungo: Tungo, commands: RecordedCommands) -> None:
    assert tungo(f"{role} --log-format json").exit_code == 0
    assert commands.calls == [(role, "/etc/tungo", LogLevel.INFO, "json")]


def test_the_kill_switch_can_be_asked_for_on_the_command_line(
    tungo: Tungo, commands: RecordedCommands
) -> None:
    assert tungo("client --kill-switch").exit_code == 0
    assert commands.calls == [("client", "/etc/tungo", LogLevel.INFO, "kill switch")]


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("server cleanup", "server"),
        ("s cleanup", "server"),
        ("client cleanup", "client"),
        ("c cleanup", "client"),
        ("client --config-dir /lab cleanup", "client"),
    ],
)
def test_cleanup_is_for_one_role_and_starts_nothing(
    line: str, role: str, tungo: Tungo, commands: RecordedCommands
) -> None:
    result = tungo(line)
    assert (result.exit_code, result.stdout) == (0, "there is nothing to take back\n")
    assert commands.calls == [("clean up", role)]


def test_cleanup_says_what_it_took_back(tungo: Tungo, commands: RecordedCommands) -> None:
    commands.cleaned_up = CleanUp(undone=("the firewall table inet x", "the kernel setting y"))
    result = tungo("server cleanup")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "took back the firewall table inet x\ntook back the kernel setting y\n"


def test_cleanup_that_meets_a_running_process_fails_with_what_to_do(
    tungo: Tungo, commands: RecordedCommands
) -> None:
    commands.cleaned_up = CleanUp(undone=("the kernel setting y",), running=("stop the client first",))
    result = tungo("client cleanup")
    assert result.exit_code == ExitStatus.FAILURE
    assert (result.stdout, result.stderr) == (
        "took back the kernel setting y\n",
        "tungo: stop the client first\n",
    )


def test_cleanup_that_cannot_take_something_back_says_why_and_fails(
    tungo: Tungo, commands: RecordedCommands
) -> None:
    commands.cleaned_up = CleanUp(failed=("the kernel setting y: read-only",))
    result = tungo("server cleanup")
    assert result.exit_code == ExitStatus.FAILURE
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first == "tungo: could not take back the kernel setting y: read-only"
    assert "run this again" in second


@pytest.mark.parametrize(
    ("was_locked", "said"), [(True, "the kill switch is off"), (False, "the kill switch was not on")]
)
def test_unlock_says_whether_there_was_a_kill_switch(
    was_locked: bool, said: str, tungo: Tungo, commands: RecordedCommands
) -> None:
    commands.was_locked = was_locked
    result = tungo("client unlock")
    assert (result.exit_code, result.stdout) == (0, f"{said}\n")
    assert commands.calls == [("unlock",)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("server gen", ("generate", "/etc/tungo", None, None, None)),
        ("s gen", ("generate", "/etc/tungo", None, None, None)),
        ("server gen --config-dir /lab", ("generate", "/lab", None, None, None)),
        ("server --config-dir /lab gen", ("generate", "/lab", None, None, None)),
        ("server --config-dir /lab gen --config-dir /other", ("generate", "/other", None, None, None)),
        (
            "server gen --host vpn.example.org --name phone --protocol tcp",
            ("generate", "/etc/tungo", "vpn.example.org", TransportProtocol.TCP, "phone"),
        ),
    ],
)
def test_gen_takes_its_options_wherever_they_stand(
    line: str, expected: tuple[str | TransportProtocol | None, ...], tungo: Tungo, commands: RecordedCommands
) -> None:
    assert tungo(line).exit_code == 0
    assert commands.calls == [expected]


@pytest.mark.parametrize("protocol", TransportProtocol)
def test_gen_takes_the_protocol_in_any_case(
    protocol: TransportProtocol, tungo: Tungo, commands: RecordedCommands
) -> None:
    for written in (protocol.value, protocol.value.lower(), protocol.value.capitalize()):
        assert tungo(f"server gen --protocol {written}").exit_code == 0
        assert commands.calls.pop() == ("generate", "/etc/tungo", None, protocol, None)


@pytest.mark.parametrize("line", ["server", "client", "server gen"])
def test_the_environment_names_the_folder(
    line: str, tungo: Tungo, commands: RecordedCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, "/from/environment")
    assert tungo(line).exit_code == 0
    assert commands.calls[0][1] == "/from/environment"


def test_gen_prints_the_configuration_and_nothing_else_on_standard_output(
    tungo: Tungo, commands: RecordedCommands
) -> None:
    commands.generated = GeneratedClient(
        '{"ClientID": 7}', 7, ("the address is private", "restart the server")
    )
    result = tungo("server gen")
    assert result.stdout == '{"ClientID": 7}\n'
    assert result.stderr == "tungo: the address is private\ntungo: restart the server\n"


def test_gen_writes_a_new_file_that_only_its_owner_can_read(tungo: Tungo, tmp_path: Path) -> None:
    file = tmp_path / "laptop.json"
    result = tungo(f"server gen --output {file}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_text(encoding="utf-8") == '{\n  "ClientID": 7\n}\n'
    assert file.stat().st_mode & 0o777 == 0o600
    assert result.stderr == f"tungo: client 7 is in {file}\n"


def test_gen_does_not_admit_a_client_whose_file_cannot_be_stored(
    tungo: Tungo, commands: RecordedCommands, tmp_path: Path
) -> None:
    file = tmp_path / "laptop.json"
    file.write_text("another key", encoding="utf-8")
    result = tungo(f"server gen --output {file}")
    assert result.exit_code == ExitStatus.FAILURE
    assert result.stderr == f"tungo: {file} exists already; remove it or choose another name\n"
    assert file.read_text(encoding="utf-8") == "another key"
    assert commands.calls == []


def test_gen_says_so_when_a_client_is_admitted_and_its_file_is_lost(
    tungo: Tungo, commands: RecordedCommands, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # From here on, files cannot grow: as on a full disk.
    commands.before_generating = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    file = tmp_path / "laptop.json"
    try:
        result = tungo(f"server gen --output {file}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == ExitStatus.FAILURE
    assert result.stderr == (
        f"tungo: client 7 is admitted, but {file} cannot be written: File too large; "
        "'tungo server peers regenerate 7' makes its configuration anew\n"
    )
    assert not file.exists()


def test_gen_leaves_no_file_behind_when_it_fails(
    tungo: Tungo, commands: RecordedCommands, tmp_path: Path
) -> None:
    commands.failure = CommandError("the subnet is full")
    result = tungo(f"server gen --output {tmp_path}/laptop.json")
    assert result.exit_code == ExitStatus.FAILURE
    assert list(tmp_path.iterdir()) == []


def test_every_exit_status_is_told_of(tungo: Tungo) -> None:
    [line] = [line for line in tungo("--help").stdout.splitlines() if "Exit status:" in line]
    assert {int(number) for number in re.findall(r"\d+", line)} == set(ExitStatus)


@pytest.mark.parametrize("output", [False, True])
def test_a_configuration_that_is_too_long_for_a_code_is_there_as_a_link(
    output: bool, tungo: Tungo, commands: RecordedCommands, tmp_path: Path
) -> None:
    link = "tungo://" + "a" * 3000
    commands.generated = GeneratedClient("{}", 7, link=link)
    result = tungo(f"server gen --qr {f'--output {tmp_path}/laptop.json' if output else ''}")
    assert (result.exit_code, result.stdout) == (0, f"{link}\n")
    assert result.stderr.startswith("tungo: 3008 characters are too many for a QR code; use the link\n")


def test_version_is_one_line(tungo: Tungo) -> None:
    assert tungo("version").stdout == "tungo 1.2.3\n"


def test_neither_version_nor_help_loads_the_commands() -> None:
    def never() -> NoReturn:
        pytest.fail("the commands were loaded")

    app = build_app(Loaders(never, never, never, never, never), "1.2.3")
    for line in (
        ["version"],
        ["--help"],
        ["server", "--help"],
        ["server", "gen", "--help"],
        ["client", "--help"],
        ["client", "cleanup", "--help"],
        ["server", "peers", "regenerate", "--help"],
        ["client", "configs", "add", "--help"],
        ["config", "check", "--help"],
        ["doctor", "--help"],
    ):
        assert CliRunner().invoke(app, line).exit_code == 0


@pytest.mark.parametrize(
    "line", ["--help", "server --help", "server gen --help", "client --help", "demo --help"]
)
def test_help_shows_examples_line_by_line(line: str, tungo: Tungo) -> None:
    result = tungo(line)
    assert result.exit_code == 0
    assert "\b" not in result.stdout
    assert any(shown.startswith("  ") for shown in result.stdout.split("Options:")[1].splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "server nonsense",
        "server gen extra",
        "server gen --protocol quic",
        "client extra",
        "client cleanup extra",
        "client --log-level loud",
        "client --log-format xml",
        "client --no-such-option",
        "demo --size 0",
        "demo --transport pigeon",
    ],
)
def test_wrong_usage_has_its_own_status_and_runs_nothing(
    line: str, tungo: Tungo, commands: RecordedCommands
) -> None:
    result = tungo(line)
    assert result.exit_code == ExitStatus.USAGE
    assert "Usage: " in result.stderr
    assert commands.calls == []


@pytest.mark.parametrize(
    "line", ["server", "client", "server gen", "server cleanup", "client cleanup", "client unlock"]
)
@pytest.mark.parametrize("status", [ExitStatus.FAILURE, ExitStatus.USAGE, ExitStatus.NO_RIGHTS])
def test_a_failed_command_is_one_sentence_and_its_status(
    line: str, status: ExitStatus, tungo: Tungo, commands: RecordedCommands
) -> None:
    commands.failure = CommandError("no /dev/net/tun here", status)
    result = tungo(line)
    assert result.exit_code == status
    assert (result.stdout, result.stderr) == ("", "tungo: no /dev/net/tun here\n")
