"""Every message of a conversation mutilated, repeated, reflected and delayed, at every moment of it.

The conversation: a handshake, a packet each way, the first ping, and a rekey with all that belongs to it.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from domain.addressing.endpoint import Endpoint
from domain.session.identifiers import route_id_of
from tests.adapters.udp import FakeNetwork
from tests.application.bed import SERVER, Bed
from tests.hostile.journey import Journey
from tests.hostile.wiretap import DelayingNetwork, Said, TappedNetwork, flips, truncations

REKEY_INTERVAL_S = 5.0
CONVERSATION_S = 7  # the first rekey and its aftermath
HANDSHAKE_MESSAGES = 2
AFTERWARDS_S = 20  # longer than any timer that an injury could leave running

Additions = Callable[[Said], Iterable[bytes]]


def converse(network: FakeNetwork) -> tuple[Bed, Journey]:
    """A conversation on ``network``, from message 1 until after the first rekey."""
    bed = Bed(network=network, rekey_interval_s=REKEY_INTERVAL_S)
    journey = Journey(bed, seed=0, late=0.0)
    journey.travel(CONVERSATION_S)
    return bed, journey


@cache
def undisturbed() -> list[Said]:
    """What is said if nobody interferes."""
    network = TappedNetwork()
    bed, _ = converse(network)
    (session,) = bed.server.sessions
    assert session.crypto.send_epoch == 1
    return network.said


MOMENTS = range(len(undisturbed()))


def heard_by(receiver: Endpoint) -> list[bytes]:
    """All that this side hears in the undisturbed conversation; there are two sides only."""
    return [said.datagram for said in undisturbed() if (said.to == SERVER) == (receiver == SERVER)]


def truncated(message: Said) -> Iterable[bytes]:
    return itertools.chain.from_iterable(map(truncations, heard_by(message.to)))


def flipped(message: Said) -> Iterable[bytes]:
    return itertools.chain.from_iterable(map(flips, heard_by(message.to)))


def reflected(message: Said) -> Iterable[bytes]:
    """What this side has said itself."""
    return heard_by(message.source)


def repeated(message: Said) -> Iterable[bytes]:
    """What came before, more often than sessions of one peer may wait for their proof."""
    earlier = undisturbed()[: undisturbed().index(message)]
    return [said.datagram for said in earlier if said.to == message.to] * 8


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("additions", [truncated, flipped, reflected, repeated])
def test_the_session_goes_on_whatever_is_slipped_in(additions: Additions, moment: int) -> None:
    network = TappedNetwork(moment, additions)
    bed, journey = converse(network)
    assert network.added > 0 or additions is repeated
    expect_to_go_on(bed, journey)


@pytest.mark.parametrize("moment", MOMENTS[HANDSHAKE_MESSAGES:])
@pytest.mark.parametrize("overtaken_by", [1, 2, 5, 1000])
def test_the_session_goes_on_whatever_arrives_late_or_never(moment: int, overtaken_by: int) -> None:
    network = DelayingNetwork(moment, overtaken_by)
    bed, journey = converse(network)
    expect_to_go_on(bed, journey)


def expect_to_go_on(bed: Bed, journey: Journey) -> None:
    journey.travel(AFTERWARDS_S)
    arrived = journey.up.arrived, journey.down.arrived
    journey.travel(5)
    assert (journey.up.arrived - arrived[0], journey.down.arrived - arrived[1]) == (5, 5)
    route_id = route_id_of(journey.client.established.session_id)
    assert bed.server.sessions.find_by_route_id(route_id) is journey.session
    assert journey.session.crypto.send_epoch >= 3
