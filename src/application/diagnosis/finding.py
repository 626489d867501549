"""What looking at a host has brought to light."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # it works, or may work, and could be better; or it could not be looked at
    PROBLEM = "problem"  # as it is, something that the configuration asks for does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. ``text`` is a sentence without a full stop; ``advice`` what to do, empty only with OK."""

    severity: Severity
    text: str
    advice: str = ""

    @classmethod
    def ok(cls, text: str) -> "Finding":
        """All is well."""
        return cls(Severity.OK, text)

    @classmethod
    def warning(cls, text: str, advice: str) -> "Finding":
        """Worth knowing."""
        return cls(Severity.WARNING, text, advice)

    @classmethod
    def problem(cls, text: str, advice: str) -> "Finding":
        """To be put right."""
        return cls(Severity.PROBLEM, text, advice)


@dataclass(frozen=True, slots=True)
class Examined:
    """What one check has found."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def has_problems(self) -> bool:
        """Whether anything has to be put right."""
        return any(finding.severity is Severity.PROBLEM for finding in self.findings)
