"""The bed with real namespaces."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from presentation.demo.bed import (
    BEYOND_ADDRESS,
    CLIENT_ADDRESS,
    OUT_ADDRESS,
    SERVER_ADDRESS,
    Bed,
    Namespace,
    build_bed,
    interface_of,
    namespace_exists,
    namespace_names,
    settled,
)
from presentation.demo.errors import DemoError
from presentation.demo.programs import attempt

LABEL = f"tungo-test-{os.getpid()}"


def answers(namespace: Namespace, address: str) -> bool:
    status, _, _ = attempt("ip", *namespace.inside("ping", "-n", "-c", "1", "-W", "2", address))
    return status == 0


def built(cleanup: ExitStack) -> Bed:
    return build_bed(LABEL, cleanup)


@pytest.mark.netns
@pytest.mark.usefixtures("network_rights")
def test_neighbours_meet_and_the_rest_is_out_of_reach() -> None:
    with ExitStack() as cleanup:
        bed = built(cleanup)
        assert answers(bed.client, SERVER_ADDRESS)
        assert answers(bed.server, CLIENT_ADDRESS)
        assert answers(bed.server, BEYOND_ADDRESS)
        assert not answers(bed.client, BEYOND_ADDRESS)
        assert not answers(bed.client, OUT_ADDRESS)


@pytest.mark.netns
@pytest.mark.usefixtures("network_rights")
def test_the_state_shows_every_change_and_nothing_else() -> None:
    with ExitStack() as cleanup:
        server = built(cleanup).server
        before = server.state()
        assert answers(server, BEYOND_ADDRESS)
        assert server.state() == before
        for change, undo in [
            (["ip", "link", "add", "extra", "type", "veth"], ["ip", "link", "delete", "extra"]),
            (
                ["ip", "route", "add", "203.0.113.0/24", "dev", "veth-out"],
                ["ip", "route", "flush", "203.0.113.0/24"],
            ),
            (["ip", "rule", "add", "fwmark", "7", "table", "7"], ["ip", "rule", "delete", "fwmark", "7"]),
            (["nft", "add", "table", "inet", "extra"], ["nft", "delete", "table", "inet", "extra"]),
        ]:
            server.run(*change)
            assert server.state() > before
            server.run(*undo)
            assert server.state() == before


@pytest.mark.netns
@pytest.mark.usefixtures("network_rights")
def test_leaving_removes_the_bed_and_what_runs_in_it() -> None:
    with ExitStack() as cleanup:
        bed = built(cleanup)
        # No setpriv, no Program: a process that nobody would end.
        lasting = subprocess.Popen(
            ["ip", *bed.client.inside(sys.executable, "-c", "import signal; signal.pause()")]
        )
        while str(lasting.pid) not in attempt("ip", "netns", "pids", bed.client.name)[1].split():
            assert lasting.poll() is None
    assert lasting.wait(10) != 0
    assert not any(namespace_exists(name) for name in namespace_names(LABEL))


@pytest.mark.netns
@pytest.mark.usefixtures("network_rights")
def test_a_bed_that_fails_half_way_is_removed_too() -> None:
    with ExitStack() as first:
        built(first)
        # The names are taken. A label belongs to one process: what bears it may go.
        with pytest.raises(DemoError, match="File exists"), ExitStack() as second:
            built(second)
        assert not namespace_exists(namespace_names(LABEL)[0])


def test_the_state_of_an_interface_is_its_name_and_mtu() -> None:
    line = r"2: veth-client@if2: <BROADCAST,UP> mtu 1400 qdisc noqueue state UP mode DEFAULT group default"
    assert interface_of(line) == "veth-client mtu 1400"
    assert interface_of("1: lo: <LOOPBACK> mtu 65536 qdisc noop") == "lo mtu 65536"


def test_a_route_is_the_same_before_its_cable_has_a_carrier() -> None:
    assert (
        settled("192.0.2.0/24 dev veth-client  scope link linkdown ")
        == "192.0.2.0/24 dev veth-client scope link"
    )
