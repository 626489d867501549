"""What a client does about its session when the network around it changes."""

import pytest

from application.client.control import NetworkChangedError
from application.network.routing.worker import SessionEndedError
from tests.adapters.udp import Weather
from tests.application.bed import Bed


def test_after_a_change_of_the_network_the_server_is_asked_at_once_and_its_answer_is_enough() -> None:
    bed = Bed()
    (client,) = bed.clients
    client.worker.handle_timer()
    bed.settle()
    bed.clock.advance(1)
    client.worker.probe()
    assert len(bed.server.listener.mailbox.inbox) == 1
    bed.settle()
    bed.clock.advance(2.9)
    client.worker.handle_timer()
    assert not bed.server.listener.mailbox.inbox


def test_a_session_that_did_not_survive_a_change_of_the_network_ends_after_two_seconds() -> None:
    bed = Bed()
    (client,) = bed.clients
    bed.network.weather = Weather(loss=1)
    client.worker.probe()
    bed.clock.advance(1.9)
    client.worker.handle_timer()
    bed.clock.advance(0.1)
    with pytest.raises(NetworkChangedError, match="the network has changed"):
        client.worker.handle_timer()


def test_a_session_that_dies_later_did_not_end_because_of_an_old_change() -> None:
    bed = Bed()
    (client,) = bed.clients
    client.worker.probe()
    bed.settle()
    bed.network.weather = Weather(loss=1)
    bed.clock.advance(15)
    with pytest.raises(SessionEndedError, match="for too long"):
        client.worker.handle_timer()
