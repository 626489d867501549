"""The server's configuration file: created, repaired, locked and replaced."""

import json
import multiprocessing
import os
import stat
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from application.server.generate import GenerateClient
from domain.settings.profile import ServerAddress
from domain.settings.server import ServerSettings
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_server
from infrastructure.pal.configuration.replacing import exclusive_lock
from infrastructure.pal.configuration.store import ServerConfigurationStore
from tests.adapters.configuration import KnownHost
from tests.adapters.log import RememberingLog
from tests.domain.settings.samples import public_key_of
from tests.infrastructure.pal.configuration.documents import CONFIG_VECTORS, server_document
from tests.vectors import JsonObject, child

WRITERS, CLIENTS_PER_WRITER = 8, 50


def a_store(path: Path) -> ServerConfigurationStore:
    return ServerConfigurationStore(path, public_key_of, RememberingLog())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_room(settings: ServerSettings) -> ServerSettings:
    udp = replace(settings.udp, ipv4_subnet=IPv4Network("10.64.0.0/16"))
    return replace(settings, udp=udp, host="vpn.example.org")


def add_clients(file: Path, result: Path) -> None:
    """What one of several processes does: makes clients, and notes their numbers and keys."""
    primitives = PycaPrimitives()
    store = ServerConfigurationStore(file, primitives.public_key, RememberingLog())
    generate = GenerateClient(store, KnownHost(ServerAddress()), primitives, SystemEntropy())
    with result.open("w") as lines:
        for _ in range(CLIENTS_PER_WRITER):
            made = generate.generate().settings
            lines.write(f"{made.client_id} {made.public_key.hex()} {made.server_public_key.hex()}\n")


def test_a_missing_folder_and_file_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "tungo" / "server.json"
    a_store(file).load_or_create()
    assert mode(file.parent) == 0o700
    assert mode(file) == 0o600
    assert read_server(file, public_key_of).has_keys is False


def test_loading_alone_never_creates_or_changes_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissingError):
        a_store(tmp_path / "server.json").load()
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_file_is_not_replaced_by_a_default_one(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text("")
    for attempt in (
        a_store(file).load_or_create,
        a_store(file).load,
        lambda: a_store(file).update(lambda s: s),
    ):
        with pytest.raises(ConfigurationError, match="is empty"):
            attempt()
    assert file.read_text() == ""


def test_the_rights_that_the_march_program_gave_are_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_bytes((CONFIG_VECTORS / "march-default" / "server_configuration.json").read_bytes())
    file.chmod(0o644)
    a_store(file).load()
    assert mode(file) == 0o644
    a_store(file).load_or_create()
    assert mode(file) == 0o600
    file.chmod(0o644)
    a_store(file).update(lambda settings: settings)
    assert mode(file) == 0o600


def test_rights_that_cannot_be_taken_back_are_logged_and_do_not_stop_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, log = tmp_path / "server.json", RememberingLog()
    file.write_text(json.dumps(server_document()))
    file.chmod(0o644)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "chmod", refuse)
    ServerConfigurationStore(file, public_key_of, log).load_or_create()
    (event,) = log.events
    assert event.level == "warning"
    assert event.fields == {"path": str(file), "reason": "Read-only file system"}


def test_an_update_keeps_what_this_program_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps({**server_document(), "Comment": "mine"}))
    a_store(file).update(lambda settings: replace(settings, host="new.example.org"))
    written: JsonObject = json.loads(file.read_text())
    assert written == {**server_document(), "Host": "new.example.org", "Comment": "mine"}


def test_an_update_returns_the_paths_that_are_meant_and_writes_those_that_stood_there(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    found = server_document()
    child(found, "WSSettings")["TLS"] = {"CertificateFile": "cert.pem", "KeyFile": "tls/key.pem"}
    file.write_text(json.dumps(found))
    updated = a_store(file).update(lambda settings: settings)
    assert updated.ws.tls.key_file == str(tmp_path / "tls" / "key.pem")
    assert a_store(file).load() == updated
    assert json.loads(file.read_text()) == found


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text(json.dumps(server_document()))
    link.symlink_to(real)
    a_store(link).update(lambda settings: replace(settings, host="new.example.org"))
    assert link.is_symlink()
    assert read_server(real, public_key_of).host == "new.example.org"


def test_eight_processes_that_add_fifty_clients_each_lose_none_and_give_no_number_twice(
    tmp_path: Path,
) -> None:
    file = tmp_path / "server.json"
    a_store(file).load_or_create()
    a_store(file).update(with_room)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # what takes long is imported once
    results = [tmp_path / f"{writer}.result" for writer in range(WRITERS)]
    writers = [context.Process(target=add_clients, args=(file, result)) for result in results]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    settings = a_store(file).load()
    generated = [line.split() for result in results for line in result.read_text().splitlines()]
    assert len(generated) == WRITERS * CLIENTS_PER_WRITER
    assert sorted(peer.client_id for peer in settings.peers) == list(range(1, len(generated) + 1))
    assert {(str(peer.client_id), peer.public_key.hex()) for peer in settings.peers} == {
        (client_id, public_key) for client_id, public_key, _ in generated
    }
    # None of them had keys to begin with.
    assert {server_key for _, _, server_key in generated} == {settings.public_key.hex()}


def test_a_lock_that_is_never_given_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(server_document()))
    now_s = iter(range(0, 1000, 20))
    monkeypatch.setattr("time.monotonic", lambda: next(now_s))
    with exclusive_lock(file), pytest.raises(ConfigurationError, match="being changed by another process"):
        a_store(file).update(lambda settings: settings)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied"), "may not be written by this user; run as root"),
        (OSError(28, "No space left on device"), "could not be written: No space left on device"),
    ],
)
def test_a_failed_write_is_told_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(server_document()))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigurationError, match=told):
        a_store(file).update(lambda settings: replace(settings, host="new.example.org"))
    assert json.loads(file.read_text()) == server_document()


def test_a_name_with_broken_characters_is_written_without_them(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(server_document()))

    def rename(settings: ServerSettings) -> ServerSettings:
        return replace(settings, peers=(replace(settings.peers[0], name="J\udcfcrgen"),))

    a_store(file).update(rename)
    assert a_store(file).load().peers[0].name == "J?rgen"
