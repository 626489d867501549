"""No check keeps another one from being made, whatever becomes of it."""

import asyncio
from collections.abc import Sequence

from application.diagnosis.diagnose import Check, diagnose
from application.diagnosis.finding import Examined, Finding, Severity
from application.network.routing.tun import TunForbiddenError

FINE = Finding.ok("fine")
BAD = Finding.problem("bad", "do something")


def finding(*findings: Finding) -> Check:
    async def examine() -> Sequence[Finding]:
        return findings

    return Check("this", examine)


def raising(error: Exception) -> Check:
    async def examine() -> Sequence[Finding]:
        raise error

    return Check("that", examine)


def examined(*checks: Check, longest_check_s: float = 5.0) -> list[Examined]:
    return asyncio.run(diagnose(checks, longest_check_s))


def test_what_the_checks_find_stands_in_their_order() -> None:
    assert examined(finding(FINE), finding(BAD, FINE)) == [
        Examined("this", (FINE,)),
        Examined("this", (BAD, FINE)),
    ]


def test_they_look_at_the_same_time() -> None:
    met = asyncio.Barrier(3)

    async def meet() -> Sequence[Finding]:
        await met.wait()
        return [FINE]

    assert len(examined(*[Check("x", meet)] * 3)) == 3


def test_a_check_that_may_not_look_says_who_may() -> None:
    [found, after] = examined(raising(TunForbiddenError("no permission here.")), finding(FINE))
    assert found.findings == (
        Finding.warning("it could not be looked at: no permission here", "run this as root to know"),
    )
    assert after.findings == (FINE,)


def test_a_check_that_fails_is_a_warning_with_the_reason() -> None:
    [found, nameless, after] = examined(raising(OSError(5, "bad disk")), raising(KeyError()), finding(FINE))
    assert [item.severity for item in found.findings] == [Severity.WARNING]
    assert "bad disk" in found.findings[0].text
    assert "KeyError" in nameless.findings[0].text
    assert after.findings == (FINE,)


def test_a_check_that_does_not_end_is_given_up() -> None:
    async def never() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return [FINE]

    [found, after] = examined(Check("slow", never), finding(FINE), longest_check_s=0.01)
    assert found.findings[0].severity is Severity.WARNING
    assert "took longer" in found.findings[0].text
    assert after.findings == (FINE,)


def test_only_problems_are_problems() -> None:
    assert not Examined("x", (FINE, Finding.warning("a", "b"))).has_problems
    assert Examined("x", (FINE, BAD)).has_problems
