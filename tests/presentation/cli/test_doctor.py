"""How a diagnosis is told, with the doctor's answers made up."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from application.diagnosis.finding import Examined, Finding
from presentation.cli.app import build_app
from presentation.cli.commands import DoctorCommands, ExitStatus
from tungo.__main__ import LOADERS

WELL = Examined("nft", (Finding.ok("nft can read the firewall rules"),))
WORRYING = Examined("TUN device", (Finding.warning("it could not be looked at", "run this as root to know"),))
ILL = Examined("ports", (Finding.ok("UDP port 9090 is free"), Finding.problem("80 is taken", "free it")))


class MadeUpDoctor:
    """Answers with what it was given."""

    def __init__(self, diagnosis: Sequence[Examined]) -> None:
        self.diagnosis = diagnosis
        self.folders: list[str] = []

    def diagnose(self, config_dir: str) -> Sequence[Examined]:
        """See DoctorCommands."""
        self.folders.append(config_dir)
        return self.diagnosis


def run(doctor: MadeUpDoctor, *arguments: str) -> Result:
    load: Callable[[], DoctorCommands] = lambda: doctor  # noqa: E731 - the loader is typed by its name
    return CliRunner().invoke(build_app(replace(LOADERS, doctor=load), "1.2.3"), ["doctor", *arguments])


def test_each_finding_is_a_line_with_a_mark_and_its_advice_below() -> None:
    assert run(MadeUpDoctor([WELL, WORRYING, ILL])).stdout.splitlines() == [
        "✓ nft         nft can read the firewall rules",
        "! TUN device  it could not be looked at",
        "              run this as root to know",
        "✓ ports       UDP port 9090 is free",
        "✗ ports       80 is taken",
        "              free it",
    ]


@pytest.mark.parametrize(
    ("diagnosis", "status"),
    [([WELL], ExitStatus.OK), ([WELL, WORRYING], ExitStatus.OK), ([ILL, WELL], ExitStatus.FAILURE)],
)
def test_the_status_tells_whether_there_is_a_problem(diagnosis: list[Examined], status: ExitStatus) -> None:
    assert run(MadeUpDoctor(diagnosis)).exit_code == status
    assert run(MadeUpDoctor(diagnosis), "--json").exit_code == status


def test_programs_get_json() -> None:
    assert json.loads(run(MadeUpDoctor([WELL, ILL]), "--json").stdout) == {
        "findings": [
            {"check": "nft", "severity": "ok", "text": "nft can read the firewall rules", "advice": ""},
            {"check": "ports", "severity": "ok", "text": "UDP port 9090 is free", "advice": ""},
            {"check": "ports", "severity": "problem", "text": "80 is taken", "advice": "free it"},
        ]
    }


def test_what_a_finding_quotes_cannot_move_the_cursor() -> None:
    quoting = Examined("x", (Finding.problem("\x1b[2J", "a\nb"),))
    assert run(MadeUpDoctor([quoting])).stdout == "✗ x  \\x1b[2J\n     a\\nb\n"


def test_it_looks_where_the_option_says() -> None:
    doctor = MadeUpDoctor([WELL])
    run(doctor, "--config-dir", "/lab")
    assert doctor.folders == ["/lab"]
