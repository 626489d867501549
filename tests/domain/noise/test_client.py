import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.peers import AccessList, Peer
from domain.noise.client import ClientHandshake, Delivery, Established
from domain.noise.cookie import CookieJar, seal_cookie_reply
from domain.noise.errors import (
    CookieReplyError,
    HandshakeError,
    NoiseError,
    RepeatedChallengeError,
    UnexpectedCapabilityError,
)
from domain.noise.ik import ResponderHandshake
from domain.noise.keys import KeyPair
from domain.noise.load import LOAD_THRESHOLD, LoadMonitor
from domain.noise.mac import mac2_key, write_mac2
from domain.noise.message import (
    Capability,
    parse_message1_untrusted,
)
from domain.noise.primitives import RandomBytes
from domain.noise.server import Accepted, Challenge, ServerHandshake
from tests import vectors
from tests.domain.noise import (
    CLIENT,
    CLIENT_HOST,
    COOKIE_SECRET,
    EVERY_CAPABILITY,
    LOW_ORDER_POINTS,
    PRIMITIVES,
    SERVER,
    SERVER_EPHEMERAL,
    UNIX_S,
    counted_entropy,
    run_of,
    scripted_entropy,
)

REKEY_V2 = frozenset({Capability.REKEY_V2})


def client(
    *, delivery: Delivery = Delivery.DATAGRAM, capabilities: frozenset[Capability] = REKEY_V2
) -> ClientHandshake:
    return ClientHandshake(PRIMITIVES, SERVER.public, CLIENT, capabilities, delivery=delivery)


def server(*, under_load: bool = False) -> ServerHandshake:
    monitor = LoadMonitor()
    for _ in range(LOAD_THRESHOLD + 1 if under_load else 0):
        monitor.record(0.0)
    return ServerHandshake(
        PRIMITIVES,
        SERVER,
        AccessList([Peer(CLIENT.public, 1)]),
        CookieJar(COOKIE_SECRET),
        supported=EVERY_CAPABILITY,
        load_monitor=monitor,
    )


def accepted(handshake: ServerHandshake, wire: bytes, entropy: RandomBytes) -> Accepted:
    outcome = handshake.respond(wire, CLIENT_HOST, 1.0, UNIX_S, entropy)
    assert isinstance(outcome, Accepted)
    return outcome


def challenged(handshake: ServerHandshake, wire: bytes, entropy: RandomBytes) -> bytes:
    outcome = handshake.respond(wire, CLIENT_HOST, 1.0, UNIX_S, entropy)
    assert isinstance(outcome, Challenge)
    return outcome.reply


def message2_with(payload: bytes, wire: bytes) -> bytes:
    """The genuine server's answer, with a payload that it would not choose itself."""
    initiation = ResponderHandshake(PRIMITIVES, SERVER).read_message1(parse_message1_untrusted(wire).noise)
    return initiation.respond(SERVER_EPHEMERAL, payload).message2


def carries_cookie(wire: bytes, cookie: bytes) -> bool:
    message = parse_message1_untrusted(wire)
    return message.mac2 == write_mac2(mac2_key(cookie), message.noise, message.mac1)


# What the Go program does ------------------------------------------------------------------------


def _machine(case: vectors.JsonObject) -> ClientHandshake:
    return ClientHandshake(
        PRIMITIVES,
        vectors.octets(case, "server_static_public"),
        KeyPair.from_private(PRIMITIVES, vectors.octets(case, "client_static_private")),
        frozenset(map(Capability, vectors.octets(case, "msg1_payload"))),
        delivery=Delivery.STREAM,
    )


# Two of the clients advertise capabilities that nobody has.
WITH_KNOWN_CAPABILITIES = [
    case
    for case in vectors.cases("noise_ik", "handshake")
    if set(vectors.octets(case, "msg1_payload")) <= set(EVERY_CAPABILITY)
]


@pytest.mark.parametrize("case", WITH_KNOWN_CAPABILITIES, ids=lambda case: vectors.text(case, "name"))
def test_handshakes_run_as_they_do_with_the_go_program(case: vectors.JsonObject) -> None:
    machine = _machine(case)
    first, *others = vectors.children(case, "attempts")
    sent = machine.start(
        0.0,
        scripted_entropy([vectors.octets(first, "client_ephemeral_private"), vectors.octets(first, "mac2")]),
    )
    assert sent == vectors.octets(first, "msg1_wire")
    for attempt in others:
        reply = vectors.octets(vectors.child(case, "cookie_exchange"), "cookie_reply_wire")
        entropy = scripted_entropy([vectors.octets(attempt, "client_ephemeral_private")])
        assert machine.receive(reply, 0.1, entropy) == vectors.octets(attempt, "msg1_wire")
    established = machine.receive(vectors.octets(case, "msg2_wire"), 0.2, scripted_entropy([]))
    assert isinstance(established, Established)
    assert established.session_id == vectors.octets(case, "session_id")
    assert established.keys.client_to_server == vectors.octets(case, "c2s_key")
    assert established.keys.server_to_client == vectors.octets(case, "s2c_key")
    assert sorted(established.capabilities) == vectors.numbers(case, "client_negotiated")
    assert established.rekey_v2 is (1 in vectors.numbers(case, "client_negotiated"))


@pytest.mark.parametrize(
    "case", vectors.cases("noise_ik", "client_check"), ids=lambda case: vectors.text(case, "name")
)
def test_replies_are_judged_as_the_go_program_judges_them(case: vectors.JsonObject) -> None:
    machine = _machine(case)
    wire = vectors.octets(case, "msg1_wire")
    entropy = scripted_entropy([vectors.octets(case, "client_ephemeral_private"), wire[-16:]])
    assert machine.start(0.0, entropy) == wire
    reply = vectors.octets(case, "msg2_wire")
    if vectors.text(case, "result") == "accept":
        assert isinstance(machine.receive(reply, 0.1, scripted_entropy([])), Established)
    else:
        with pytest.raises(HandshakeError):
            machine.receive(reply, 0.1, scripted_entropy([]))


@pytest.mark.parametrize(
    "case", vectors.cases("noise_ik", "client_retry"), ids=lambda case: vectors.text(case, "name")
)
def test_challenges_are_answered_as_the_go_program_answers_them(case: vectors.JsonObject) -> None:
    machine = _machine(case)
    first, *others = vectors.octets_list(case, "client_ephemerals")
    sent = [machine.start(0.0, scripted_entropy([first, vectors.octets(case, "mac2_filler")]))]
    *answered, last = vectors.octets_list(case, "replies")
    for reply in answered:
        answer = machine.receive(reply, 0.1, scripted_entropy(others))
        assert isinstance(answer, bytes)
        sent.append(answer)
    with pytest.raises(HandshakeError):
        machine.receive(last, 0.2, scripted_entropy([]))
    assert sent == vectors.octets_list(case, "sent")


# Both ends back to back --------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("capabilities", [frozenset[Capability](), REKEY_V2, EVERY_CAPABILITY])
def test_both_ends_agree(delivery: Delivery, capabilities: frozenset[Capability]) -> None:
    machine, entropy = client(delivery=delivery, capabilities=capabilities), counted_entropy()
    there = accepted(server(), machine.start(0.0, entropy), entropy)
    here = machine.receive(there.message2, 0.1, entropy)
    assert here == Established(keys=there.keys, session_id=there.session_id, capabilities=there.capabilities)
    assert here.capabilities == capabilities


@pytest.mark.parametrize("delivery", Delivery)
def test_a_loaded_server_is_given_its_cookie(delivery: Delivery) -> None:
    machine, handshake, entropy = client(delivery=delivery), server(under_load=True), counted_entropy()
    first = machine.start(0.0, entropy)
    second = machine.receive(challenged(handshake, first, entropy), 0.1, entropy)
    assert isinstance(second, bytes)
    assert second[1:33] != first[1:33], "a new attempt has a new ephemeral key"
    there = accepted(handshake, second, entropy)
    here = machine.receive(there.message2, 0.2, entropy)
    assert isinstance(here, Established)
    assert here.session_id == there.session_id


# Lost, late and repeated datagrams ---------------------------------------------------------------


def test_attempts_are_repeated_at_0_1_3_and_7_seconds() -> None:
    machine, entropy = client(), counted_entropy()
    assert machine.next_deadline() == math.inf
    sent, sent_at = [machine.start(100.0, entropy)], [100.0]
    for _ in range(3):
        sent_at.append(machine.next_deadline())
        sent.append(machine.handle_timer(machine.next_deadline(), entropy))
    assert sent_at == [100.0, 101.0, 103.0, 107.0]
    assert len({wire[1:33] for wire in sent}) == len(sent), "each attempt has its own ephemeral key"


def test_a_late_timer_postpones_the_next_one() -> None:
    machine, entropy = client(), counted_entropy()
    machine.start(0.0, entropy)
    machine.handle_timer(1.5, entropy)
    assert machine.next_deadline() == 3.5


def test_a_session_comes_about_although_the_first_datagrams_were_lost() -> None:
    machine, entropy = client(), counted_entropy()
    machine.start(0.0, entropy)
    machine.handle_timer(1.0, entropy)
    there = accepted(server(), machine.handle_timer(3.0, entropy), entropy)
    here = machine.receive(there.message2, 3.1, entropy)
    assert isinstance(here, Established)
    assert here.session_id == there.session_id
    assert machine.next_deadline() == math.inf


def test_only_the_reply_to_the_newest_attempt_counts() -> None:
    machine, handshake, entropy = client(), server(), counted_entropy()
    late = accepted(handshake, machine.start(0.0, entropy), entropy)
    newest = accepted(handshake, machine.handle_timer(1.0, entropy), entropy)
    assert machine.receive(late.message2, 1.1, entropy) is None
    here = machine.receive(newest.message2, 1.2, entropy)
    assert isinstance(here, Established)
    assert here.session_id == newest.session_id


def test_a_repeated_challenge_datagram_is_answered_once() -> None:
    machine, handshake, entropy = client(), server(under_load=True), counted_entropy()
    reply = challenged(handshake, machine.start(0.0, entropy), entropy)
    second = machine.receive(reply, 0.1, entropy)
    assert isinstance(second, bytes)
    assert machine.receive(reply, 0.1, scripted_entropy([])) is None
    there = accepted(handshake, second, entropy)
    assert isinstance(machine.receive(there.message2, 0.2, entropy), Established)


def test_answering_a_challenge_restarts_the_timer_without_doubling_it() -> None:
    machine, entropy = client(), counted_entropy()
    reply = challenged(server(under_load=True), machine.start(0.0, entropy), entropy)
    machine.receive(reply, 0.75, entropy)
    assert machine.next_deadline() == 1.75


def test_a_cookie_is_kept_for_later_attempts() -> None:
    machine, handshake, entropy = client(), server(under_load=True), counted_entropy()
    machine.receive(challenged(handshake, machine.start(0.0, entropy), entropy), 0.1, entropy)
    third = machine.handle_timer(1.1, entropy)
    assert carries_cookie(third, CookieJar(COOKIE_SECRET).bake(CLIENT_HOST, UNIX_S))
    there = accepted(handshake, third, entropy)
    assert isinstance(machine.receive(there.message2, 1.2, entropy), Established)


def test_a_second_challenge_waits_for_the_timer_and_its_cookie_is_used() -> None:
    machine, entropy = client(), counted_entropy()
    first = machine.start(0.0, entropy)
    second = machine.receive(_challenge_for(first, b"A" * 16), 0.1, entropy)
    assert isinstance(second, bytes)
    assert carries_cookie(second, b"A" * 16)
    assert machine.receive(_challenge_for(second, b"B" * 16), 0.2, scripted_entropy([])) is None
    assert machine.next_deadline() == 1.1
    assert carries_cookie(machine.handle_timer(1.1, entropy), b"B" * 16)


def test_a_forged_cookie_does_not_keep_a_client_out() -> None:
    # Whoever reads message 1 and knows the server's public key can seal a cookie reply.
    machine, handshake, entropy = client(), server(under_load=True), counted_entropy()
    second = machine.receive(_challenge_for(machine.start(0.0, entropy), b"?" * 16), 0.1, entropy)
    assert isinstance(second, bytes)
    assert machine.receive(challenged(handshake, second, entropy), 0.2, entropy) is None
    there = accepted(handshake, machine.handle_timer(1.1, entropy), entropy)
    assert isinstance(machine.receive(there.message2, 1.2, entropy), Established)


def _challenge_for(wire: bytes, cookie: bytes) -> bytes:
    ephemeral = parse_message1_untrusted(wire).ephemeral_public
    return seal_cookie_reply(PRIMITIVES, SERVER.public, ephemeral, cookie, run_of(0, 24))


# Forged and broken messages ----------------------------------------------------------------------


def test_forged_datagrams_cost_neither_the_attempt_nor_the_timer() -> None:
    machine, entropy = client(), counted_entropy()
    wire = machine.start(0.0, entropy)
    genuine = accepted(server(), wire, entropy).message2
    nothing = scripted_entropy([])
    for position in range(len(genuine)):
        forged = bytearray(genuine)
        forged[position] ^= 1
        assert machine.receive(forged, 0.1, nothing) is None
    for size in range(len(genuine)):
        assert machine.receive(genuine[:size], 0.1, nothing) is None
    for point in LOW_ORDER_POINTS:
        assert machine.receive(point + genuine[32:], 0.1, nothing) is None
    challenge = _challenge_for(wire, b"C" * 16)
    for position in range(len(challenge)):
        forged = bytearray(challenge)
        forged[position] ^= 1
        assert machine.receive(forged, 0.1, nothing) is None
    assert machine.next_deadline() == 1.0
    assert isinstance(machine.receive(genuine, 0.2, nothing), Established)


@given(st.lists(st.binary(max_size=120) | st.binary(min_size=56, max_size=56), max_size=8))
def test_no_garbage_stops_a_datagram_client(garbage: list[bytes]) -> None:
    machine, entropy = client(), counted_entropy()
    wire = machine.start(0.0, entropy)
    for datagram in garbage:
        assert machine.receive(datagram, 0.1, entropy) is None
    there = accepted(server(), wire, entropy)
    assert isinstance(machine.receive(there.message2, 0.2, entropy), Established)


@given(st.binary(max_size=120) | st.binary(min_size=56, max_size=56))
def test_any_garbage_ends_a_stream_client(garbage: bytes) -> None:
    machine, entropy = client(delivery=Delivery.STREAM), counted_entropy()
    machine.start(0.0, entropy)
    expected = CookieReplyError if len(garbage) == 56 else NoiseError
    with pytest.raises(expected):
        machine.receive(garbage, 0.1, entropy)
    with pytest.raises(RuntimeError, match="FAILED"):
        machine.receive(garbage, 0.1, entropy)


def test_a_stream_grants_one_cookie_round() -> None:
    machine, entropy = client(delivery=Delivery.STREAM), counted_entropy()
    second = machine.receive(_challenge_for(machine.start(0.0, entropy), b"A" * 16), 0.1, entropy)
    assert isinstance(second, bytes)
    with pytest.raises(RepeatedChallengeError):
        machine.receive(_challenge_for(second, b"B" * 16), 0.2, entropy)


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("payload", [b"\x02", b"\x01\x02", b"\x80", b"\x00"])
def test_a_selection_that_was_not_advertised_ends_the_handshake(delivery: Delivery, payload: bytes) -> None:
    machine, entropy = client(delivery=delivery), counted_entropy()
    message2 = message2_with(payload, machine.start(0.0, entropy))
    with pytest.raises(UnexpectedCapabilityError):
        machine.receive(message2, 0.1, entropy)
    assert machine.next_deadline() == math.inf
    with pytest.raises(RuntimeError, match="FAILED"):
        machine.receive(message2, 0.2, entropy)


def test_a_client_that_advertises_nothing_accepts_no_selection() -> None:
    machine, entropy = client(capabilities=frozenset()), counted_entropy()
    message2 = message2_with(b"\x01", machine.start(0.0, entropy))
    with pytest.raises(UnexpectedCapabilityError):
        machine.receive(message2, 0.1, entropy)


def test_a_server_key_of_low_order_is_refused_before_anything_is_sent() -> None:
    machine = ClientHandshake(PRIMITIVES, bytes(32), CLIENT)
    with pytest.raises(NoiseError):
        machine.start(0.0, counted_entropy())


# The order of calls ------------------------------------------------------------------------------


def test_calls_out_of_order_name_the_state_and_the_event() -> None:
    machine, entropy = client(), counted_entropy()
    with pytest.raises(RuntimeError, match="REPLY cannot happen to a handshake that is IDLE"):
        machine.receive(b"", 0.0, entropy)
    with pytest.raises(RuntimeError, match="TIMER cannot happen to a handshake that is IDLE"):
        machine.handle_timer(0.0, entropy)
    wire = machine.start(0.0, entropy)
    with pytest.raises(RuntimeError, match="START cannot happen to a handshake that is AWAITING_REPLY"):
        machine.start(0.0, entropy)
    machine.receive(accepted(server(), wire, entropy).message2, 0.1, entropy)
    with pytest.raises(RuntimeError, match="TIMER cannot happen to a handshake that is ESTABLISHED"):
        machine.handle_timer(1.0, entropy)


def test_a_stream_has_no_timer() -> None:
    machine, entropy = client(delivery=Delivery.STREAM), counted_entropy()
    machine.start(0.0, entropy)
    assert machine.next_deadline() == math.inf
    with pytest.raises(RuntimeError, match="no timer"):
        machine.handle_timer(1.0, entropy)
