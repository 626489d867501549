"""Where a socket is bound, and what a refusal of the kernel is called."""

import errno
import os
import socket

import pytest

from infrastructure.network.addresses import SocketAddress
from infrastructure.network.sockets import (
    NO_IPV6_ERRNOS,
    BindingRefusedError,
    FirewallMarkError,
    accept_ipv4_too,
    bound_socket,
    reason,
    set_mark,
)
from tests.adapters.faulty_socket import FaultySocket
from tests.contracts.udp_worlds import kernel_has_ipv6


class Opener:
    """Opens nothing; ``asked`` is what it was asked to bind. ``refusals`` are errnos by family."""

    def __init__(self, refusals: dict[int, int] | None = None) -> None:
        self.asked: list[SocketAddress] = []
        self._refusals = refusals or {}
        self.made = socket.socket()

    def __enter__(self) -> "Opener":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.made.close()

    def __call__(self, family: int, address: SocketAddress) -> socket.socket:
        self.asked.append(address)
        if family in self._refusals:
            raise OSError(self._refusals[family], os.strerror(self._refusals[family]))
        return self.made


def test_no_host_is_every_address_of_both_families() -> None:
    with Opener() as opener:
        assert bound_socket(None, 9090, opener) is opener.made
    assert opener.asked == [("::", 9090, 0, 0)]


@pytest.mark.parametrize("number", sorted(NO_IPV6_ERRNOS))
def test_without_ipv6_in_the_kernel_it_is_every_ipv4_address(number: int) -> None:
    with Opener({socket.AF_INET6: number}) as opener:
        assert bound_socket(None, 9090, opener) is opener.made
    assert opener.asked == [("::", 9090, 0, 0), ("0.0.0.0", 9090)]


def test_another_refusal_is_no_reason_to_do_with_ipv4() -> None:
    with (
        Opener({socket.AF_INET6: errno.EADDRINUSE}) as opener,
        pytest.raises(BindingRefusedError, match=r"^\[::\]:9090: another program uses the port"),
    ):
        bound_socket(None, 9090, opener)
    assert len(opener.asked) == 1


def test_a_host_is_taken_at_its_word() -> None:
    with Opener({socket.AF_INET6: errno.EAFNOSUPPORT}) as opener:
        bound_socket("192.0.2.1", 7, opener)
        with pytest.raises(BindingRefusedError, match=r"^\[2001:db8::1\]:7: this kernel has no such address"):
            bound_socket("2001:db8::1", 7, opener)
    assert opener.asked == [("192.0.2.1", 7), ("2001:db8::1", 7, 0, 0)]


@pytest.mark.parametrize("host", ["localhost", "256.0.0.1", ""])
def test_a_name_is_no_address(host: str) -> None:
    with Opener() as opener, pytest.raises(BindingRefusedError, match="not an IP address"):
        bound_socket(host, 9090, opener)


def test_a_zone_without_an_interface_is_refused() -> None:
    with Opener() as opener, pytest.raises(BindingRefusedError, match="no such interface"):
        bound_socket("fe80::1%nosuchlink0", 9090, opener)


@pytest.mark.skipif(not kernel_has_ipv6(), reason="this kernel has no IPv6")
def test_an_ipv6_socket_hears_ipv4_whatever_the_host_says() -> None:
    with socket.socket(socket.AF_INET6) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        accept_ipv4_too(made)
        assert made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


def test_an_ipv4_socket_is_left_as_it_is() -> None:
    with socket.socket(socket.AF_INET) as made:
        accept_ipv4_too(made)


def test_a_mark_that_may_not_be_set_names_the_right_that_is_missing() -> None:
    with (
        FaultySocket(socket.AF_INET, frozenset({socket.SO_MARK})) as made,
        pytest.raises(FirewallMarkError) as refusal,
    ):
        set_mark(made, 7)
    assert reason(refusal.value) == "the firewall mark 7 needs CAP_NET_ADMIN; run as root"


def test_what_we_have_no_advice_for_is_said_as_the_kernel_says_it() -> None:
    assert reason(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert reason(OSError("no number")) == "no number"
