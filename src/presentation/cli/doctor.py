"""``tungo doctor``: what stands between this host and a tunnel."""

import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from application.diagnosis.finding import Examined, Finding, Severity
from presentation.cli.commands import ExitStatus, Loaders
from presentation.cli.options import DEFAULT_CONFIG_DIR, ConfigDir
from presentation.cli.output import Json, show_json
from presentation.cli.report import failures_reported, visible

DOCTOR_EPILOG: Final = """\b
Examples:
  tungo doctor                            for what is configured in /etc/tungo
  tungo doctor --config-dir ./lab         for what is configured in ./lab
  tungo doctor --json                     the same for programs

Nothing is changed. Without root it says what it could not look at. The status is 1 if there is a problem."""

_MARKS: Final = {Severity.OK: "✓", Severity.WARNING: "!", Severity.PROBLEM: "✗"}
_PLAIN_MARKS: Final = {Severity.OK: "+", Severity.WARNING: "!", Severity.PROBLEM: "X"}
_COLOURS: Final = {
    Severity.OK: typer.colors.GREEN,
    Severity.WARNING: typer.colors.YELLOW,
    Severity.PROBLEM: typer.colors.RED,
}


def add_doctor(app: typer.Typer, loaders: Loaders) -> None:
    """Give ``app`` the command ``doctor`` over what ``loaders`` loads."""

    @app.command("doctor", epilog=DOCTOR_EPILOG)
    def doctor(config_dir: ConfigDir = DEFAULT_CONFIG_DIR, *, json: Json = False) -> None:
        """Look for what keeps server or client from working on this host, and say what to do."""
        with failures_reported():
            diagnosis = loaders.doctor().diagnose(config_dir)
            if json:
                show_json(
                    {"findings": [_as_json(examined, finding) for examined, finding in _each(diagnosis)]}
                )
            else:
                _tell(diagnosis)
            if any(examined.has_problems for examined in diagnosis):
                raise typer.Exit(ExitStatus.FAILURE)


def _tell(diagnosis: Sequence[Examined]) -> None:
    """One line for each finding, the advice below."""
    width = max(len(examined.subject) for examined in diagnosis)
    for examined, finding in _each(diagnosis):
        typer.echo(f"{_mark(finding.severity)} {examined.subject.ljust(width)}  {visible(finding.text)}")
        if finding.advice:
            typer.echo(f"{' ' * (width + 4)}{visible(finding.advice)}")


def _mark(severity: Severity) -> str:
    """As good a mark as standard output can show."""
    mark = _MARKS[severity]
    try:
        mark.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        mark = _PLAIN_MARKS[severity]
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return mark
    return typer.style(mark, fg=_COLOURS[severity], bold=True)


def _each(diagnosis: Sequence[Examined]) -> list[tuple[Examined, Finding]]:
    return [(examined, finding) for examined in diagnosis for finding in examined.findings]


def _as_json(examined: Examined, finding: Finding) -> dict[str, object]:
    return {
        "check": examined.subject,
        "severity": finding.severity.value,
        "text": finding.text,
        "advice": finding.advice,
    }
