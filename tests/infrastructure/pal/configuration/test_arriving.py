"""A client configuration on its way in, as text or as a link, with its private key or without."""

import base64
import json
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError, ConfigurationMissingError
from infrastructure.pal.configuration.arriving import Arrival, arrival, read_private_key
from infrastructure.pal.configuration.link import encode_link
from infrastructure.pal.configuration.writing import client_json
from tests.domain.settings.samples import CLIENT_PRIVATE_KEY, a_client, public_key_of
from tests.infrastructure.pal.configuration.documents import server_document
from tests.vectors import JsonObject

PRIVATE_KEY = base64.b64encode(CLIENT_PRIVATE_KEY).decode()


def arrived(text: str) -> Arrival:
    return arrival(text, "laptop.json", Path("/etc/tungo"), public_key_of)


def document(**changes: str | None) -> JsonObject:
    parsed: JsonObject = json.loads(client_json(a_client()))
    return {**parsed, **changes}


def key_file(folder: Path, text: str = PRIVATE_KEY) -> Path:
    file = folder / "client.key"
    file.write_text(f"{text}\n")
    return file


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("\ufeff \n", "\n\n"), ("\u200b\u2060", "\x00\u200e"), ("\x1a", "\xa0")]
)
def test_what_copying_brings_along_is_taken_off(before: str, after: str) -> None:
    for text in (client_json(a_client()), encode_link(a_client(), public_key_of)):
        assert arrived(before + text + after).settings(public_key_of) == a_client()


def test_all_that_is_wrong_is_told_with_where_it_came_from() -> None:
    with pytest.raises(ConfigurationError) as caught:
        arrived(json.dumps(document(Protocol="QUIC", ClientPublicKey="short"))).settings(public_key_of)
    assert len(caught.value.sentences) >= 2
    assert all(sentence.startswith("laptop.json: ") for sentence in caught.value.sentences)


def test_a_servers_file_is_not_mistaken_for_a_clients() -> None:
    with pytest.raises(ConfigurationError, match="is a server's configuration; 'tungo server gen' makes"):
        arrived(json.dumps(server_document())).settings(public_key_of)


@pytest.mark.parametrize("written", ["ClientPrivateKey", "clientprivatekey"])
def test_a_private_key_that_stayed_at_the_client_is_joined(tmp_path: Path, written: str) -> None:
    without = {key: value for key, value in document().items() if key != "ClientPrivateKey"}
    lacking = arrived(json.dumps({**without, written: None}))
    assert lacking.lacks_private_key
    joined = lacking.with_private_key(key_file(tmp_path), public_key_of)
    assert not joined.lacks_private_key
    assert joined.settings(public_key_of) == a_client()


def test_without_the_private_key_the_advice_is_to_give_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        arrived(json.dumps(document(ClientPrivateKey=None))).settings(public_key_of)
    (sentence,) = caught.value.sentences
    assert sentence.startswith("laptop.json: ClientPrivateKey is not set, expected")
    assert "--key" in sentence


def test_a_private_key_that_is_already_there_has_to_be_the_same(tmp_path: Path) -> None:
    complete = arrived(json.dumps(document()))
    assert complete.with_private_key(key_file(tmp_path), public_key_of).settings(public_key_of) == a_client()
    other = base64.b64encode(b"o" * 32).decode()
    with pytest.raises(ConfigurationError, match="is not the private key that belongs to") as caught:
        complete.with_private_key(key_file(tmp_path, other), public_key_of)
    assert other not in str(caught.value)


@pytest.mark.parametrize("text", ["", "nonsense", PRIVATE_KEY[:-4], "{}"])
def test_a_file_without_a_key_is_told_and_not_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a key of 32 bytes in base64") as caught:
        read_private_key(key_file(tmp_path, text))
    assert not text or text not in str(caught.value)


def test_a_missing_key_file_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissingError, match="tungo client keygen"):
        read_private_key(tmp_path / "client.key")


def test_an_arrival_does_not_show_its_keys() -> None:
    assert PRIVATE_KEY not in repr(arrived(json.dumps(document())))
