"""Adapters tell a refusal for want of rights from every other one."""

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from application.network.stream.listener import StreamBindError, StreamBindForbiddenError
from application.network.udp.listener import UdpBindError, UdpBindForbiddenError
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.pal.linux import nftables, sysctl
from infrastructure.pal.linux.errors import (
    JournalError,
    JournalRightsError,
    NftablesError,
    NftRightsError,
    SysctlError,
    SysctlRightsError,
)
from infrastructure.pal.linux.journal import JournalFolder


def refusing(number: int) -> socket.socket:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, UdpBindForbiddenError), (errno.EADDRINUSE, UdpBindError)],
)
def test_a_datagram_port(number: int, kind: type[UdpBindError]) -> None:
    with pytest.raises(UdpBindError) as caught:
        BoundUdpListener.bind("127.0.0.1", 53, open_socket=lambda _family: refusing(number))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, StreamBindForbiddenError), (errno.EADDRINUSE, StreamBindError)],
)
def test_a_stream_port(number: int, kind: type[StreamBindError]) -> None:
    with pytest.raises(StreamBindError) as caught:
        BoundStreamListener.bind("127.0.0.1", 53, open_socket=lambda _family: refusing(number))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EROFS, SysctlRightsError), (errno.EACCES, SysctlRightsError), (errno.ENOENT, SysctlError)],
)
def test_a_kernel_setting(number: int, kind: type[SysctlError], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _text: str, _encoding: str) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(SysctlError, match=r"cannot set the kernel setting net\.x to 1") as caught:
        sysctl.write_setting("net.x", "1")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, JournalRightsError), (errno.ENOSPC, JournalError)]
)
def test_the_folder_of_the_journals(
    number: int, kind: type[JournalError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(JournalError, match="cannot use the folder") as caught,
        JournalFolder(tmp_path).locked(),
    ):
        pytest.fail("it was used")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        ("Operation not permitted (you must be root)", NftRightsError),
        ("Error: Could not process rule: Operation not permitted", NftRightsError),
        ("Error: syntax error, unexpected newline", NftablesError),
    ],
)
def test_nft(
    complaint: str, kind: type[NftablesError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nft"
    program.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NftablesError) as caught:
        asyncio.run(nftables.has_table("x"))
    assert type(caught.value) is kind
