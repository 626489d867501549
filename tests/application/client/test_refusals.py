"""What a client does when it is told that its server cannot be reached: the truth or a forgery."""

import pytest

from application.client.control import NetworkChangedError
from application.network.routing.worker import SessionEndedError
from domain.session.liveness import PROBE_LIMIT_S, REFUSAL_PAUSE_S
from tests.adapters.udp import Weather
from tests.application.bed import Bed, ClientEnd, ipv4_packet

OUTSIDE = "203.0.113.5"


def refuse(client: ClientEnd) -> None:
    """Let the client be told, by an ICMP message that anybody may have sent."""
    client.transport.mailbox.is_refused = True


def read(client: ClientEnd) -> None:
    """What the event loop does: the socket is readable, and a timer may be due."""
    client.worker.handle_transport()
    deadline_s = client.worker.next_deadline_s()
    if deadline_s is not None and deadline_s <= client.clock.now_s:
        client.worker.handle_timer()


@pytest.fixture
def bed() -> Bed:
    """A client whose first ping has been answered."""
    bed = Bed()
    (client,) = bed.clients
    client.worker.handle_timer()
    bed.settle()
    bed.clock.advance(1)
    return bed


@pytest.fixture
def client(bed: Bed) -> ClientEnd:
    return bed.clients[0]


def test_a_refused_client_asks_the_server_at_once_and_its_answer_is_enough(
    bed: Bed, client: ClientEnd
) -> None:
    refuse(client)
    read(client)
    assert len(bed.server.listener.mailbox.inbox) == 1
    bed.settle()
    bed.clock.advance(2.9)
    client.worker.handle_timer()
    assert not bed.server.listener.mailbox.inbox


def test_a_server_that_is_gone_ends_the_session_after_two_seconds(bed: Bed, client: ClientEnd) -> None:
    bed.server.listener.close()
    client.send(ipv4_packet(client.address, OUTSIDE))
    for _ in range(19):
        bed.clock.advance(0.1)
        read(client)
    bed.clock.advance(0.11)
    with pytest.raises(SessionEndedError, match=r"^the server's host says that nobody listens on its port$"):
        read(client)


def test_that_end_is_not_taken_for_another_network(bed: Bed, client: ClientEnd) -> None:
    bed.server.listener.close()
    client.send(ipv4_packet(client.address, OUTSIDE))
    bed.clock.advance(PROBE_LIMIT_S)
    with pytest.raises(SessionEndedError) as ended:
        read(client)
    assert not isinstance(ended.value, NetworkChangedError)


def pings_under_refusals(bed: Bed, client: ClientEnd, count: int) -> int:
    """How many pings ``count`` refusals, a hundred of them a second, have the client send."""
    pings = 0
    for _ in range(count):
        refuse(client)
        read(client)
        pings += len(bed.server.listener.mailbox.inbox)
        bed.settle()
        bed.clock.advance(0.01)
    return pings


def test_a_session_in_use_outlives_thousands_of_forged_refusals_at_the_cost_of_a_few_pings(
    bed: Bed, client: ClientEnd
) -> None:
    pings = 0
    for second in range(30):
        pings += pings_under_refusals(bed, client, 100)
        client.send(ipv4_packet(client.address, OUTSIDE))
        bed.settle()
        assert len(bed.server.tun.written) == second + 1
    assert pings == 30 / REFUSAL_PAUSE_S


def test_an_idle_session_outlives_thousands_of_forged_refusals_at_the_cost_of_a_few_pings(
    bed: Bed, client: ClientEnd
) -> None:
    assert pings_under_refusals(bed, client, 3000) == 30 / REFUSAL_PAUSE_S


def test_forged_refusals_do_not_end_an_idle_session_on_a_bad_path() -> None:
    bed = Bed(seed=5)
    (client,) = bed.clients
    bed.network.weather = Weather(loss=0.2)
    for _ in range(6000):
        refuse(client)
        read(client)
        bed.settle()
        bed.clock.advance(0.05)
    assert bed.network.lost > 0


def test_a_refusal_that_only_a_send_has_met_is_heeded_too(bed: Bed, client: ClientEnd) -> None:
    bed.network.weather = Weather(loss=1)
    refuse(client)
    client.tun.route_in(ipv4_packet(client.address, OUTSIDE))
    client.worker.handle_tun()
    assert not client.transport.mailbox.is_refused
    bed.clock.advance(PROBE_LIMIT_S)
    with pytest.raises(SessionEndedError, match="nobody listens"):
        client.worker.handle_timer()


def test_a_refusal_that_only_a_ping_has_met_is_heeded_too(bed: Bed, client: ClientEnd) -> None:
    bed.network.weather = Weather(loss=1)
    bed.clock.advance(3)
    refuse(client)
    client.worker.handle_timer()
    bed.clock.advance(PROBE_LIMIT_S)
    with pytest.raises(SessionEndedError, match="nobody listens"):
        client.worker.handle_timer()


def test_what_the_server_sent_before_it_went_does_not_count_as_an_answer(bed: Bed, client: ClientEnd) -> None:
    answer = ipv4_packet(OUTSIDE, client.address)
    bed.server.tun.route_in(answer)
    bed.server.drain()
    bed.server.listener.close()
    client.tun.route_in(ipv4_packet(client.address, OUTSIDE))
    client.worker.handle_tun()
    assert client.tun.written == [answer]
    bed.clock.advance(PROBE_LIMIT_S)
    with pytest.raises(SessionEndedError, match="nobody listens"):
        client.worker.handle_timer()


def test_a_refusal_in_a_network_that_has_just_changed_leaves_it_at_that(bed: Bed, client: ClientEnd) -> None:
    bed.network.weather = Weather(loss=1)
    client.worker.probe()
    refuse(client)
    read(client)
    bed.clock.advance(PROBE_LIMIT_S)
    with pytest.raises(NetworkChangedError):
        client.worker.handle_timer()


def test_a_session_that_dies_later_did_not_end_because_of_an_old_refusal(bed: Bed, client: ClientEnd) -> None:
    refuse(client)
    read(client)
    bed.settle()
    bed.network.weather = Weather(loss=1)
    bed.clock.advance(15)
    with pytest.raises(SessionEndedError, match="for too long"):
        client.worker.handle_timer()
