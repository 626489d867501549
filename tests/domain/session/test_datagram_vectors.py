"""Datagrams and whole conversations recorded from the Go program."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

import pytest

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.session.datagram import DatagramSession
from domain.session.epochs import EpochRefusedError
from domain.session.identifiers import Epoch
from domain.session.nonce import COUNTER_LOW_BITS, NonceExhaustedError, SendCounter
from domain.session.opened import OpenedBatch
from tests.adapters.primitives import PlainPrimitives

VECTORS = Path(__file__).parents[2] / "vectors" / "udp_frames.json"
ROLES = {"client": Role.CLIENT, "server": Role.SERVER}


class Event(TypedDict):
    """A step of a conversation; which fields it has depends on ``op``."""

    op: NotRequired[str]
    side: NotRequired[str]
    epoch: NotRequired[int]
    note: NotRequired[str]
    datagram: NotRequired[str]
    payload: NotRequired[str]
    result: str
    client_epochs: NotRequired[list[int]]
    server_epochs: NotRequired[list[int]]
    client_send_epoch: NotRequired[int]
    server_send_epoch: NotRequired[int]


class KeysOfEpoch(TypedDict):
    epoch: int
    c2s_key: str
    s2c_key: str


class Frame(TypedDict):
    direction: str
    datagram: str
    payload: str


class Case(TypedDict):
    """One recorded case; which fields it has depends on ``kind``."""

    kind: str
    session_id: str
    c2s_key: NotRequired[str]
    s2c_key: NotRequired[str]
    note: NotRequired[str]
    direction: NotRequired[str]
    epoch: NotRequired[int]
    counter_low: NotRequired[int]
    counter_high: NotRequired[int]
    payload: NotRequired[str]
    datagram: NotRequired[str]
    receiver: NotRequired[str]
    result: NotRequired[str]
    frames: NotRequired[list[Frame]]
    events: NotRequired[list[Event]]
    keys: NotRequired[list[KeysOfEpoch]]


def cases(kind: str) -> list[Case]:
    every: list[Case] = json.loads(VECTORS.read_text())["cases"]
    found = [case for case in every if case["kind"] == kind]
    assert found
    return found


def session(case: Case, role: Role) -> DatagramSession:
    keys = EpochKeys(bytes.fromhex(case["c2s_key"]), bytes.fromhex(case["s2c_key"]))
    made = DatagramSession(PlainPrimitives(), role, SessionId(bytes.fromhex(case["session_id"])), keys)
    if epoch := Epoch(case.get("epoch", 0)):
        made.install(epoch, keys)
        made.activate(epoch)
    return made


def plaintexts_of(opened: OpenedBatch) -> list[bytes]:
    return opened.packets + [plaintext for _, plaintext in opened.service]


def result_of(receiver: DatagramSession, datagram: bytes) -> str:
    """What became of one datagram, in the words of the recordings."""
    drops = receiver.drops
    before = (drops.wrong_route, drops.unknown_epoch, drops.replayed)
    if receiver.open([datagram]).authenticated:
        return "ok"
    after = (drops.wrong_route, drops.unknown_epoch, drops.replayed)
    names = ("unknown_route", "unknown_epoch", "replay")
    return next((name for name, a, b in zip(names, before, after, strict=True) if a != b), "failure")


@pytest.mark.parametrize(
    "case",
    cases("frame"),
    ids=lambda case: (
        f"{case['direction']}-{case['epoch']}-{case['counter_high']}-{case['counter_low']}"
        f"-{len(case['payload']) // 2}"
    ),
)
def test_a_recorded_datagram_is_sealed_and_opened_alike(case: Case) -> None:
    sender_role = Role(case["direction"].encode())
    sender, receiver = session(case, sender_role), session(case, sender_role.opposite)
    counter = case["counter_high"] << COUNTER_LOW_BITS | case["counter_low"]
    sender._counter = SendCounter(Epoch(case["epoch"]), last=counter - 1)
    payload = bytes.fromhex(case["payload"])

    [datagram] = sender.seal([payload])
    opened = receiver.open([datagram])

    assert datagram.hex() == case["datagram"]
    assert opened.authenticated == 1
    assert opened.highest_epoch == case["epoch"]
    assert plaintexts_of(opened) == ([payload] if payload else [])
    assert receiver.drops.empty == (not payload)


def test_each_direction_of_a_recorded_session_counts_on_its_own() -> None:
    [case] = cases("fresh_session")
    ends = {role: session(case, role) for role in Role}

    for frame in case["frames"]:
        sender = Role(frame["direction"].encode())
        payload = bytes.fromhex(frame["payload"])
        [datagram] = ends[sender].seal([payload])
        assert datagram.hex() == frame["datagram"]
        assert ends[sender.opposite].open([datagram]).packets == [payload]


def test_the_last_recorded_counter_is_used_and_none_after_it() -> None:
    [case] = cases("counter_limit")
    sender = session(case, Role.CLIENT)
    sender._counter = SendCounter(Epoch(0), last=(1 << 80) - 2)

    assert sender.seal([bytes.fromhex(case["payload"])])[0].hex() == case["datagram"]
    with pytest.raises(NonceExhaustedError):
        sender.seal([b"one too many"])


@pytest.mark.parametrize("case", cases("decrypt"), ids=lambda case: case["note"])
def test_a_recorded_datagram_has_the_recorded_fate(case: Case) -> None:
    receiver = session(case, ROLES[case["receiver"]])
    datagram = bytes.fromhex(case["datagram"])

    assert result_of(receiver, datagram) == case["result"]
    if "payload" in case:
        fresh = session(case, ROLES[case["receiver"]])
        assert plaintexts_of(fresh.open([datagram])) == [bytes.fromhex(case["payload"])]


def test_a_recorded_conversation_is_replayed_with_the_same_verdicts() -> None:
    [case] = cases("replay_packets")
    receiver = session(case, Role.SERVER)

    for event in case["events"]:
        assert result_of(receiver, bytes.fromhex(event["datagram"])) == event["result"], event["note"]


def test_recorded_rekeys_move_both_rings_alike() -> None:
    [case] = cases("epoch_ring")
    primitives, session_id = PlainPrimitives(), SessionId(bytes.fromhex(case["session_id"]))
    keys = {
        each["epoch"]: EpochKeys(bytes.fromhex(each["c2s_key"]), bytes.fromhex(each["s2c_key"]))
        for each in case["keys"]
    }
    ends = {name: DatagramSession(primitives, role, session_id, keys[0]) for name, role in ROLES.items()}
    other = {"client": "server", "server": "client"}

    for event in case["events"]:
        side = event["side"]
        match event["op"]:
            case "stage":
                epoch = Epoch(event["epoch"])
                if event["result"] == "ok":
                    ends[side].install(epoch, keys[epoch])
                else:
                    with pytest.raises(EpochRefusedError):
                        ends[side].install(epoch, keys[epoch])
            case "promote":
                ends[side].activate(Epoch(event["epoch"]))
            case "send" | "hold" as op:
                [datagram] = ends[side].seal([bytes.fromhex(event["payload"])])
                assert datagram.hex() == event["datagram"]
                if op == "send":
                    assert result_of(ends[other[side]], datagram) == event["result"]
            case "deliver":
                assert result_of(ends[side], bytes.fromhex(event["datagram"])) == event["result"]
            case unknown:
                pytest.fail(f"a step that this test does not know: {unknown}")
        for name, end in ends.items():
            recorded = {
                "client": (event["client_epochs"], event["client_send_epoch"]),
                "server": (event["server_epochs"], event["server_send_epoch"]),
            }
            assert (list(end.receive_epochs), end.send_epoch) == recorded[name]


def test_the_specification_s_first_ping_and_pong() -> None:
    session_id = SessionId(bytes.fromhex("cfc21ca9a46d18e99a511cca81b318712ac36f2402c8cafc0d529591c6673e0e"))
    keys = EpochKeys(
        bytes.fromhex("e20c76acc4af8819011bc1871ae98eaebb9a71106fa48c136336863a307bcc0c"),
        bytes.fromhex("da57a2f42f2857ebbb37618294f0aa0c909a85fc6cef447fd29c4b369d2bbdc4"),
    )
    client = DatagramSession(PlainPrimitives(), Role.CLIENT, session_id, keys)
    server = DatagramSession(PlainPrimitives(), Role.SERVER, session_id, keys)

    [ping], [pong] = client.seal([b"\xff\x01\x04"]), server.seal([b"\xff\x01\x05"])

    assert ping.hex() == "cfc21ca9a46d18e9000000000000000100000000839b3f5ad4e21d5951194b1f77532d039ef398"
    assert pong.hex() == "cfc21ca9a46d18e9000000000000000100000000da1faa1d526d4d7d583edbf1fab4af1fb3bb38"
