"""Authenticated peers that lie in records, chunk headers and service packets: nothing unsound comes out."""

import pytest

from domain.noise.keys import Role
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import Parcel
from domain.session.aggregated_stream import AggregatedStream
from domain.session.runs import one_by_one
from domain.session.stream import StreamSession
from infrastructure.pal.linux.virtio_header import PLAIN_HEADER, header_of
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, TCP_IPV6
from tests.domain.session.aggregating import (
    MTU_BYTES,
    SESSION_ID,
    datagrams_of,
    established,
    keys_of,
    super_packet,
)
from tests.hostile.liar import Liar, flaw_of
from tests.hostile.test_lying_frames import assert_bounded

FRAMES = 1000
FLOWS = (TCP_IPV4, TCP_IPV6)
EACH_SEED = pytest.mark.parametrize("seed", range(3))


def assert_sound(parcels: list[Parcel], *, finished_ones: bool = True) -> None:
    """Finished packets in ordinary datagrams are nobody's business but the kernel's."""
    for parcel in parcels:
        packet, segment_bytes, partial_checksum = parcel
        if segment_bytes or partial_checksum:
            header = header_of(parcel, layout_of_untrusted(*parcel))
            assert flaw_of(packet, header, MTU_BYTES) is None
        elif finished_ones:
            assert flaw_of(packet, PLAIN_HEADER, MTU_BYTES) is None


@EACH_SEED
def test_over_datagrams_what_comes_out_is_sound_and_what_is_kept_is_bounded(seed: int) -> None:
    ends = established()
    liar = Liar(seed, FLOWS)
    came = malformed = dropped = 0
    for _ in range(FRAMES):
        opened = ends.server.open_parcels(one_by_one(liar.datagrams(ends.client)))
        assert_sound(opened.parcels, finished_ones=False)
        assert_bounded(ends.server)
        came += len(opened.parcels)
        malformed += opened.malformed
        dropped += opened.dropped
    assert min(came, malformed, dropped) > FRAMES // 4
    assert len(ends.server._loss._frames) <= 128
    assert 1 <= ends.server.limit.datagrams <= 46
    assert ends.up(super_packet(9)).parcels == [super_packet(9)]


@EACH_SEED
def test_the_datagrams_of_two_lying_frames_may_be_mixed_and_joined_as_they_come(seed: int) -> None:
    ends = established()
    liar = Liar(seed, FLOWS)
    came = 0
    for _ in range(FRAMES // 2):
        pair = zip(liar.datagrams(ends.client), liar.datagrams(ends.client), strict=False)
        mixed = [each for both in pair for each in both]
        longest = max(map(len, mixed), default=1)
        runs = [(b"".join(mixed), longest or 1), *one_by_one(mixed)]
        opened = ends.server.open_parcels([run for run in runs if run[0]])
        assert_sound(opened.parcels, finished_ones=False)
        assert_bounded(ends.server)
        came += len(opened.parcels)
    assert came > 0
    assert ends.up(super_packet(9)).parcels == [super_packet(9)]


@EACH_SEED
def test_over_a_stream_what_comes_out_is_sound_and_the_stream_goes_on(seed: int) -> None:
    client, server = (
        AggregatedStream(PlainPrimitives(), role, SESSION_ID, keys_of(0), mtu_bytes=MTU_BYTES)
        for role in Role
    )
    liar = Liar(seed, FLOWS)
    came = malformed = 0
    for _ in range(FRAMES):
        plaintext = liar.plaintext()
        sealed = StreamSession.seal(client, [plaintext])
        opened = server.open_parcels(one_by_one([frame[2:] for frame in sealed]))
        assert opened.consumed == 1
        assert_sound(opened.parcels)
        came += len(opened.parcels)
        malformed += opened.malformed
    assert min(came, malformed) > FRAMES // 4
    whole = server.open_parcels(
        one_by_one([frame[2:] for frame in datagrams_of(client.seal_parcels([super_packet(9)]))])
    )
    assert whole.parcels == [super_packet(9)]
