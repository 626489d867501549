"""Every recorded scenario, operation by operation, against our machines and against the model of March."""

import pytest

from domain.noise.keys import KeyPair
from domain.packets.service import EPOCH_EXHAUSTED
from domain.rekey.client import ClientPhase, ClientRekey
from domain.rekey.effects import Effect, InstallEpoch, RekeyExhausted, SendService
from domain.rekey.rules import LAST_EPOCH, Carrier, RekeyVersion, RepeatDelays
from domain.rekey.server import ServerPhase, ServerRekey
from domain.session.identifiers import FIRST_EPOCH, Epoch
from tests.adapters.primitives import PlainPrimitives
from tests.domain.rekey.march import MarchClient, MarchServer
from tests.domain.rekey.recorded import Case, Event, State, keys_of, label_of, select

PRIMITIVES = PlainPrimitives()
SHORTEST_ROOM = {1: 35, 2: 99}

CLIENT_PHASES = {
    ClientPhase.IDLE: "idle",
    ClientPhase.AWAITING_ACK: "idle",
    ClientPhase.CONFIRMING: "retiring",
    ClientPhase.ENDED: "idle",
}
SERVER_PHASES = {
    ServerPhase.IDLE: "idle",
    ServerPhase.STAGED: "staged",
    ServerPhase.RETIRING: "retiring",
}

# Where we leave August's path on purpose, after that many operations: it drops an init whose ack does not
# open, we keep it; and our client is done for after the first epoch that it cannot have, August's asks
# again.
FOLLOWED = {"damaged_ack": 3, "epoch_exhausted_client": 3}


def sent(effects: list[Effect]) -> list[bytes]:
    return [effect.plaintext for effect in effects if isinstance(effect, SendService)]


def installed(effects: list[Effect]) -> list[Epoch]:
    return [effect.epoch for effect in effects if isinstance(effect, InstallEpoch)]


class Replay:
    """A client and a server machine that do what a scenario says.

    Observing and activating are single operations there, so both machines are built for datagrams, where an
    ack activates nothing at the server, and are driven one level below ``observe``.
    """

    def __init__(self, case: Case) -> None:
        version = RekeyVersion.V1 if case["version"] == 1 else RekeyVersion.V2
        keys = keys_of(case["c2s_key"], case["s2c_key"])
        handshake = case.get("handshake")
        client_private = bytes.fromhex(handshake["client_static_private"]) if handshake else bytes([1]) * 32
        server_private = bytes.fromhex(handshake["server_static_private"]) if handshake else bytes([2]) * 32
        client_static = KeyPair.from_private(PRIMITIVES, client_private)
        server_static = KeyPair.from_private(PRIMITIVES, server_private)
        name = case["name"]
        interval_s = case["interval_seconds"]
        self.name = name
        self.shortest_room = SHORTEST_ROOM[case["version"]]
        self.admitted = True
        self.now_s = 0.0
        self.client = ClientRekey(
            PRIMITIVES,
            client_static,
            server_static.public,
            version=version,
            carrier=Carrier.DATAGRAM,
            keys=keys,
            now_s=0.0,
            interval_s=interval_s,
            repeats=RepeatDelays(interval_s, interval_s),
            last_epoch=FIRST_EPOCH if name == "epoch_exhausted_client" else LAST_EPOCH,
        )
        self.server = ServerRekey(
            PRIMITIVES,
            server_static,
            client_static.public,
            version=version,
            carrier=Carrier.DATAGRAM,
            keys=keys,
            still_admitted=lambda: self.admitted,
            last_epoch=FIRST_EPOCH if name.startswith("epoch_exhausted_server") else LAST_EPOCH,
        )

    def client_init(self, event: Event) -> None:
        self.now_s = event["seconds"]
        if event["room"] < self.shortest_room:
            return  # our service packets need no room in a buffer of the caller's
        ephemeral = bytes.fromhex(event.get("client_ephemeral_private", ""))
        effects = self.client.handle_timer(self.now_s, lambda _size: ephemeral)
        assert sent(effects) == ([bytes.fromhex(event["packet"])] if event["result"] == "ok" else [])

    def server_init(self, event: Event) -> None:
        before = self.server.ignored + self.server.refused
        ephemeral = bytes.fromhex(event.get("server_ephemeral_private", ""))
        self.admitted = not (self.name == "removed_peer" and event["result"] != "ok")
        effects = self.server.receive(
            Epoch(event["carrier_epoch"]), bytes.fromhex(event["packet"]), lambda _size: ephemeral
        )
        match event["result"]:
            case "ok":
                assert sent(effects) == [bytes.fromhex(event["response"])]
                assert set(installed(effects)) <= {Epoch(event["epoch"])}
                assert bool(installed(effects)) is bool(ephemeral)
            case "epoch_exhausted":
                assert effects == [SendService(EPOCH_EXHAUSTED), RekeyExhausted()]
            case _:
                assert effects == []
                assert self.server.ignored + self.server.refused == before + 1

    def client_ack(self, event: Event, before_s: float) -> None:
        before = self.client.ignored + self.client.refused
        self.now_s = before_s
        effects = self.client.receive(
            Epoch(event["carrier_epoch"]), bytes.fromhex(event["packet"]), self.now_s
        )
        match event["result"]:
            case "ok":
                assert installed(effects) == [self.client.send_epoch]
            case "epoch_exhausted":
                assert effects == [RekeyExhausted()]
            case _:
                assert effects == []
                assert self.client.ignored + self.client.refused == before + 1

    def perform(self, event: Event, before_s: float) -> None:
        match event["op"]:
            case "client_init":
                self.client_init(event)
            case "server_init":
                self.server_init(event)
            case "client_ack":
                self.client_ack(event, before_s)
            case "client_observe":
                self.client.observe(Epoch(event["epoch"]))
            case "server_observe":
                self.server._see(Epoch(event["epoch"]))
            case "server_activate":
                self.server._activate(Epoch(event["epoch"]))
            case operation:
                # A client activates as soon as it has the ack; what comes later finds nothing to do.
                assert operation == "client_activate"

    def client_state(self) -> State:
        keys = self.client.current_keys
        return {
            "phase": CLIENT_PHASES[self.client.phase],
            "send_epoch": self.client.send_epoch,
            "c2s_key": keys.client_to_server.hex(),
            "s2c_key": keys.server_to_client.hex(),
        }

    def server_state(self) -> State:
        keys = self.server.current_keys
        return {
            "phase": SERVER_PHASES[self.server.phase],
            "send_epoch": self.server.send_epoch,
            "c2s_key": keys.client_to_server.hex(),
            "s2c_key": keys.server_to_client.hex(),
        }


@pytest.mark.parametrize("case", select("scenario", "head"), ids=label_of)
def test_our_machines_do_what_august_did(case: Case) -> None:
    replay = Replay(case)
    events = case["events"][: FOLLOWED.get(case["name"])]
    assert events
    for number, event in enumerate(events):
        # A recorded ack has no time; just before the next timer will do, for no confirmation is due by then.
        timers = [later["seconds"] for later in events[number:] if "seconds" in later]
        replay.perform(event, before_s=min(timers) - 0.5 if timers else replay.now_s)
        where = f"after operation {number}: {event['op']} {event['note']}"
        assert replay.client_state() == event["client"], f"client {where}"
        assert replay.server_state() == event["server"], f"server {where}"


@pytest.mark.parametrize("case", select("scenario", "march"), ids=label_of)
def test_the_model_of_march_does_what_march_did(case: Case) -> None:
    keys = keys_of(case["c2s_key"], case["s2c_key"])
    client = MarchClient(PRIMITIVES, keys)
    server = MarchServer(PRIMITIVES, keys)
    now_s = 0.0
    for event in case["events"]:
        now_s = event.get("seconds", now_s)
        packet = bytes.fromhex(event.get("packet", ""))
        match event["op"]:
            case "client_init":
                assert client.init(bytes.fromhex(event["client_ephemeral_private"])) == packet
            case "server_init":
                ephemeral = bytes.fromhex(event.get("server_ephemeral_private", "")) or bytes(32)
                assert (server.init(packet, ephemeral, now_s) or b"").hex() == event["response"]
            case "client_ack":
                assert client.ack(packet) is (event["result"] == "ok")
            case "server_activate":
                server.seen(event["epoch"])
            case operation:
                assert operation == "server_expire"
                server.expire(now_s)
        for machine, state in ((client, event["client"]), (server, event["server"])):
            assert machine.send_epoch == state["send_epoch"]
            assert machine.current_keys == keys_of(state["c2s_key"], state["s2c_key"])
        assert (server.staged is not None) is (event["server"]["phase"] == "staged")
