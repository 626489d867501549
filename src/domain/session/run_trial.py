"""Whether runs themselves get lost: a kernel or a driver that corrupts what it takes apart.

Such a loss shows nowhere on this host: every run is taken, and the other end drops what does not
authenticate. It differs from the loss of a path in one thing only, that it ends when every datagram is sent
by itself. So that is tried, once the loss has lasted::

    watching ---- most reports of some seconds are lossy ----> trying: one by one
    trying   ---- the loss goes on --> resting: runs again, and no other trial for long --> watching
    trying   ---- the loss has ended --> settled: one by one, as long as the session lasts

The frames shrink while datagrams get lost, and a frame of one datagram is no run: when they were that short,
a report without loss says nothing about runs. What is taken for the same thing is a loss that happens to end
in the same seconds; that costs speed. What is not found is the loss of everything there is, since then there
are no reports.
"""

from collections.abc import Callable
from typing import Final

# All of them ours. A report stands for a second of traffic, about.
LOSSY_PERCENT: Final = 5  # paths that lose more than this are rare, and hardly usable
SUSPICION: Final = 6  # two for each lossy report, one less for each other
LEAST_MISSING: Final = 20  # below it, chance decides
TRIAL_REPORTS: Final = 8
ENDED_SHARE: Final = 10  # the loss has ended if a tenth of it is left
REST_REPORTS: Final = 600


class RunTrial:
    """``in_runs`` says whether datagrams may be sent in runs now; feed it every report of the other end.

    ``on_settled`` is called when runs have been found to get lost; nothing changes any more then.
    """

    __slots__ = (
        "_is_settled",
        "_missing",
        "_on_settled",
        "_reports",
        "_resting",
        "_suspected",
        "_suspicion",
        "_total",
        "in_runs",
    )

    def __init__(self, on_settled: Callable[[], None]) -> None:
        self._on_settled = on_settled
        self.in_runs = True
        self._is_settled = False
        self._suspected = (0, 0)  # datagrams in all and missing ones, while there were runs
        self._resting = 0  # reports that mean nothing
        self._begin()

    def report(self, received: int, missing: int, *, frames_were_runs: bool) -> None:
        """The other end's count of a second, and whether frames spanned several datagrams in it.

        One that says that nothing arrived says nothing.
        """
        if self._is_settled or received == 0:
            return
        if self._resting:
            self._resting -= 1
            return
        if self.in_runs:
            self._watch(received, missing, frames_were_runs=frames_were_runs)
        else:
            self._try(received, missing)

    def _begin(self) -> None:
        self._suspicion = self._reports = self._total = self._missing = 0

    def _count(self, received: int, missing: int) -> None:
        self._reports += 1
        self._total += received + missing
        self._missing += missing

    def _watch(self, received: int, missing: int, *, frames_were_runs: bool) -> None:
        if 100 * missing >= LOSSY_PERCENT * (received + missing):
            self._suspicion += 2
        elif not frames_were_runs:
            return
        elif self._suspicion > 1:
            self._suspicion -= 1
        else:
            self._begin()
            return
        self._count(received, missing)
        if self._suspicion >= SUSPICION and self._missing >= LEAST_MISSING:
            self._suspected = (self._total, self._missing)
            self._begin()
            self._resting = 1  # the next report still counts what was sent in runs
            self.in_runs = False

    def _try(self, received: int, missing: int) -> None:
        self._count(received, missing)
        suspected_total, suspected_missing = self._suspected
        # A line that has fallen quiet loses nothing either.
        if self._reports < TRIAL_REPORTS or self._total < suspected_total:
            return
        if ENDED_SHARE * self._missing * suspected_total <= suspected_missing * self._total:
            self._is_settled = True
            self._on_settled()
            return
        self._begin()
        self.in_runs = True
        self._resting = REST_REPORTS
