"""What stands in a resolv.conf, and who wrote it."""

import os
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from infrastructure.pal.linux.dns.content import Author, composed, name_servers
from tests.infrastructure.pal.linux.dns.places import OUR_LINES, SERVERS, THEIRS


def lines(content: bytes) -> list[str]:
    return [line for line in content.decode().splitlines() if not line.startswith("#")]


def test_name_servers_take_the_place_of_others_and_the_rest_is_kept() -> None:
    assert lines(composed(SERVERS, THEIRS, "")) == OUR_LINES


def test_what_was_said_of_the_former_name_servers_is_not_kept() -> None:
    assert lines(composed(SERVERS[:1], b"options trust-ad\n", "")) == ["nameserver 10.0.1.1"]


def test_bytes_that_are_no_text_pass_through() -> None:
    assert b"\nsearch \xff\xfe.example\n" in composed(SERVERS, b"search \xff\xfe.example", "")


def test_the_fate_of_the_former_content_stands_in_a_comment() -> None:
    assert composed(SERVERS, b"", "It is kept.").splitlines()[1] == b"# It is kept."


@pytest.mark.parametrize(
    ("content", "servers"),
    [
        (THEIRS, ["192.0.2.53"]),
        (b"nameserver\t127.0.0.53 # stub\n nameserver fe80::1%eth0", ["127.0.0.53", "fe80::1%eth0"]),
        (b"#nameserver 192.0.2.1\n;nameserver 192.0.2.2\nnameserver\nnameservers 192.0.2.3\n\xff", []),
        (composed((ip_address("fe80::1%eth0"),), b"", ""), ["fe80::1%eth0"]),
    ],
)
def test_name_servers_are_found_as_they_are_written(content: bytes, servers: list[str]) -> None:
    assert name_servers(content) == servers


def test_a_file_of_ours_names_the_process_that_wrote_it() -> None:
    author = Author.of(composed(SERVERS, b"", ""))
    assert author == Author.myself()
    assert author is not None
    assert author.process == os.getpid()
    assert author.runs


@pytest.mark.parametrize("content", [b"", THEIRS, b"# TunGo client", b"\n" + composed(SERVERS, b"", "")])
def test_any_other_file_has_no_author_that_we_know(content: bytes) -> None:
    assert Author.of(content) is None


def test_a_process_that_has_ended_is_not_mistaken_for_a_later_one() -> None:
    mine = Author.myself()
    assert not replace(mine, started=mine.started - 1).runs
    assert not replace(mine, boot="of another day").runs


def test_a_killed_process_does_not_run_even_if_nobody_has_noticed_its_end() -> None:
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with program:
        started = int(Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[19])
        author = Author(program.pid, started, Author.myself().boot)
        lives = [author.runs]
        program.kill()
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        lives.append(author.runs)
    assert [*lives, author.runs] == [True, False, False]
