"""Real bytes of the Go program, as JSON; byte strings are lowercase hex."""

import json
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


def load(name: str) -> JsonObject:
    """The document ``<name>.json`` of this folder."""
    document: Json = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def cases(name: str, kind: str) -> list[JsonObject]:
    """The cases of one kind in ``<name>.json``; a kind without cases is a mistake of the test."""
    found = [case for case in children(load(name), "cases") if case["kind"] == kind]
    assert found, f"{name}.json has no case of kind {kind}"
    return found


def children(parent: JsonObject, key: str) -> list[JsonObject]:
    """A member that is a list of objects."""
    value = parent[key]
    assert isinstance(value, list)
    objects = [item for item in value if isinstance(item, dict)]
    assert len(objects) == len(value)
    return objects


def child(parent: JsonObject, key: str) -> JsonObject:
    """A member that is an object."""
    value = parent[key]
    assert isinstance(value, dict)
    return value


def text(parent: JsonObject, key: str) -> str:
    """A member that is a string."""
    value = parent[key]
    assert isinstance(value, str)
    return value


def octets(parent: JsonObject, key: str) -> bytes:
    """A member that is a byte string."""
    return bytes.fromhex(text(parent, key))


def octets_list(parent: JsonObject, key: str) -> list[bytes]:
    """A member that is a list of byte strings."""
    value = parent[key]
    assert isinstance(value, list)
    return [bytes.fromhex(item) for item in value if isinstance(item, str)]


def number(parent: JsonObject, key: str) -> int:
    """A member that is a whole number."""
    value = parent[key]
    assert isinstance(value, int)
    assert not isinstance(value, bool)
    return value


def numbers(parent: JsonObject, key: str) -> list[int]:
    """A member that is a list of whole numbers."""
    value = parent[key]
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, int)]


def flag(parent: JsonObject, key: str) -> bool:
    """A member that is true or false."""
    value = parent[key]
    assert isinstance(value, bool)
    return value
