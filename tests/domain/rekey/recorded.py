"""The rekeys recorded from the Go program, as typed dictionaries."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

from domain.noise.keys import EpochKeys

_FOLDER = Path(__file__).parents[2] / "vectors"


class Keys(TypedDict):
    c2s_key: str
    s2c_key: str


class State(Keys):
    """Where one end stands after an operation; ``c2s_key`` and ``s2c_key`` are those of the send epoch."""

    phase: str
    send_epoch: int


class Event(TypedDict):
    """One operation of a scenario; which fields it has depends on ``op``."""

    op: str
    result: str
    note: str
    client: State
    server: State
    packet: NotRequired[str]
    response: NotRequired[str]
    carrier_epoch: NotRequired[int]
    epoch: NotRequired[int]
    seconds: NotRequired[float]
    room: NotRequired[int]
    client_ephemeral_private: NotRequired[str]
    server_ephemeral_private: NotRequired[str]


class Step(TypedDict):
    """One of a chain of rekeys."""

    old_epoch: int
    new_epoch: int
    old_c2s_key: str
    old_s2c_key: str
    new_c2s_key: str
    new_s2c_key: str
    client_ephemeral_private: str
    server_ephemeral_private: str
    init_packet: str
    ack_packet: str
    init_wire: str
    ack_wire: str
    first_client_payload: str
    first_client_wire: str
    first_server_payload: str
    first_server_wire: str
    prologue: NotRequired[str]


class Handshake(TypedDict):
    client_static_private: str
    server_static_private: str


class Case(TypedDict):
    """One recorded case; which fields it has depends on ``kind``."""

    kind: str
    name: NotRequired[str]
    style: NotRequired[str]
    transport: NotRequired[str]
    version: NotRequired[int]
    session_id: NotRequired[str]
    c2s_key: NotRequired[str]
    s2c_key: NotRequired[str]
    handshake: NotRequired[Handshake]
    interval_seconds: NotRequired[float]
    events: NotRequired[list[Event]]
    steps: NotRequired[list[Step]]
    private: NotRequired[str]
    peer_public: NotRequired[str]
    old_c2s_key: NotRequired[str]
    old_s2c_key: NotRequired[str]
    new_c2s_key: NotRequired[str]
    new_s2c_key: NotRequired[str]


def load(name: str) -> list[Case]:
    """The cases of one file."""
    cases: list[Case] = json.loads((_FOLDER / name).read_text())["cases"]
    return cases


def keys_of(client_to_server: str, server_to_client: str) -> EpochKeys:
    """Keys from hexadecimal."""
    return EpochKeys(bytes.fromhex(client_to_server), bytes.fromhex(server_to_client))


CASES = load("rekey_v1.json") + load("rekey_v2.json")


def label_of(case: Case) -> str:
    """What to call a case in a report."""
    return f"v{case.get('version', 1)}-{case.get('name', case['kind'])}"


def select(kind: str, style: str | None) -> list[Case]:
    """The cases of a kind; ``style`` is whose behaviour they show, None for those that show nobody's."""
    return [case for case in CASES if case["kind"] == kind and case.get("style") == style]
