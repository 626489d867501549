import pytest

from domain.noise.keys import Role, SessionId
from domain.session.identifiers import Epoch
from domain.session.nonce import (
    COUNTER_LOW_BITS,
    DATAGRAM_HEADER,
    LAST_COUNTER,
    NONCE,
    NonceExhaustedError,
    SendCounter,
    associated_data_prefix,
)


def test_the_header_is_twenty_bytes_and_its_last_twelve_are_the_nonce() -> None:
    header = DATAGRAM_HEADER.pack(b"ROUTE-ID", 0x0102030405060708, 0x090A, 0x0B0C)

    assert header == b"ROUTE-ID" + bytes(range(1, 13))
    assert header[8:] == NONCE.pack(0x0102030405060708, 0x090A, 0x0B0C)


def test_the_last_counter_fills_both_fields() -> None:
    assert LAST_COUNTER >> COUNTER_LOW_BITS == 0xFFFF


def test_a_counter_is_advanced_before_use() -> None:
    counter = SendCounter(Epoch(0))

    assert counter.reserve(3) == 0  # counters 1, 2, 3
    assert counter.reserve(0) == 3
    assert counter.reserve(1) == 3  # counter 4
    assert counter.reserve(1) == 4


def test_the_last_counter_is_used_and_none_after_it() -> None:
    counter = SendCounter(Epoch(7), last=LAST_COUNTER - 1)

    assert counter.reserve(1) == LAST_COUNTER - 1
    with pytest.raises(NonceExhaustedError) as refused:
        counter.reserve(1)
    assert refused.value.epoch == 7
    assert "epoch 7" in str(refused.value)


def test_a_counter_may_have_an_earlier_end() -> None:
    counter = SendCounter(Epoch(0), end=3)

    assert counter.reserve(3) == 0
    with pytest.raises(NonceExhaustedError):
        counter.reserve(1)


def test_a_reservation_that_is_too_large_takes_nothing() -> None:
    counter = SendCounter(Epoch(0), last=LAST_COUNTER - 2)

    with pytest.raises(NonceExhaustedError):
        counter.reserve(3)

    assert counter.reserve(2) == LAST_COUNTER - 2


def test_the_additional_data_names_the_session_and_the_sender() -> None:
    session_id = SessionId(bytes(range(32)))

    assert associated_data_prefix(session_id, Role.CLIENT) == session_id + b"client-to-server"
    assert associated_data_prefix(session_id, Role.SERVER) == session_id + b"server-to-client"
