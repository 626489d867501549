"""A thousand rekeys in a row over whole tunnels, in the worst weather that a session has to survive."""

import pytest

from domain.session.liveness import DEAD_AFTER_S
from tests.adapters.udp import Weather
from tests.application.bed import Bed
from tests.hostile.journey import Journey

REKEYS = 1000
INTERVAL_S = 10.0  # close enough together that late datagrams of one exchange meet the next
STORM = Weather(loss=0.2, duplication=0.1, reordering=0.2, corruption=0.05)
LATE = 0.05


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_rekeys_in_a_storm_lose_no_session_and_never_stall(seed: int) -> None:
    bed = Bed(seed=seed, rekey_interval_s=INTERVAL_S)
    journey = Journey(bed, seed, LATE)
    bed.network.weather = STORM
    while journey.session.crypto.send_epoch < REKEYS:
        journey.travel(100)
        assert bed.clock.now_s < 2 * REKEYS * INTERVAL_S, "rekeys take too long"
    assert list(bed.server.sessions) == [journey.session]
    assert journey.up.longest_stall_s < DEAD_AFTER_S
    assert journey.down.longest_stall_s < DEAD_AFTER_S

    network = bed.network
    assert min(network.lost, network.duplicated, network.reordered, network.corrupted, journey.late) > 100

    bed.network.weather = Weather()
    arrived = journey.up.arrived, journey.down.arrived
    journey.travel(30)
    assert journey.up.arrived - arrived[0] >= 25
    assert journey.down.arrived - arrived[1] >= 25
    assert journey.client.established.crypto.send_epoch == journey.session.crypto.send_epoch
