"""The weather of the network in memory: what hostile tests rely on."""

from application.network.udp.packet import PacketFlags
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from tests.adapters.udp import INBOX_LIMIT, FakeNetwork, Weather

SENT = [number.to_bytes(2, "big") for number in range(1000)]


def arrivals(weather: Weather, seed: int = 7) -> tuple[list[bytes], FakeNetwork]:
    """What arrives of SENT, in order."""
    network = FakeNetwork(seed, weather)
    sender = network.listen(Endpoint("192.0.2.1", 1))
    receiver = network.listen(Endpoint("192.0.2.2", 2))
    assert sender.batch_egress().send_batch(SENT, receiver.local_endpoint) == len(SENT)
    packets = DatagramBuffer.allocate(2 * len(SENT), 64)
    count = receiver.batch_ingress().read_batch(packets)
    assert all(packet.flags == PacketFlags.NONE for packet in packets[:count])
    return [bytes(packet.view[: packet.length]) for packet in packets[:count]], network


def test_calm_weather_changes_nothing() -> None:
    assert arrivals(Weather())[0] == SENT


def test_loss_takes_its_share_and_keeps_the_order() -> None:
    arrived, network = arrivals(Weather(loss=0.2))
    assert len(arrived) == len(SENT) - network.lost
    assert 100 < network.lost < 300
    assert arrived == sorted(arrived)


def test_duplication_delivers_twice() -> None:
    arrived, network = arrivals(Weather(duplication=0.2))
    assert len(arrived) == len(SENT) + network.duplicated
    assert sorted(set(arrived)) == SENT
    assert 100 < network.duplicated < 300


def test_reordering_loses_nothing() -> None:
    arrived, network = arrivals(Weather(reordering=0.2))
    assert arrived != SENT
    assert sorted(arrived) == SENT
    assert 100 < network.reordered < 300


def test_corruption_flips_one_bit_each_time() -> None:
    arrived, network = arrivals(Weather(corruption=0.2))
    flipped = [
        (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()
        for a, b in zip(arrived, SENT, strict=True)
    ]
    assert set(flipped) == {0, 1}
    assert sum(flipped) == network.corrupted


def test_the_same_seed_brings_the_same_weather() -> None:
    storm = Weather(loss=0.1, duplication=0.1, reordering=0.1, corruption=0.1)
    assert arrivals(storm, seed=1)[0] == arrivals(storm, seed=1)[0]
    assert arrivals(storm, seed=1)[0] != arrivals(storm, seed=2)[0]


def test_a_receiver_that_does_not_read_loses_the_newest() -> None:
    network = FakeNetwork()
    sender = network.listen(Endpoint("192.0.2.1", 1))
    receiver = network.listen(Endpoint("192.0.2.2", 2))
    sender.batch_egress().send_batch([b"x"] * (INBOX_LIMIT + 5), receiver.local_endpoint)
    assert len(receiver.mailbox.inbox) == INBOX_LIMIT
