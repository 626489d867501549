"""Frames, conversations and whole connections recorded from the Go program."""

import pytest

from domain.addressing.peers import AccessList, Peer
from domain.noise.client import ClientHandshake, Delivery, Established
from domain.noise.cookie import CookieJar
from domain.noise.keys import EpochKeys, KeyPair, Role, SessionId
from domain.noise.mac import MAC_BYTES
from domain.noise.message import DEFAULT_CAPABILITIES, Capability
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.rules import LAST_EPOCH
from domain.session.epochs import EpochRefusedError
from domain.session.framing import LENGTH_BYTES, framed, split_frames
from domain.session.identifiers import Epoch
from domain.session.nonce import COUNTER_LOW_BITS, NonceExhaustedError, SendCounter
from domain.session.opened import OpenedBatch
from domain.session.stream import StreamBrokenError, StreamSession
from tests import vectors
from tests.adapters.primitives import PlainPrimitives
from tests.domain.noise import COOKIE_SECRET, UNIX_S, scripted_entropy
from tests.domain.session.arriving import byte_by_byte, fed
from tests.vectors import JsonObject, child, number, octets, octets_list, text

FRAMES = "tcp_frames"
PRIMITIVES = PlainPrimitives()
ROLES = {"client": Role.CLIENT, "server": Role.SERVER}
OTHER_SIDE = {"client": "server", "server": "client"}
CAPABILITIES = {b"\x01": DEFAULT_CAPABILITIES, b"": frozenset[Capability]()}


def session_id_of(case: JsonObject) -> SessionId:
    return SessionId(octets(case, "session_id"))


def keys_of(case: JsonObject) -> EpochKeys:
    return EpochKeys(octets(case, "c2s_key"), octets(case, "s2c_key"))


def plaintexts_of(opened: OpenedBatch) -> list[bytes]:
    return opened.packets + [plaintext for _, plaintext in opened.service]


class Recorded:
    """A recorded conversation, and both our ends of it."""

    def __init__(self, case: JsonObject) -> None:
        self.events = vectors.children(case, "events")
        self.keys = {number(each, "epoch"): keys_of(each) for each in vectors.children(case, "keys")}
        self.ends = {
            name: StreamSession(PRIMITIVES, role, session_id_of(case), self.keys[0])
            for name, role in ROLES.items()
        }
        if "counters_before" in case:
            before = child(case, "counters_before")
            counter = number(before, "high") << COUNTER_LOW_BITS | number(before, "low")
            for end in self.ends.values():
                end._counter = SendCounter(Epoch(0), last=counter)
                end._newest.counter = counter

    def replay(self, event: JsonObject) -> None:
        match text(event, "op"):
            case "stage":
                self._stage(self.ends[text(event, "side")], Epoch(number(event, "epoch")), event["result"])
            case "promote":
                self._promote(text(event, "side"), Epoch(number(event, "epoch")), event)
            case "send" | "lost" as op:
                sender = text(event, "from")
                [frame] = self.ends[sender].seal([octets(event, "payload")])
                assert frame[LENGTH_BYTES:] == octets(event, "frame")
                if op == "send":
                    assert frame == octets(event, "wire")
                    self._deliver(OTHER_SIDE[sender], event)
            case "deliver":
                self._deliver(text(event, "to"), event)
            case "retire":
                pass  # ours does it by itself; what is held now is compared like after every event
            case unknown:
                pytest.fail(f"a step that this test does not know: {unknown}")

    def _stage(self, end: StreamSession, epoch: Epoch, result: object) -> None:
        # The keys of an epoch that is refused are not in the recording.
        keys = self.keys.get(epoch, self.keys[0])
        if result == "ok":
            end.install(epoch, keys)
        else:
            with pytest.raises(EpochRefusedError):
                end.install(epoch, keys)

    def _promote(self, side: str, epoch: Epoch, event: JsonObject) -> None:
        if number(child(event, f"{side}_state"), "send") == epoch:
            self.ends[side].activate(epoch)
        else:  # the Go program passes over an epoch that was not installed, ours says so
            with pytest.raises(EpochRefusedError):
                self.ends[side].activate(epoch)

    def _deliver(self, side: str, event: JsonObject) -> None:
        end, body, result = self.ends[side], octets(event, "frame"), text(event, "result")
        if result == "ok":
            assert plaintexts_of(end.open([body])) == list(filter(None, [octets(event, "payload")]))
        elif len(body) < 18:  # recorded below the rule by which a server passes over it
            ignored = end.drops.ignored
            assert end.open([body]).authenticated == 0
            assert end.drops.ignored == ignored + 1
        else:
            with pytest.raises(StreamBrokenError) as caught:
                end.open([body])
            assert ("not in use" in caught.value.reason) is (result == "unknown_epoch")
            # The recording goes on below the rule that the connection has to end.
            end._broken = None


@pytest.mark.parametrize("case", vectors.cases(FRAMES, "stream"), ids=lambda case: text(case, "name"))
def test_a_recorded_conversation_is_sealed_and_opened_alike(case: JsonObject) -> None:
    recorded = Recorded(case)

    for event in recorded.events:
        recorded.replay(event)
        for name, end in recorded.ends.items():
            state = child(event, f"{name}_state")
            assert end.send_epoch == number(state, "send")
            assert end.receive_epochs[-1] == number(state, "newest")
            held = () if state["previous"] is None else (number(state, "previous"),)
            # The recordings retire on command, ours as soon as it may.
            assert end.receive_epochs[:-1] in ((), held)
            if event["op"] in {"stage", "retire"} and event["side"] == name:
                assert end.receive_epochs[:-1] == held


def test_the_last_recorded_counter_is_used_and_none_after_it() -> None:
    [case] = vectors.cases(FRAMES, "counter_limit")
    sender, receiver = (StreamSession(PRIMITIVES, role, session_id_of(case), keys_of(case)) for role in Role)
    last = (1 << 80) - 2
    sender._counter = SendCounter(Epoch(0), last)
    receiver._newest.counter = last

    [frame] = sender.seal([octets(case, "payload")])

    assert frame == framed(octets(case, "frame"))
    assert receiver.open([frame[LENGTH_BYTES:]]).packets == [octets(case, "payload")]
    assert case["next_result"] == "failure"
    with pytest.raises(NonceExhaustedError):
        sender.seal([b"one too many"])


def test_every_epoch_that_we_may_come_to_is_one_that_the_go_program_opens() -> None:
    [case] = vectors.cases(FRAMES, "epoch_limit")
    opened = [
        number(event, "new_epoch") for event in vectors.children(case, "events") if event["result"] == "ok"
    ]

    for epoch in opened:
        ours = StreamSession(PRIMITIVES, Role.SERVER, SessionId(bytes(32)), EpochKeys(bytes(32), bytes(32)))
        ours.install(Epoch(epoch), EpochKeys(bytes(32), bytes(32)))
        assert ours.receive_epochs == (0, epoch)
    assert max(opened) >= LAST_EPOCH


@pytest.mark.parametrize("case", vectors.cases(FRAMES, "framing_read"), ids=lambda case: text(case, "note"))
def test_a_recorded_stream_is_split_alike(case: JsonObject) -> None:
    stopped_by, stream = text(case, "stopped_by"), octets(case, "input")
    largest = number(case, "buffer") if stopped_by == "buffer_too_small" else 1518

    bodies, incomplete, error = fed(byte_by_byte(stream), largest)

    assert bodies == octets_list(case, "frames")
    assert (error is not None) is (stopped_by in {"zero_length", "too_long", "buffer_too_small"})
    if error is None:
        assert bool(incomplete) is stopped_by.startswith("cut")


@pytest.mark.parametrize(
    "case", vectors.cases(FRAMES, "framing_write"), ids=lambda case: str(case["body_length"])
)
def test_a_message_is_framed_as_recorded(case: JsonObject) -> None:
    body = bytes(number(case, "body_length"))

    if case["result"] == "ok":
        frame = framed(body)
        assert frame == octets(case, "header") + body
        assert len(frame) == number(case, "wire_length")
    else:
        with pytest.raises(ValueError, match="1 to 1518"):
            framed(body)


connections = pytest.mark.parametrize(
    "case", vectors.cases("tcp_transcript", "tcp_session"), ids=lambda case: text(case, "name")
)


def whole(stream: bytes) -> list[bytes]:
    """The messages of a connection that was closed behind one."""
    bodies, taken = split_frames(stream)
    assert taken == len(stream)
    return [bytes(body) for body in bodies]


@connections
def test_the_handshake_of_a_recorded_connection_comes_out_alike(case: JsonObject) -> None:
    (message1, *_), (message2, *_) = (
        whole(octets(case, "client_stream")),
        whole(octets(case, "server_stream")),
    )
    capabilities = CAPABILITIES[octets(case, "msg2_payload")]
    server_static = KeyPair.from_private(PRIMITIVES, octets(case, "server_static_private"))
    client_static = KeyPair.from_private(PRIMITIVES, octets(case, "client_static_private"))
    client = ClientHandshake(
        PRIMITIVES, server_static.public, client_static, capabilities, delivery=Delivery.STREAM
    )
    server = ServerHandshake(
        PRIMITIVES,
        server_static,
        AccessList((Peer(public_key=client_static.public, client_id=1),)),
        CookieJar(COOKIE_SECRET),
        supported=capabilities,
    )
    nothing = scripted_entropy([])

    # MAC2 is noise, the last bytes of the recorded message.
    entropy = scripted_entropy([octets(case, "client_ephemeral_private"), message1[-MAC_BYTES:]])
    assert client.start(0.0, entropy) == message1
    accepted = server.respond(
        message1, "192.0.2.1", 0.0, UNIX_S, scripted_entropy([octets(case, "server_ephemeral_private")])
    )
    assert isinstance(accepted, Accepted)
    assert accepted.message2 == message2
    established = client.receive(message2, 0.0, nothing)

    assert isinstance(established, Established)
    assert established.capabilities == accepted.capabilities == capabilities
    assert established.session_id == accepted.session_id == session_id_of(case)
    assert established.keys == accepted.keys == keys_of(case)


@connections
@pytest.mark.parametrize("sender", ROLES)
def test_the_packets_of_a_recorded_connection_are_sealed_and_opened_alike(
    case: JsonObject, sender: str
) -> None:
    handshake, *bodies = whole(octets(case, f"{sender}_stream"))
    plaintexts = octets_list(case, f"{sender}_plaintexts")
    role = ROLES[sender]
    session_id, keys = session_id_of(case), keys_of(case)

    sealed = StreamSession(PRIMITIVES, role, session_id, keys).seal(plaintexts)
    opened = StreamSession(PRIMITIVES, role.opposite, session_id, keys).open(bodies)

    assert framed(handshake) + b"".join(sealed) == octets(case, f"{sender}_stream")
    assert plaintexts_of(opened) == plaintexts


def test_the_specification_s_first_ping_and_pong() -> None:
    session_id = SessionId(bytes.fromhex("cfc21ca9a46d18e99a511cca81b318712ac36f2402c8cafc0d529591c6673e0e"))
    keys = EpochKeys(
        bytes.fromhex("e20c76acc4af8819011bc1871ae98eaebb9a71106fa48c136336863a307bcc0c"),
        bytes.fromhex("da57a2f42f2857ebbb37618294f0aa0c909a85fc6cef447fd29c4b369d2bbdc4"),
    )

    [ping] = StreamSession(PRIMITIVES, Role.CLIENT, session_id, keys).seal([b"\xff\x01\x04"])
    [pong] = StreamSession(PRIMITIVES, Role.SERVER, session_id, keys).seal([b"\xff\x01\x05"])

    assert ping.hex() == "00150000839b3f5ad4e21d5951194b1f77532d039ef398"
    assert pong.hex() == "00150000da1faa1d526d4d7d583edbf1fab4af1fb3bb38"
