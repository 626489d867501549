"""From what pydantic finds in a document to the problems that people read."""

from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.settings.errors import Problem, shown
from infrastructure.pal.configuration.schema import JsonObject

Document = TypeVar("Document", bound=JsonObject)

_EXPECTED: Final = {
    "int_type": "a whole number",
    "greater_than_equal": "a whole number of at most 64 bits",
    "less_than_equal": "a whole number of at most 64 bits",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "list_type": "a list in brackets",
    "model_type": "an object in braces",
}


def validated(
    schema: type[Document], document_untrusted: dict[str, object]
) -> tuple[Document, list[Problem]]:
    """The document as ``schema`` says, with every type and notation that is wrong in it.

    A value that is wrong counts as left out, so that the rest can be examined in the same go.
    """
    try:
        return schema.model_validate(document_untrusted), []
    except ValidationError as exc:
        findings = exc.errors(include_url=False)
    problems = [_problem(finding) for finding in findings]
    remaining: object = document_untrusted
    for finding in findings:
        remaining = _without(remaining, finding["loc"])
    return schema.model_validate(remaining), problems


def _problem(finding: ErrorDetails) -> Problem:
    path = _path(finding["loc"])
    value = "not valid" if path.endswith("Key") else shown(finding["input"])
    expected = _EXPECTED.get(finding["type"])
    if expected is None:
        expected = str(finding["ctx"]["error"]) if "ctx" in finding else finding["msg"]
    return Problem(path, value, expected)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")


def _without(document: object, location: tuple[int | str, ...]) -> object:
    """``document`` less the value at ``location``; of a list, the whole list goes."""
    if not isinstance(document, dict):
        return document
    first, rest = location[0], location[1:]
    inside_object = bool(rest) and isinstance(rest[0], str)
    pruned: dict[object, object] = {}
    for key, value in document.items():
        if str(key).casefold() != str(first).casefold():
            pruned[key] = value
        elif inside_object:
            pruned[key] = _without(value, rest)
    return pruned
