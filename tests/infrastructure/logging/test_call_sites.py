"""No secret of any configuration leaves through any call of the log, in any format, whatever is passed."""

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.settings.client import ClientSettings
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.journald import JournalFormatter
from infrastructure.logging.json_lines import JsonFormatter
from infrastructure.logging.terminal import TerminalFormatter
from infrastructure.logging.text import TextEventLog, TextFormatter
from infrastructure.pal.configuration.reading import parse_client, parse_server
from tests.infrastructure.logging.call_sites import CallSite, call_sites
from tests.infrastructure.pal.configuration.documents import CLIENT_FILES, SERVER_FILES, case_name

FORMATTERS = {
    "text": TextFormatter(),
    "json": JsonFormatter(),
    "terminal": TerminalFormatter(coloured=True),
    "journal": JournalFormatter(TextFormatter(timed=False)),
}
SITES = call_sites()

# What a format says itself; a field of that name could not be told from it.
RESERVED = frozenset({"time", "level", "msg", "err", "trace"})


class Lines(logging.Handler):
    """Keeps every record of the logger ``tungo`` in every format."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += (formatter.format(record) for formatter in FORMATTERS.values())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    logger = logging.getLogger("tungo")
    level, handler = logger.level, Lines()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def settings_in(path: Path) -> ServerSettings | ClientSettings:
    """What a configuration file says."""
    text = path.read_text(encoding="utf-8")
    public_key_of = PycaPrimitives().public_key
    if path in SERVER_FILES:
        return parse_server(text, str(path), public_key_of, folder=path.parent).settings
    return parse_client(text, str(path), public_key_of, folder=path.parent)


def values_with_secret(path: Path, settings: ServerSettings | ClientSettings) -> list[object]:
    """What a call could be given by mistake: the whole configuration, or the key in whatever notation."""
    secret = settings.private_key
    encoded = base64.b64encode(secret).decode()
    text = path.read_text(encoding="utf-8")
    return [text, settings, repr(settings), settings.key_pair, secret, repr(secret), list(secret), encoded]


def call(log: TextEventLog, site: CallSite, values: list[object]) -> None:
    """What the call does, as often as it takes for each of ``values`` to be in a field, or in the message."""
    write = getattr(log, site.level)
    for first in range(0, len(values), max(len(site.fields), 1)):
        fields = dict(zip(site.fields, values[first:], strict=False))
        write(site.message if fields else f"{site.message}: {values[first]}", **fields)


def test_the_calls_are_found() -> None:
    places = {site.place.partition(":")[0] for site in SITES}
    assert {
        "application/client/connect.py",
        "infrastructure/network/tls/server.py",
        "tungo/commands.py",
    } <= places


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.place)
def test_a_message_is_a_fixed_phrase_and_fields_are_not_called_like_parts_of_a_record(site: CallSite) -> None:
    assert site.message, site.place
    assert not RESERVED & set(site.fields)


@pytest.mark.parametrize("path", [*SERVER_FILES, *CLIENT_FILES], ids=case_name)
def test_no_call_can_write_the_secret_of_a_configuration(path: Path, lines: list[str]) -> None:
    settings = settings_in(path)
    secret = settings.private_key
    log = TextEventLog()
    for site in SITES:
        call(log, site, values_with_secret(path, settings))
    written = "\n".join(lines)
    assert len(lines) >= len(SITES) * len(FORMATTERS)
    encoded = base64.b64encode(secret).decode()
    for notation in (encoded, encoded.rstrip("="), secret.hex(), repr(secret)[2:-1], str(list(secret))[1:-1]):
        assert notation not in written
