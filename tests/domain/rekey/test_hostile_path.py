"""A thousand rekeys in a row, both versions, through a path that does everything but respect the order."""

import pytest

from domain.packets.service import PING
from domain.rekey.client import ClientPhase
from domain.rekey.rules import RekeyVersion
from domain.session.datagram import DatagramSession
from domain.session.liveness import DEAD_AFTER_S, ClientLiveness, LivenessAction
from tests.domain.rekey.conversation import ClientEnd, ServerEnd, assert_agreed
from tests.domain.rekey.hostile import LONGEST_DELAY_S, Chances, HostilePath

REKEYS = 1000
INTERVAL_S = 10.0  # far below the real one: more happens while old datagrams are still in flight
TRAFFIC_EVERY_S = 0.5
MOST_STEPS = REKEYS * 1000  # fewer than 100 are usual for a rekey
NO_MISCHIEF = Chances(lost=0.0, doubled=0.0, late=0.0, damaged=0.0)


class Tunnel:
    """Two ends, a hostile path between them, a clock that jumps to whatever happens next."""

    def __init__(self, version: RekeyVersion, seed: int) -> None:
        self.client = ClientEnd(version, interval_s=INTERVAL_S)
        self.server = ServerEnd(version)
        self.up = HostilePath(seed, Chances())
        self.down = HostilePath(seed + 1, Chances())
        self.liveness = ClientLiveness(0.0)
        self.now_s = 0.0
        self.traffic_at_s = TRAFFIC_EVERY_S
        self.client_heard_at_s = self.server_heard_at_s = 0.0
        self.longest_silence_s = 0.0
        self.is_dead = False
        self.steps = 0

    def is_alive(self) -> bool:
        """Neither end has given up, and things get on."""
        return self.client.verdict is None and not self.is_dead and self.steps < MOST_STEPS

    def step(self) -> None:
        """Jump to the next event and let everything happen that is due then."""
        self.steps += 1
        deadlines = (self.client.rekey.next_deadline(), self.liveness.next_deadline_s(), self.traffic_at_s)
        arrivals = (self.up.next_arrival_s(), self.down.next_arrival_s())
        self.now_s = now_s = min(*deadlines, *arrivals)
        if now_s >= self.traffic_at_s:
            self.traffic_at_s += TRAFFIC_EVERY_S
            self.client.send(b"\x45 up")
            self.server.send(b"\x45 down")
        match self.liveness.handle_timer(now_s):
            case LivenessAction.DEAD:
                self.is_dead = True
            case LivenessAction.SEND_PING:
                self.client.send(PING)
            case None:
                pass
        self.up.send(self.client.tick(now_s), now_s)
        self.deliver()

    def deliver(self) -> None:
        now_s = self.now_s
        to_server, to_client = self.up.arrived(now_s), self.down.arrived(now_s)
        heard_by_server, heard_by_client = len(self.server.packets), len(self.client.packets)
        self.down.send(self.server.take(), now_s)
        self.down.send(self.server.receive(to_server), now_s)
        self.up.send(self.client.receive(to_client, now_s), now_s)
        if len(self.server.packets) > heard_by_server:
            self.longest_silence_s = max(self.longest_silence_s, now_s - self.server_heard_at_s)
            self.server_heard_at_s = now_s
        if len(self.client.packets) > heard_by_client:
            self.longest_silence_s = max(self.longest_silence_s, now_s - self.client_heard_at_s)
            self.client_heard_at_s = now_s
            self.liveness.authenticated(now_s)

    def calm_down(self) -> None:
        """No more mischief: whatever is under way comes to its end."""
        self.up.chances = self.down.chances = NO_MISCHIEF
        until_s = self.now_s + 2 * LONGEST_DELAY_S
        while self.now_s < until_s or (self.is_alive() and self.client.rekey.phase is not ClientPhase.IDLE):
            self.step()


def unknown_epochs(end: ClientEnd | ServerEnd) -> int:
    assert isinstance(end.crypto, DatagramSession)
    return end.crypto.drops.unknown_epoch


def unauthenticated(end: ClientEnd | ServerEnd) -> int:
    assert isinstance(end.crypto, DatagramSession)
    return end.crypto.drops.unauthenticated


@pytest.mark.parametrize("version", RekeyVersion)
@pytest.mark.parametrize("seed", [1, 20])
def test_a_thousand_rekeys_survive_a_hostile_path(version: RekeyVersion, seed: int) -> None:
    tunnel = Tunnel(version, seed)
    client, server = tunnel.client, tunnel.server
    while client.rekey.send_epoch < REKEYS and tunnel.is_alive():
        tunnel.step()
    tunnel.calm_down()

    assert client.rekey.send_epoch >= REKEYS
    assert_agreed(client, server, client.rekey.send_epoch)
    assert not tunnel.is_dead
    assert tunnel.longest_silence_s < DEAD_AFTER_S
    # Whatever was in flight could be opened when it arrived: its epoch was installed and still in the ring.
    assert unknown_epochs(client) == unknown_epochs(server) == 0
    # Only what the path damaged did not open: at no moment did the two ends hold different keys for an epoch.
    assert 0 < unauthenticated(server) <= tunnel.up.damaged
    assert 0 < unauthenticated(client) <= tunnel.down.damaged
    # And the path was hostile: inits and acks were lost and sent again.
    assert len(server.service_sent) > REKEYS
    assert client.rekey.refused == server.rekey.refused == 0
    if version is RekeyVersion.V2:  # which repeats so soon that answers arrive when nobody waits for them
        assert client.rekey.ignored > 0
        assert server.rekey.ignored > 0


def test_the_path_does_the_same_for_the_same_seed() -> None:
    def epochs_after_a_while() -> tuple[float, int, int]:
        tunnel = Tunnel(RekeyVersion.V2, seed=7)
        for _ in range(2000):
            tunnel.step()
        return tunnel.now_s, tunnel.client.rekey.send_epoch, tunnel.up.damaged

    assert epochs_after_a_while() == epochs_after_a_while()
