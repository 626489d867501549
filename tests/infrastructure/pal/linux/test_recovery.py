"""Taking back what killed processes left, with remedies that only write down what they are asked."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from infrastructure.pal.linux import recovery as recovery_module
from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.journal import CLIENT, SERVER, Entry, JournalFolder, Json
from infrastructure.pal.linux.recovery import REMEDIES, Recovery, Remedy, clean_up, journal_of
from tests.adapters.log import RememberingLog

ROUTE = Entry("route", {"name": "first"})
RULE = Entry("rule", {"name": "second"})
FILE = Entry("file", {"name": "third"})


class Remedies:
    """``asked`` has the names of what was to be undone, in order; what is in ``stubborn`` cannot be."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stubborn: dict[str, Exception] = {}

    async def undo(self, facts: Mapping[str, Json]) -> None:
        name = str(facts["name"])
        self.asked.append(name)
        if name in self.stubborn:
            raise self.stubborn[name]

    def table(self) -> dict[str, Remedy]:
        return {
            "route": Remedy(self.undo, "the route {name}"),
            "rule": Remedy(self.undo, "the rule {name} of {owner}"),
            "file": Remedy(self.undo, "the file {name}", on_disk=True),
        }


@pytest.fixture
def remedies(monkeypatch: pytest.MonkeyPatch) -> Remedies:
    made = Remedies()
    monkeypatch.setattr(recovery_module, "REMEDIES", made.table())
    return made


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "tungo")


def leave(folder: JournalFolder, *entries: Entry, interface: str = "tun0") -> None:
    """As a killed server leaves its journal."""
    with folder.claimed(SERVER, interface) as journal:
        for entry in entries:
            journal.record(entry.kind, entry.facts)


def cleaned_up(folder: JournalFolder) -> Recovery:
    return asyncio.run(clean_up(folder, SERVER))


def test_the_last_change_is_taken_back_first_and_the_file_vanishes(
    folder: JournalFolder, remedies: Remedies
) -> None:
    leave(folder, ROUTE, RULE, FILE)
    recovery = cleaned_up(folder)
    assert remedies.asked == ["third", "second", "first"]
    # A name whose facts are missing is that of the kind.
    assert recovery.undone == ["the file third", "rule", "the route first"]
    assert folder.interfaces(SERVER) == []
    assert cleaned_up(folder) == Recovery()


@pytest.mark.parametrize("error", [NetworkError("busy"), KeyError("busy"), OSError("busy")])
def test_what_cannot_be_taken_back_keeps_nothing_else_and_is_tried_again(
    folder: JournalFolder, remedies: Remedies, error: Exception
) -> None:
    leave(folder, ROUTE, FILE)
    remedies.stubborn["third"] = error
    recovery = cleaned_up(folder)
    assert recovery.undone == ["the route first"]
    assert [sentence.partition(":")[0] for sentence in recovery.failed] == ["the file third"]
    assert "busy" in recovery.failed[0]
    remedies.stubborn.clear()
    assert cleaned_up(folder).undone == ["the file third"]
    assert folder.interfaces(SERVER) == []


def test_a_kind_of_a_newer_version_is_reported_and_left(folder: JournalFolder, remedies: Remedies) -> None:
    leave(folder, ROUTE, Entry("teleport", {}))
    recovery = cleaned_up(folder)
    assert recovery.undone == ["the route first"]
    assert recovery.failed == ["teleport is nothing that this version knows"]
    assert folder.interfaces(SERVER) == ["tun0"]


def test_what_runs_is_left_alone_and_the_others_are_not(folder: JournalFolder, remedies: Remedies) -> None:
    leave(folder, ROUTE, interface="tun0")
    leave(folder, RULE, interface="tun1")
    with folder.claimed(SERVER, "tun0"):
        recovery = cleaned_up(folder)
    assert remedies.asked == ["second"]
    assert len(recovery.running) == 1
    assert "tun0" in recovery.running[0]


def test_what_a_running_process_needs_as_well_is_left_to_it(
    folder: JournalFolder, remedies: Remedies
) -> None:
    leave(folder, ROUTE, RULE, interface="killed0")
    with folder.claimed(SERVER, "tun1") as running:
        number = running.record(ROUTE.kind, ROUTE.facts)
        assert cleaned_up(folder).undone == ["rule"]
        running.strike(number)
    assert remedies.asked == ["second"]
    assert folder.interfaces(SERVER) == []


def test_after_a_boot_only_what_is_on_the_disk_is_taken_back(
    folder: JournalFolder, remedies: Remedies, tmp_path: Path
) -> None:
    leave(folder, ROUTE, FILE)
    [file] = (tmp_path / "tungo").iterdir()
    began, *rest = file.read_text().splitlines(keepends=True)
    earlier = json.loads(began)
    earlier["began"]["boot"] = "of another day"
    file.write_text("".join([json.dumps(earlier) + "\n", *rest]))
    assert cleaned_up(folder).undone == ["the file third"]
    assert remedies.asked == ["third"]
    assert folder.interfaces(SERVER) == []


def test_the_next_start_takes_back_first_what_the_killed_one_left(
    folder: JournalFolder, remedies: Remedies
) -> None:
    leave(folder, ROUTE, FILE)
    remedies.stubborn["first"] = NetworkError("busy")
    log = RememberingLog()

    async def start() -> list[Entry]:
        async with journal_of(folder, SERVER, "tun0", log) as journal:
            return list(journal.entries.values())

    assert asyncio.run(start()) == [ROUTE]
    assert [(event.level, event.fields) for event in log.events] == [
        ("warning", {"interface": "tun0", "changes": 1}),
        ("error", {"reason": "the route first: busy"}),
    ]


def test_a_start_after_a_clean_end_says_nothing(folder: JournalFolder, remedies: Remedies) -> None:
    log = RememberingLog()

    async def start() -> None:
        async with journal_of(folder, CLIENT, "tun0", log):
            pass

    asyncio.run(start())
    assert log.events == []


@pytest.mark.parametrize("kind", REMEDIES)
def test_every_remedy_refuses_facts_that_make_no_sense(kind: str) -> None:
    with pytest.raises(NetworkError):
        asyncio.run(_undo(kind))


async def _undo(kind: str) -> None:
    await REMEDIES[kind].undo({"name": 7, "key": None, "program": [], "families": 1, "table": "x"})
