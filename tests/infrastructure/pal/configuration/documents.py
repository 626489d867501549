"""JSON documents to break: those of the Go program, as dictionaries."""

import json
import re
from pathlib import Path

from tests.vectors import JsonObject

MANUAL = Path(__file__).parents[4] / "docs" / "configuration.md"
CONFIG_VECTORS = Path(__file__).parents[3] / "vectors" / "config"

SERVER_FILES = sorted(CONFIG_VECTORS.glob("*/server_configuration.json"))
CLIENT_FILES = sorted(CONFIG_VECTORS.glob("*/client_configuration*.json"))


def case_name(path: Path) -> str:
    """How a vector file is called in test ids."""
    return f"{path.parent.name}/{path.stem}"


def document(path: Path) -> JsonObject:
    """The parsed file."""
    parsed: JsonObject = json.loads(path.read_text())
    return parsed


def manual_examples() -> list[JsonObject]:
    """The pieces of configuration files in the manual, in its order."""
    pieces = re.findall(r"```json\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    return [json.loads(f"{{{piece}}}") for piece in pieces]


def server_document() -> JsonObject:
    """A server file of the Go program with all three transports and two peers."""
    return document(CONFIG_VECTORS / "head-ipv6" / "server_configuration.json")


def client_document() -> JsonObject:
    """The first client of ``server_document``."""
    return document(CONFIG_VECTORS / "head-ipv6" / "client_configuration.json")
