"""Whatever stands in a file or the environment: valid settings or a ConfigurationError, and nothing lost."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.runtime.configuration import ConfigurationError
from application.server.generate import GenerateClient
from domain.addressing.peers import Peer
from domain.settings.defaults import default_server_settings
from domain.settings.profile import ServerAddress
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client, validate_server
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.pal.configuration.environment import read_overlay
from infrastructure.pal.configuration.reading import parse_client, parse_server, read_client, read_server
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.writing import client_json, server_json
from tests.adapters.configuration import KnownHost
from tests.adapters.log import RememberingLog
from tests.adapters.primitives import PlainPrimitives
from tests.domain.settings.samples import ALL_TRANSPORTS, public_key_of
from tests.infrastructure.pal.configuration.documents import (
    CLIENT_FILES,
    SERVER_FILES,
    case_name,
    document,
    server_document,
)
from tests.vectors import Json, JsonObject, text

FOLDER = Path("/lab/tungo")

any_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)

# A disk has no deadline.
in_files = settings(deadline=None, max_examples=60)


@contextlib.contextmanager
def a_file(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "configuration.json"
        file.write_bytes(data)
        yield file


def readable_server(file: Path) -> bool:
    try:
        found = read_server(file, public_key_of)
    except ConfigurationError:
        return False
    validate_server(found, public_key_of)
    return True


def readable_client(file: Path) -> bool:
    try:
        found = read_client(file, public_key_of)
    except ConfigurationError:
        return False
    validate_client(found, public_key_of)
    return True


def places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to everything inside ``value``."""
    inside: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        inside = [*value.items()]
    elif isinstance(value, list):
        inside = [*enumerate(value)]
    return [place for step, child in inside for place in ((*path, step), *places(child, (*path, step)))]


def changed_at(value: Json, place: tuple[str | int, ...], change: Callable[[JsonObject, str], None]) -> None:
    """Let ``change`` do something to the key at the end of ``place``; places in lists are left alone."""
    *way, last = place
    for step in way:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
    if isinstance(value, dict) and isinstance(last, str) and last in value:
        change(value, last)


@st.composite
def mutated(draw: st.DrawFn, files: list[Path]) -> str:
    """The text of one of the Go program's files with some mistakes in it, or changes that are none."""
    parsed = document(draw(st.sampled_from(files)))
    every_place = places(parsed)
    for _ in range(draw(st.integers(0, 3))):
        value, mutation = (
            draw(any_json),
            draw(st.sampled_from(["delete", "replace", "recase", "add", "swap"])),
        )
        other = draw(st.sampled_from(every_place))

        def change(
            parent: JsonObject, key: str, value: Json = value, mutation: str = mutation, other: object = other
        ) -> None:
            match mutation:
                case "delete":
                    del parent[key]
                case "replace":
                    parent[key] = value
                case "recase":
                    parent[key.swapcase()] = parent.pop(key)
                case "add":
                    parent[f"My{key}"] = value
                case _:
                    parent[key] = str(other)

        changed_at(parsed, draw(st.sampled_from(every_place)), change)
    written = json.dumps(parsed, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        at, length = draw(st.integers(0, len(written))), draw(st.integers(0, 3))
        written = written[:at] + draw(st.text(max_size=2)) + written[at + length :]
    return written


def encoded(written: str) -> bytes:
    return written.encode("utf-8", "surrogatepass")


@in_files
@given(st.binary(max_size=300))
def test_any_bytes_in_a_file_are_a_configuration_error(data: bytes) -> None:
    with a_file(data) as file:
        assert not readable_server(file)
        assert not readable_client(file)


@in_files
@given(any_json)
def test_any_json_in_a_file_is_a_configuration_error(value: Json) -> None:
    """The smallest valid file has to say at least what is served, or who the client is."""
    with a_file(encoded(json.dumps(value))) as file:
        assert not readable_server(file)
        assert not readable_client(file)


@in_files
@given(mutated(CLIENT_FILES))
def test_a_client_file_with_mistakes_is_told_or_read_and_means_the_same_when_written_again(
    written: str,
) -> None:
    with a_file(encoded(written)) as file:
        if not readable_client(file):
            return
        found = read_client(file, public_key_of)
        assert parse_client(client_json(found), "again", public_key_of, file.parent) == found


@in_files
@given(mutated(SERVER_FILES), st.integers(0, 2**31))
def test_a_server_file_with_mistakes_is_told_and_left_alone_or_changed_and_loses_nothing(
    written: str, counter: int
) -> None:
    with a_file(encoded(written)) as file:
        store = ServerConfigurationStore(file, public_key_of, RememberingLog())
        try:
            updated = store.update(lambda present: replace(present, client_counter=counter))
        except ConfigurationError:
            assert not readable_server(file)
            assert file.read_bytes() == encoded(written)
            return
        assert updated == store.load()
        before = parse_server(written, "before", public_key_of, file.parent)
        after = parse_server(file.read_text("utf-8"), "after", public_key_of, file.parent)
        assert after.settings == replace(before.settings, client_counter=counter)
        assert after.document.model_extra == before.document.model_extra
        for mine, found in zip(after.document.peers, before.document.peers, strict=True):
            assert mine.model_extra == found.model_extra
        assert server_json(after.settings, after.document, file.parent) == file.read_text("utf-8")


variables = [
    "TUNGO_HOST",
    "Host",
    "ServerIP",
    *(f"TUNGO_ENABLE_{slot}" for slot in ("TCP", "UDP", "WS")),
    *(f"Enable{slot}" for slot in ("TCP", "UDP", "WS")),
    "TUNGO_PUBLIC_KEY",
    "TUNGO_PRIVATE_KEY",
    "X25519_PUBLIC_KEY",
    "X25519_PRIVATE_KEY",
    "Unrelated",
]
# What Python makes of any bytes but zero that stand in an environment.
any_value = st.binary(max_size=40).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
likely_value = st.sampled_from(
    [
        *("true", "0", "F", "", " ", "vpn.example.org", "192.0.2.1", "[2001:db8::1]"),
        text(server_document(), "X25519PublicKey"),
        text(server_document(), "X25519PrivateKey"),
    ]
)
any_environment = st.dictionaries(st.sampled_from(variables), likely_value | any_value, max_size=6)


def assert_no_key_in(told: str) -> None:
    assert text(server_document(), "X25519PrivateKey") not in told


@given(any_environment, st.sampled_from(SERVER_FILES))
def test_any_environment_is_laid_over_a_file_or_told_without_a_key_and_comes_off_again(
    environment: dict[str, str], path: Path
) -> None:
    overlay = read_overlay(environment, public_key_of)
    try:
        found = parse_server(path.read_text("utf-8"), "file", public_key_of, FOLDER, overlay)
    except ConfigurationError as error:
        assert_no_key_in(str(error))
        return
    validate_server(found.settings, public_key_of)
    assert overlay.over(found.stored) == found.settings
    assert overlay.taken_off(found.settings, found.stored) == found.stored


@st.composite
def any_valid_server(draw: st.DrawFn) -> ServerSettings:
    """Whatever a client can be generated for: it serves something and has room."""
    fresh, prefix = default_server_settings(), draw(st.integers(16, 28))
    hosts = ["vpn.example.org", "192.0.2.1", "[2001:db8::1]", "2001:db8::1"]
    client_ids = draw(st.sets(st.integers(1, 2 ** (32 - prefix) - 3), max_size=6))
    return replace(
        fresh,
        tcp=replace(fresh.tcp, ipv4_subnet=IPv4Network(f"10.1.0.0/{prefix}")),
        udp=replace(
            fresh.udp,
            ipv4_subnet=IPv4Network(f"10.2.0.0/{prefix}"),
            ipv6_subnet=draw(st.sampled_from([None, IPv6Network("fd00:7::/64")])),
            mtu_bytes=draw(st.integers(1280, 1500)),
        ),
        ws=replace(fresh.ws, ipv4_subnet=IPv4Network(f"10.3.0.0/{prefix}")),
        enabled=draw(st.sets(st.sampled_from(sorted(ALL_TRANSPORTS, key=str)), min_size=1).map(frozenset)),
        host=draw(st.sampled_from(hosts)),
        client_counter=draw(st.integers(0, 2**40)),
        peers=tuple(
            Peer(client_id.to_bytes(32), client_id, draw(st.text(max_size=5))) for client_id in client_ids
        ),
    )


@in_files
@given(any_valid_server())
def test_a_client_that_is_generated_for_any_server_reads_its_file_and_is_in_that_of_the_server(
    server: ServerSettings,
) -> None:
    with a_file(encoded(server_json(server))) as file:
        store = ServerConfigurationStore(file, public_key_of, RememberingLog())
        primitives = PlainPrimitives()
        generate = GenerateClient(store, KnownHost(ServerAddress()), primitives, SystemEntropy())
        made = generate.generate().settings
        client = parse_client(client_json(made), "client.json", public_key_of, FOLDER)
        assert client == made
        peer = store.load().access_list().find(client.public_key)
        assert peer is not None
        assert (peer.client_id, peer.enabled) == (client.client_id, True)
        assert client.server_public_key == store.load().public_key
        assert {known.client_id for known in server.peers} < {known.client_id for known in store.load().peers}


@pytest.mark.parametrize("path", SERVER_FILES, ids=case_name)
def test_every_server_file_of_the_go_program_means_the_same_when_written_again(path: Path) -> None:
    found = parse_server(path.read_text("utf-8"), "file", public_key_of, FOLDER)
    again = server_json(found.settings, found.document, FOLDER)
    assert parse_server(again, "again", public_key_of, FOLDER).settings == found.settings


@pytest.mark.parametrize("path", CLIENT_FILES, ids=case_name)
def test_every_client_file_of_the_go_program_means_the_same_when_written_again(path: Path) -> None:
    found = read_client(path, public_key_of)
    assert parse_client(client_json(found), "again", public_key_of, FOLDER) == found
