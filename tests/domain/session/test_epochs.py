import pytest

from domain.session.epochs import RING_EPOCHS, EpochRefusedError, EpochRing
from domain.session.identifiers import Epoch
from tests.adapters.primitives import PlainPrimitives

OPENING = PlainPrimitives().aead(bytes(32))


def ring_up_to(newest: int) -> EpochRing:
    """Epochs 0 to ``newest`` staged one after the other, the send epoch always the newest."""
    ring = EpochRing(Epoch(0), OPENING)
    for epoch in range(1, newest + 1):
        ring.stage(Epoch(epoch), OPENING, send_epoch=Epoch(epoch - 1))
    return ring


def test_a_ring_starts_with_the_epoch_of_the_handshake() -> None:
    ring = EpochRing(Epoch(0), OPENING)

    assert ring.epochs == (0,)
    assert ring.newest.epoch == 0
    assert ring.find(0) is ring.newest
    assert ring.find(1) is None


def test_the_last_four_epochs_are_accepted() -> None:
    ring = ring_up_to(6)

    assert ring.epochs == (3, 4, 5, 6)
    assert ring.find(2) is None
    assert ring.newest.epoch == 6


def test_each_epoch_has_its_own_key_and_replay_window() -> None:
    other = PlainPrimitives().aead(bytes([1]) * 32)
    ring = EpochRing(Epoch(0), OPENING)
    ring.newest.window.accept(0, 1)

    ring.stage(Epoch(1), other, send_epoch=Epoch(0))

    first, second = ring.find(0), ring.find(1)
    assert first is not None
    assert second is not None
    assert second.opening is other
    assert not first.window.is_fresh(0, 1)
    assert second.window.is_fresh(0, 1)


def test_staging_is_refused_while_the_oldest_of_a_full_ring_is_the_send_epoch() -> None:
    ring = ring_up_to(RING_EPOCHS - 1)

    with pytest.raises(EpochRefusedError, match="send epoch"):
        ring.stage(Epoch(4), OPENING, send_epoch=Epoch(0))

    assert ring.epochs == (0, 1, 2, 3)
    ring.stage(Epoch(4), OPENING, send_epoch=Epoch(1))
    assert ring.epochs == (1, 2, 3, 4)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_epoch_that_is_not_newer_than_all_others_is_refused(epoch: int) -> None:
    ring = ring_up_to(2)

    with pytest.raises(EpochRefusedError) as refused:
        ring.stage(Epoch(epoch), OPENING, send_epoch=Epoch(2))

    assert refused.value.epoch == epoch
    assert ring.epochs == (0, 1, 2)


def test_an_epoch_must_fit_its_field() -> None:
    ring = EpochRing(Epoch(0), OPENING)

    with pytest.raises(EpochRefusedError, match="16 bits"):
        ring.stage(Epoch(0x10000), OPENING, send_epoch=Epoch(0))

    ring.stage(Epoch(0xFFFF), OPENING, send_epoch=Epoch(0))
    assert ring.newest.epoch == 0xFFFF
