"""Which datagrams share a system call, and what becomes of a run that is refused."""

import errno
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from domain.noise.primitives import Buffer
from domain.session.runs import joined
from infrastructure.network.addresses import CACHE_LIMIT, SocketAddress
from infrastructure.network.udp.egress import STRANDED_ERRNOS, ConnectedEgress
from infrastructure.network.udp.segmentation import (
    LARGEST_RUN_BYTES,
    LONGEST_RUN,
    NO_ROOM_ERRNOS,
    REMEMBERED_S,
    RunSender,
    segments_runs,
)
from tests.adapters.faulty_socket import FaultySocket

RUN = [b"one", b"two", b"six", b"10"]


class Bench:
    """A sender, the receiver that it is connected to, and the refusals that it was told about."""

    def __init__(self, sending: FaultySocket, receiver: socket.socket, *, offload: bool = True) -> None:
        self.sending = sending
        self.receiver = receiver
        self.refusals: list[int | None] = []
        self.sender = RunSender(sending, "the sender", self._goes_on, offload=offload)

    def _goes_on(self, exc: OSError) -> bool:
        self.refusals.append(exc.errno)
        return exc.errno not in NO_ROOM_ERRNOS

    def send(self, datagrams: list[Buffer], address: SocketAddress | None = None) -> int:
        return self.sender.send(joined([*map(bytes, datagrams)]), address)

    def received(self) -> list[bytes]:
        arrived = []
        while True:
            try:
                arrived.append(self.receiver.recv(65_536))
            except BlockingIOError:
                return arrived


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(0)
        yield bound


@pytest.fixture
def sending(receiver: socket.socket) -> Iterator[FaultySocket]:
    with FaultySocket(socket.AF_INET) as made:
        made.settimeout(0)
        made.connect(receiver.getsockname())
        yield made


@pytest.fixture
def bench(sending: FaultySocket, receiver: socket.socket) -> Bench:
    return Bench(sending, receiver)


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [
        ([5], []),
        ([5, 5], [2]),
        ([5, 5, 3], [3]),
        ([5, 3, 5], [2]),
        ([3, 5], []),
        ([5, 5, 3, 3, 3], [3, 2]),
        ([7] * LONGEST_RUN, [LONGEST_RUN]),
        ([7] * LONGEST_RUN + [3], [LONGEST_RUN]),
        ([7] * (2 * LONGEST_RUN), [LONGEST_RUN] * 2),
        ([7] * (LONGEST_RUN + 2), [LONGEST_RUN, 2]),
        ([1400] * 50, [46, 4]),
        ([LARGEST_RUN_BYTES // 2] * 3, [2]),
        ([LARGEST_RUN_BYTES // 2 + 1] * 2, []),
        ([LARGEST_RUN_BYTES, 1], []),
        ([65_507, 65_507], []),
    ],
)
def test_datagrams_of_one_length_go_together_and_arrive_apart(
    bench: Bench, lengths: list[int], runs: list[int]
) -> None:
    datagrams: list[Buffer] = [
        (number.to_bytes(2, "big") * length)[:length] for number, length in enumerate(lengths)
    ]
    assert bench.send(datagrams) == len(lengths)
    assert bench.sending.runs_sent == runs
    assert bench.received() == datagrams


def test_all_kinds_of_buffers_can_be_in_a_run(bench: Bench) -> None:
    batch: list[Buffer] = [b"bytes", bytearray(b"array"), memoryview(b"a view of more")[2:7]]
    assert bench.send(batch) == 3
    assert bench.sending.runs_sent == [3]
    assert bench.received() == [b"bytes", b"array", b"view "]


@pytest.mark.parametrize("offload", [False, True])
def test_without_the_offload_each_datagram_goes_alone(
    sending: FaultySocket, receiver: socket.socket, *, offload: bool
) -> None:
    sending.offloads = not offload
    assert segments_runs(sending) is not offload
    bench = Bench(sending, receiver, offload=offload)
    assert bench.send(list(RUN)) == 4
    assert sending.runs_sent == []
    assert bench.received() == RUN


def test_an_address_leads_a_run_past_the_connected_peer(bench: Bench, receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert bench.send(list(RUN), other.getsockname()) == 4
        assert [other.recv(64) for _ in RUN] == RUN
    assert bench.sending.runs_sent == [4]
    assert bench.received() == []


@pytest.mark.parametrize("number", sorted({errno.EINVAL, errno.EMSGSIZE, errno.EIO, errno.EPERM}))
def test_a_refused_run_is_sent_again_one_by_one_and_in_order(bench: Bench, number: int) -> None:
    bench.sending.send_faults.append(number)
    assert bench.send([b"longest", *RUN, b"after", b"these"]) == 7
    assert bench.received() == [b"longest", *RUN, b"after", b"these"]
    assert bench.refusals == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EMSGSIZE])
def test_datagrams_that_only_go_alone_go_alone_for_a_while(
    bench: Bench, receiver: socket.socket, number: int
) -> None:
    bench.sending.send_faults.append(number)
    assert bench.send([b"12345", b"67890", b"123456", b"789012"]) == 4
    assert bench.send([b"12345", b"67890"]) == 2
    assert bench.sending.runs_sent == []
    assert bench.send([b"1234", b"5678"]) == 2
    assert bench.sending.runs_sent == [2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert bench.send([b"12345", b"67890"], other.getsockname()) == 2
    assert bench.sending.runs_sent == [2, 2]


def test_a_path_that_was_too_narrow_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sending.send_faults.append(errno.EMSGSIZE)
    bench.send([b"12345", b"67890"])
    later_s = time.monotonic() + REMEMBERED_S
    monkeypatch.setattr("infrastructure.network.udp.segmentation.time.monotonic", lambda: later_s)
    assert bench.send([b"12345", b"67890"]) == 2
    assert bench.sending.runs_sent == [2]


def test_an_address_that_takes_nothing_teaches_nothing(bench: Bench, receiver: socket.socket) -> None:
    assert bench.send([b"12345", b"67890"], ("127.0.0.1", 0)) == 0
    assert bench.refusals == [errno.EINVAL] * 2
    bench.sending.send_faults.extend([errno.EINVAL, errno.EINVAL, 0])
    assert bench.send([b"12345", b"67890"]) == 1
    assert bench.send([b"12345", b"67890"]) == 2
    assert bench.sending.runs_sent == [2]


def test_what_was_learnt_about_addresses_stays_bounded(bench: Bench, receiver: socket.socket) -> None:
    port: int = receiver.getsockname()[1]
    bench.sending.send_faults.extend([errno.EINVAL, 0, 0] * (CACHE_LIMIT + 1))
    for number in range(CACHE_LIMIT + 1):
        bench.send([b"1", b"2"], (f"127.{number >> 8}.{number & 255}.1", port))
    first, last = ("127.0.0.1", port), (f"127.{CACHE_LIMIT >> 8}.{CACHE_LIMIT & 255}.1", port)
    bench.send([b"1", b"2"], last)
    assert bench.sending.runs_sent == []
    bench.send([b"1", b"2"], first)
    assert bench.sending.runs_sent == [2]


def test_a_way_out_that_cannot_segment_ends_the_runs_and_is_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.sending.send_faults.append(errno.EIO)
    with caplog.at_level(logging.WARNING, logger="tungo.udp"):
        assert bench.send(list(RUN)) == 4
        assert bench.send(list(RUN)) == 4
    assert bench.sending.runs_sent == []
    assert bench.received() == RUN * 2
    assert [record.getMessage() for record in caplog.records] == [
        "the sender cannot segment what it sends: datagrams go out one by one from now on"
    ]


@pytest.mark.parametrize("number", sorted(NO_ROOM_ERRNOS))
def test_without_room_the_run_and_the_rest_are_not_sent_again(bench: Bench, number: int) -> None:
    bench.sending.send_faults.extend([0, number])
    assert bench.send([b"12", b"34", b"567", b"890", b"x"]) == 2
    assert bench.refusals == [number]
    assert bench.received() == [b"12", b"34"]


def test_room_that_runs_out_while_a_run_is_sent_again_ends_the_batch(bench: Bench) -> None:
    bench.sending.send_faults.extend([errno.EINVAL, 0, errno.ENOBUFS])
    assert bench.send([b"12", b"34", b"56", b"1234"]) == 1
    assert bench.refusals == [errno.ENOBUFS]
    assert bench.received() == [b"12"]
    bench.sending.send_faults.extend([errno.EPERM, errno.ENOBUFS])
    assert bench.send([b"1", b"2", b"1234"]) == 0
    assert bench.received() == []


@pytest.mark.parametrize("number", sorted(STRANDED_ERRNOS))
def test_a_stranded_client_leaves_from_its_new_address_and_still_in_runs(
    sending: FaultySocket, receiver: socket.socket, number: int
) -> None:
    egress = ConnectedEgress(sending)
    before = sending.getsockname()
    sending.send_faults.extend([number, number])
    assert egress.send_runs(joined([b"1", b"2", b"3"])) == 2
    assert egress.dropped == 1
    assert sending.getsockname() != before
    assert egress.send_runs(joined([b"4", b"5"])) == 2
    assert sending.runs_sent == [2]
    assert [receiver.recvfrom(64) for _ in range(4)] == [
        (datagram, sending.getsockname()) for datagram in (b"2", b"3", b"4", b"5")
    ]


@pytest.mark.parametrize("number", sorted(STRANDED_ERRNOS))
def test_a_refused_run_alone_does_not_move_the_client(
    sending: FaultySocket, receiver: socket.socket, number: int
) -> None:
    egress = ConnectedEgress(sending)
    before = sending.getsockname()
    sending.send_faults.append(number)
    assert egress.send_runs(joined([b"1", b"2", b"3"])) == 3
    assert sending.getsockname() == before


def test_a_stranded_client_without_a_route_gives_the_batch_up(
    sending: FaultySocket, receiver: socket.socket
) -> None:
    egress = ConnectedEgress(sending)
    sending.send_faults.extend([errno.ENETUNREACH, errno.ENETUNREACH])
    sending.connect_faults.append(errno.ENETUNREACH)
    assert egress.send_runs(joined([b"1", b"2", b"3", b"4444"])) == 0
    assert egress.dropped == 4
    assert sending.send_faults == type(sending.send_faults)()
