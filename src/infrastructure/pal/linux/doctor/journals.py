"""What the journals tell of killed and of running processes."""

from collections.abc import Sequence

from application.diagnosis.finding import Finding
from infrastructure.pal.linux.journal import Entry, JournalFolder
from infrastructure.pal.linux.recovery import REMEDIES


async def examine_journals(journals: JournalFolder) -> Sequence[Finding]:
    """Raises JournalError, MissingRightsError."""
    findings: list[Finding] = []
    for state in journals.states():
        if state.is_running:
            findings.append(Finding.ok(f"a {state.role} runs on {state.interface} (process {state.process})"))
        elif count := len(state.entries) + sum(map(_is_on_disk, state.void)):
            changes = "one change" if count == 1 else f"{count} changes"
            findings.append(
                Finding.problem(
                    f"a {state.role} that was killed has left {changes} behind, made for {state.interface}",
                    f"run `tungo {state.role} cleanup`, or start the {state.role} again",
                )
            )
    return findings or [Finding.ok("no killed process has left anything behind")]


def _is_on_disk(entry: Entry) -> bool:
    remedy = REMEDIES.get(entry.kind)
    return remedy is not None and remedy.on_disk


def running(journals: JournalFolder, role: str) -> list[str]:
    """The interfaces of running processes of ``role`` (CLIENT, SERVER).

    Raises JournalError, JournalRightsError if this user may not know.
    """
    return [state.interface for state in journals.states() if state.role == role and state.is_running]
