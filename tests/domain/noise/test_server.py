from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.peers import AccessList, Peer
from domain.noise.cookie import CookieJar, open_cookie_reply
from domain.noise.errors import HandshakeRejectedError, RejectionReason
from domain.noise.ik import InitiatorHandshake
from domain.noise.keys import KeyPair
from domain.noise.load import LOAD_THRESHOLD, LoadMonitor, TokenBucket
from domain.noise.mac import mac1_key, mac2_key, write_mac1, write_mac2
from domain.noise.message import Capability, Message1
from domain.noise.server import Accepted, Challenge, ServerHandshake
from tests import vectors
from tests.domain.noise import (
    CLIENT,
    CLIENT_EPHEMERAL,
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

NOTHING = scripted_entropy([])
CLIENT_PEER = Peer(public_key=CLIENT.public, client_id=1)


def server(
    *,
    peers: tuple[Peer, ...] = (CLIENT_PEER,),
    under_load: bool = False,
    supported: frozenset[Capability] = EVERY_CAPABILITY,
    cookie_reply_limit: TokenBucket | None = None,
) -> ServerHandshake:
    return ServerHandshake(
        PRIMITIVES,
        SERVER,
        AccessList(peers),
        CookieJar(COOKIE_SECRET),
        supported=supported,
        load_monitor=loaded_monitor() if under_load else LoadMonitor(),
        cookie_reply_limit=cookie_reply_limit,
    )


def loaded_monitor() -> LoadMonitor:
    """A monitor that has seen a flood in second 0; the next message makes it notice."""
    monitor = LoadMonitor()
    for _ in range(LOAD_THRESHOLD + 1):
        monitor.record(0.0)
    return monitor


def message1(
    payload: bytes = b"\x01",
    *,
    static: KeyPair = CLIENT,
    cookie: bytes | None = None,
    ephemeral: bytes = CLIENT_EPHEMERAL,
) -> Message1:
    noise = InitiatorHandshake(PRIMITIVES, static, SERVER.public, ephemeral, payload=payload).message1
    return with_macs(noise, cookie)


def with_macs(noise: bytes, cookie: bytes | None = None) -> Message1:
    mac1 = write_mac1(mac1_key(SERVER.public), noise)
    mac2 = b"\xaa" * 16 if cookie is None else write_mac2(mac2_key(cookie), noise, mac1)
    return Message1(noise, mac1, mac2)


def respond(
    handshake: ServerHandshake,
    wire: bytes,
    entropy: Callable[[int], bytes],
    *,
    now_s: float = 1.0,
    unix_s: int = UNIX_S,
) -> Accepted | Challenge:
    return handshake.respond(wire, CLIENT_HOST, now_s, unix_s, entropy)


def refusal(handshake: ServerHandshake, wire: bytes) -> RejectionReason:
    with pytest.raises(HandshakeRejectedError) as caught:
        respond(handshake, wire, NOTHING)
    return caught.value.reason


@pytest.mark.parametrize(
    "case", vectors.cases("noise_ik", "server_check"), ids=lambda case: vectors.text(case, "name")
)
def test_messages_are_judged_as_the_go_program_judges_them(case: vectors.JsonObject) -> None:
    known = vectors.flag(case, "peer_known")
    peer = Peer(
        public_key=vectors.octets(case, "allowed_client_public"),
        client_id=1,
        enabled=vectors.flag(case, "peer_enabled"),
    )
    handshake = ServerHandshake(
        PRIMITIVES,
        KeyPair.from_private(PRIMITIVES, vectors.octets(case, "server_static_private")),
        AccessList([peer] if known else []),
        CookieJar(vectors.octets(case, "cookie_secret")),
        load_monitor=loaded_monitor() if vectors.flag(case, "under_load") else LoadMonitor(),
    )
    result = vectors.text(case, "result")
    drawn = {
        "accept": [vectors.octets(case, "server_ephemeral_private")],
        "cookie_required": [vectors.octets(case, "cookie_nonce")],
    }

    def judge() -> tuple[str, bytes]:
        try:
            outcome = handshake.respond(
                vectors.octets(case, "msg1_wire"),
                vectors.text(case, "client_ip"),
                1.0,
                vectors.number(case, "unix_time"),
                scripted_entropy(drawn.get(result, [])),
            )
        except HandshakeRejectedError as refused:
            return refused.reason.value, b""
        match outcome:
            case Accepted():
                assert outcome.peer == peer
                return "accept", outcome.message2
            case Challenge():
                return "cookie_required", outcome.reply

    assert judge() == (result, vectors.octets(case, "reply"))


# The one server that answers with the same capability twice was made for the test of clients.
ANSWERED_AS_WE_ANSWER = [
    case for case in vectors.cases("noise_ik", "handshake") if case["name"] != "cap_repeated_selection"
]


@pytest.mark.parametrize("case", ANSWERED_AS_WE_ANSWER, ids=lambda case: vectors.text(case, "name"))
def test_handshakes_end_as_they_do_with_the_go_program(case: vectors.JsonObject) -> None:
    client_public = vectors.octets(case, "client_static_public")
    exchange = vectors.child(case, "cookie_exchange") if "cookie_exchange" in case else None
    handshake = ServerHandshake(
        PRIMITIVES,
        KeyPair.from_private(PRIMITIVES, vectors.octets(case, "server_static_private")),
        AccessList([Peer(client_public, vectors.number(case, "client_id"))]),
        CookieJar(vectors.octets(exchange, "cookie_secret") if exchange else bytes(32)),
        supported=frozenset() if case["style"] == "head-to-march" else EVERY_CAPABILITY,
        load_monitor=loaded_monitor() if exchange else LoadMonitor(),
    )
    host = vectors.text(exchange, "client_ip") if exchange else CLIENT_HOST
    unix_s = vectors.number(exchange, "unix_time") if exchange else UNIX_S
    attempts = vectors.children(case, "attempts")
    if exchange:
        challenge = handshake.respond(
            vectors.octets(attempts[0], "msg1_wire"),
            host,
            1.0,
            unix_s,
            scripted_entropy([vectors.octets(exchange, "cookie_nonce")]),
        )
        assert challenge == Challenge(vectors.octets(exchange, "cookie_reply_wire"))
    accepted = handshake.respond(
        vectors.octets(attempts[-1], "msg1_wire"),
        host,
        1.0,
        unix_s,
        scripted_entropy([vectors.octets(case, "server_ephemeral_private")]),
    )
    assert isinstance(accepted, Accepted)
    assert accepted.message2 == vectors.octets(case, "msg2_wire")
    assert accepted.session_id == vectors.octets(case, "session_id")
    assert accepted.keys.client_to_server == vectors.octets(case, "c2s_key")
    assert accepted.keys.server_to_client == vectors.octets(case, "s2c_key")
    assert accepted.peer.client_id == vectors.number(case, "client_id")
    assert sorted(accepted.capabilities) == vectors.numbers(case, "server_negotiated")


def test_the_values_of_appendix_a() -> None:
    wire = message1().encode()
    assert wire[-32:].hex() == "fc12a2db3e2e1ee3bd734dff10273ab7" + "aa" * 16
    accepted = respond(server(), wire, scripted_entropy([SERVER_EPHEMERAL]))
    assert isinstance(accepted, Accepted)
    assert accepted.message2.hex() == (
        "675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52fc501506656d71e0e906f0b4456856ea45f"
    )
    challenge = respond(server(under_load=True), wire, scripted_entropy([run_of(0, 24)]))
    assert isinstance(challenge, Challenge)
    assert challenge.reply.hex() == (
        "000102030405060708090a0b0c0d0e0f1011121314151617"
        "d79e8997bd3d31861cfa70e7efb51ed926f3b3e0f5ee82be5d3c6962347d76d3"
    )
    cookie = bytes.fromhex("f0d635c7deff2befc95217565d7b5558")
    assert message1(cookie=cookie).mac2.hex() == "fbd4601b5c3ec22fb4951d827131b11d"


def test_rekey_v2_is_in_force_exactly_when_it_was_selected() -> None:
    def capabilities(payload: bytes, supported: frozenset[Capability]) -> tuple[bool, int]:
        accepted = respond(
            server(supported=supported), message1(payload).encode(), scripted_entropy([SERVER_EPHEMERAL])
        )
        assert isinstance(accepted, Accepted)
        return accepted.rekey_v2, len(accepted.message2)

    assert capabilities(b"\x01", EVERY_CAPABILITY) == (True, 49)
    assert capabilities(b"\x01\x80", EVERY_CAPABILITY) == (True, 50)
    assert capabilities(b"\x80", EVERY_CAPABILITY) == (False, 49)
    assert capabilities(b"", EVERY_CAPABILITY) == (False, 48)
    assert capabilities(b"\x01", frozenset()) == (False, 48)


def test_under_load_a_cookie_opens_the_door() -> None:
    handshake = server(under_load=True)
    first = message1()
    challenge = respond(handshake, first.encode(), scripted_entropy([run_of(0, 24)]))
    assert isinstance(challenge, Challenge)
    cookie = open_cookie_reply(PRIMITIVES, SERVER.public, first.ephemeral_public, challenge.reply)
    accepted = respond(handshake, message1(cookie=cookie).encode(), scripted_entropy([SERVER_EPHEMERAL]))
    assert isinstance(accepted, Accepted)


def test_under_load_a_stranger_costs_no_key_agreement_until_it_returns_a_cookie() -> None:
    # A point of low order would make any agreement fail: the challenge comes before.
    wire = with_macs(bytes(96)).encode()
    assert isinstance(respond(server(under_load=True), wire, counted_entropy()), Challenge)
    assert refusal(server(), wire) is RejectionReason.FAILURE


def test_messages_with_a_wrong_mac1_do_not_count_as_load() -> None:
    handshake = server()
    wrong = bytearray(message1().encode())
    wrong[-32] ^= 1
    for _ in range(LOAD_THRESHOLD + 1):
        assert refusal(handshake, bytes(wrong)) is RejectionReason.BAD_MAC1
    outcome = respond(handshake, message1().encode(), counted_entropy(), now_s=2.0)
    assert isinstance(outcome, Accepted)


def test_load_is_counted_before_it_is_asked_about() -> None:
    handshake = server()
    garbage = with_macs(bytes(80)).encode()
    for _ in range(LOAD_THRESHOLD + 1):
        assert refusal(handshake, garbage) is RejectionReason.FAILURE
    outcome = respond(handshake, message1().encode(), counted_entropy(), now_s=2.0)
    assert isinstance(outcome, Challenge)


def test_challenges_are_limited() -> None:
    handshake = server(under_load=True, cookie_reply_limit=TokenBucket(per_second=1, burst=2))
    wire = message1().encode()
    entropy = counted_entropy()
    assert isinstance(respond(handshake, wire, entropy), Challenge)
    assert isinstance(respond(handshake, wire, entropy), Challenge)
    assert refusal(handshake, wire) is RejectionReason.COOKIE_REPLY_LIMIT
    cookie = CookieJar(COOKIE_SECRET).bake(CLIENT_HOST, UNIX_S)
    assert isinstance(respond(handshake, message1(cookie=cookie).encode(), entropy), Accepted)


def test_a_replaced_access_list_decides_about_the_next_message() -> None:
    handshake = server()
    assert isinstance(respond(handshake, message1().encode(), counted_entropy()), Accepted)
    wire = message1(ephemeral=run_of(0x33)).encode()
    handshake.access_list = AccessList([Peer(CLIENT.public, 1, enabled=False)])
    assert refusal(handshake, wire) is RejectionReason.PEER_DISABLED
    handshake.access_list = AccessList()
    assert refusal(handshake, wire) is RejectionReason.UNKNOWN_PEER


def test_a_message_1_is_accepted_once() -> None:
    handshake = server()
    first, second = message1().encode(), message1(ephemeral=run_of(0x33)).encode()
    assert isinstance(respond(handshake, first, counted_entropy()), Accepted)
    assert refusal(handshake, first) is RejectionReason.REPLAYED
    assert isinstance(respond(handshake, second, counted_entropy()), Accepted)
    assert refusal(handshake, first) is RejectionReason.REPLAYED
    assert refusal(handshake, second) is RejectionReason.REPLAYED


def test_a_refused_message_1_may_come_again_when_it_is_welcome() -> None:
    handshake = server()
    welcome = handshake.access_list
    handshake.access_list = AccessList()
    assert refusal(handshake, message1().encode()) is RejectionReason.UNKNOWN_PEER
    handshake.access_list = welcome
    assert isinstance(respond(handshake, message1().encode(), counted_entropy()), Accepted)


def test_every_check_comes_before_the_costlier_ones() -> None:
    stranger = KeyPair.from_private(PRIMITIVES, run_of(0x99))
    handshake = server()
    wire = bytearray(message1(static=stranger).encode())
    assert refusal(handshake, bytes(wire)) is RejectionReason.UNKNOWN_PEER
    wire[60] ^= 1
    assert refusal(handshake, bytes(wire)) is RejectionReason.BAD_MAC1
    wire[0] = 2
    assert refusal(handshake, bytes(wire)) is RejectionReason.BAD_VERSION
    assert refusal(handshake, bytes(wire[:112])) is RejectionReason.TOO_SHORT


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_points_of_low_order_are_refused(point: bytes) -> None:
    ephemeral = with_macs(point + message1().noise[32:])
    assert refusal(server(), ephemeral.encode()) is RejectionReason.FAILURE
    static = message1(static=KeyPair(CLIENT.private, point))
    assert refusal(server(), static.encode()) is RejectionReason.FAILURE


def test_a_refusal_spoils_nothing_for_the_genuine_message() -> None:
    handshake = server()
    wire = message1().encode()
    for position in range(len(wire) - 16):
        changed = bytearray(wire)
        changed[position] ^= 0x40
        refusal(handshake, bytes(changed))
    for size in range(len(wire)):
        refusal(handshake, wire[:size])
    for position in range(len(message1().noise)):
        noise = bytearray(message1().noise)
        noise[position] ^= 0x40
        assert refusal(handshake, with_macs(bytes(noise)).encode()) is RejectionReason.FAILURE
    assert isinstance(respond(handshake, wire, counted_entropy()), Accepted)


@given(st.binary(max_size=200), st.booleans())
def test_garbage_raises_nothing_but_a_refusal(garbage: bytes, has_mac1: bool) -> None:
    wire = with_macs(garbage).encode() if has_mac1 else garbage
    refusal(server(), wire)


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0"])
def test_every_kind_of_source_address_can_be_challenged(host: str) -> None:
    handshake = server(under_load=True)
    outcome = handshake.respond(message1().encode(), host, 1.0, UNIX_S, counted_entropy())
    assert isinstance(outcome, Challenge)
