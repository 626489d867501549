"""Looking at everything that a tunnel needs of this host, and saying what to do about the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from application.diagnosis.finding import Examined, Finding
from application.runtime.rights import MissingRightsError

# Ours: more than any of them takes with a server that is far away, less than a person waits for all of them.
LONGEST_CHECK_S: Final = 12.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at: the port to what knows the host.

    ``examine`` changes nothing on it, and returns a finding at least. It raises MissingRightsError where this
    process may not look, and any other exception where looking failed.
    """

    subject: str  # a word or two
    examine: Callable[[], Awaitable[Sequence[Finding]]]


async def diagnose(checks: Iterable[Check], longest_check_s: float = LONGEST_CHECK_S) -> list[Examined]:
    """What all of ``checks`` find, in their order.

    They look at the same time, for most of them wait. One that fails, or that takes longer than
    ``longest_check_s``, keeps no other one from it: it becomes a warning.
    """
    return list(await asyncio.gather(*(_examined(check, longest_check_s) for check in checks)))


async def _examined(check: Check, longest_check_s: float) -> Examined:
    try:
        async with asyncio.timeout(longest_check_s):
            findings = await check.examine()
    except TimeoutError:
        findings = [
            Finding.warning(
                f"looking at it took longer than {longest_check_s:.0f} seconds",
                "look whether the host is overloaded or the network slow, and run this again",
            )
        ]
    except MissingRightsError as error:
        findings = [
            Finding.warning(f"it could not be looked at: {_sentence(error)}", "run this as root to know")
        ]
    except Exception as error:  # whatever it is, the other checks are still of use
        findings = [
            Finding.warning(
                f"looking at it failed: {_sentence(error) or type(error).__name__}",
                "put that right first, and run this again",
            )
        ]
    return Examined(check.subject, tuple(findings))


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".")
