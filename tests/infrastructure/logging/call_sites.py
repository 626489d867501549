"""Where the program logs: every call of an EventLog in its source, found by reading it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
LEVELS = frozenset({"info", "warning", "error"})


@dataclass(frozen=True)
class CallSite:
    """One call: where it is, at which level, its message and the names of its fields."""

    place: str
    level: str
    message: str | None  # None if it is not a fixed phrase
    fields: tuple[str, ...]


def call_sites() -> list[CallSite]:
    """All of them but those that pass on what they were given."""
    return [
        site for path in sorted(SOURCE.rglob("*.py")) if path.parent.name != "logging" for site in _in(path)
    ]


def _in(path: Path) -> Iterator[CallSite]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in LEVELS or not _is_log(node.func.value):
            continue
        message = node.args[0] if node.args else None
        yield CallSite(
            place=f"{path.relative_to(SOURCE)}:{node.lineno}",
            level=node.func.attr,
            message=message.value
            if isinstance(message, ast.Constant) and isinstance(message.value, str)
            else None,
            # What is passed as ``**counters`` has names that only the run knows.
            fields=tuple(keyword.arg or "unnamed" for keyword in node.keywords),
        )


def _is_log(value: ast.expr) -> bool:
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return name.lstrip("_").endswith("log")
