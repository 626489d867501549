"""Reading text and JSON: each way to fail has its own sentence, which says what to do."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationForbiddenError,
    ConfigurationMissingError,
)
from infrastructure.pal.configuration.files import (
    ConfigurationFolder,
    folder_of,
    parse_json,
    path_in,
    read_text,
    worded,
)
from infrastructure.pal.configuration.replacing import LockTimeoutError

REPAIR = "do this"


def test_the_files_have_the_names_that_the_go_program_uses() -> None:
    folder = ConfigurationFolder()
    assert str(folder.server_file) == "/etc/tungo/server_configuration.json"
    assert str(folder.client_file) == "/etc/tungo/client_configuration.json"


def test_a_relative_path_begins_in_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folder_of(Path("lab/server.json"))
    assert folder == Path(os.path.realpath(tmp_path)) / "lab"
    assert path_in(folder, "tls/cert.pem") == str(folder / "tls" / "cert.pem")
    assert path_in(folder, "/etc/ssl/cert.pem") == "/etc/ssl/cert.pem"
    assert path_in(folder, "") is None


def test_text_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    for data in ("{ü}".encode(), "{ü}".encode("utf-8-sig")):
        file.write_bytes(data)
        assert read_text(file, if_missing=REPAIR) == "{ü}"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissingError, match=r"none\.json does not exist; do this"):
        read_text(tmp_path / "none.json", if_missing=REPAIR)


def test_what_is_no_file_is_told_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(ConfigurationError, match="is not a regular file"):
            read_text(path, if_missing=REPAIR)


def test_a_loop_of_links_is_told(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigurationError, match="cannot be read: Too many levels"):
        read_text(loop, if_missing=REPAIR)


def test_a_file_that_may_not_be_read_asks_for_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root
    with pytest.raises(ConfigurationError, match="run as root"):
        read_text(tmp_path / "file.json", if_missing=REPAIR)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (LockTimeoutError(), ConfigurationError, "f is being changed by another process; try again."),
        (
            PermissionError(13, "no"),
            ConfigurationForbiddenError,
            "f may not be moved by this user; run as root.",
        ),
        (FileNotFoundError(2, "no"), ConfigurationMissingError, "f does not exist; do this."),
        (OSError(28, "No space left"), ConfigurationError, "f could not be moved: No space left."),
    ],
)
def test_what_goes_wrong_with_a_file_is_told_in_a_sentence(
    error: OSError, kind: type[ConfigurationError], told: str
) -> None:
    with pytest.raises(kind) as caught, worded(Path("f"), "moved", if_missing=REPAIR):
        raise error
    assert (type(caught.value), caught.value.sentences) == (kind, (told,))


def test_a_file_that_need_not_be_there_has_no_advice_when_it_is_missing() -> None:
    with pytest.raises(ConfigurationError) as caught, worded(Path("f"), "moved", failed="cannot be"):
        raise FileNotFoundError(2, "No such file")
    assert caught.value.sentences == ("f cannot be moved: No such file.",)


def test_bytes_that_are_no_text_are_told_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(b"{}\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 text at byte 2"):
        read_text(file, if_missing=REPAIR)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f is empty"),
        (" \n\t", "f is empty"),
        ('{"a": 1,\n "b" 2}', "f is not JSON: Expecting ':' delimiter at line 2, column 6"),
        ('{"a": 1', "at line 1, column 8"),
        ("null", "not an object"),
        ("[]", "not an object"),
        ('{"a": NaN}', "not usable JSON"),
        ('{"a": 1e999}', "not usable JSON"),
        ('{"a": "\\ud800"}', "not usable JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not usable JSON"),
        ('{"a": ' + "[" * 100_000, "not usable JSON"),
    ],
    ids=range(11),
)
def test_text_that_is_no_json_object_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_json(text, "f")
    (sentence,) = caught.value.sentences
    assert told in sentence


def test_the_last_of_two_equal_keys_wins() -> None:
    assert parse_json('{"a": 1, "a": 2}', "f") == {"a": 2}


def test_a_broken_file_is_not_quoted() -> None:
    secret = "c2VjcmV0"
    with pytest.raises(ConfigurationError) as caught:
        parse_json('{"X25519PrivateKey": "' + secret, "f")
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_an_object_or_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_json(f"[{text}", "f")
