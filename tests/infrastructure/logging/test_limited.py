"""A peer that can cause records cannot cause many."""

from infrastructure.logging.limited import BURST, RECORDS_PER_S, STRANGER_PERIOD_S, LimitedEventLog
from tests.adapters.clock import FakeClock
from tests.adapters.log import RememberingLog


def test_what_happens_now_and_then_passes_unchanged() -> None:
    inner, clock = RememberingLog(), FakeClock()
    log = LimitedEventLog(inner, clock)
    log.info("client connected", client_id=1)
    log.warning("cannot connect", reason="x")
    log.error("broken")
    assert [(event.level, event.message, event.fields) for event in inner.events] == [
        ("info", "client connected", {"client_id": 1}),
        ("warning", "cannot connect", {"reason": "x"}),
        ("error", "broken", {}),
    ]


def test_a_flood_is_cut_and_the_next_record_tells_how_much_was() -> None:
    inner, clock = RememberingLog(), FakeClock()
    log = LimitedEventLog(inner, clock)
    for _ in range(10_000):
        log.info("client moved", client_id=1)
    assert len(inner.events) == BURST
    clock.advance(1 / RECORDS_PER_S)
    for _ in range(10_000):
        log.info("client moved", client_id=1)
    assert len(inner.events) == BURST + 1
    assert inner.events[BURST].fields == {"client_id": 1, "suppressed": 10_000 - BURST}


def test_a_flood_of_one_message_does_not_silence_another() -> None:
    inner = RememberingLog()
    log = LimitedEventLog(inner, FakeClock())
    for _ in range(10_000):
        log.info("client moved", client_id=1)
    log.info("client moved", client_id=2)
    log.info("session revoked", client_id=1)
    assert [event.fields["client_id"] for event in inner.events[-2:]] == [2, 1]


def test_errors_are_never_held_back() -> None:
    inner = RememberingLog()
    log = LimitedEventLog(inner, FakeClock())
    for _ in range(1000):
        log.error("the changed configuration is not used")
    assert len(inner.events) == 1000


def test_a_stranger_is_told_of_once_a_minute_and_others_are_still_told_of() -> None:
    inner, clock = RememberingLog(), FakeClock()
    log = LimitedEventLog(inner, clock)
    for _ in range(5):
        log.info("connection ended", source="192.0.2.1", reason="x")
    log.info("connection ended", source="192.0.2.2", reason="x")
    assert [event.fields["source"] for event in inner.events] == ["192.0.2.1", "192.0.2.2"]
    clock.advance(STRANGER_PERIOD_S)
    log.info("connection ended", source="192.0.2.1", reason="x")
    assert len(inner.events) == 3


def test_a_thousand_strangers_share_one_budget() -> None:
    inner = RememberingLog()
    log = LimitedEventLog(inner, FakeClock())
    for number in range(10_000):
        log.info("connection ended", source=f"2001:db8::{number:x}", reason="x")
    assert len(inner.events) == BURST
