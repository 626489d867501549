"""Where configurations are kept, and reading their text and JSON; every failure says what to do."""

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationForbiddenError,
    ConfigurationMissingError,
)
from infrastructure.pal.configuration.replacing import LockTimeoutError

# Platform specification 1.
DEFAULT_FOLDER: Final = Path("/etc/tungo")
SERVER_FILE_NAME: Final = "server_configuration.json"
CLIENT_FILE_NAME: Final = "client_configuration.json"

# An escape of half a surrogate pair; the other half may stand beside it, and then the two are a character.
_MAY_BE_HALF_A_CHARACTER: Final = re.compile(r"\\u[dD][89abAB]")


@dataclass(frozen=True, slots=True)
class ConfigurationFolder:
    """The folder in which everything lives."""

    path: Path = DEFAULT_FOLDER

    @property
    def server_file(self) -> Path:
        """The server's configuration."""
        return self.path / SERVER_FILE_NAME

    @property
    def client_file(self) -> Path:
        """The active client configuration."""
        return self.path / CLIENT_FILE_NAME


def folder_of(path: Path) -> Path:
    """Where relative paths in the file ``path`` begin; absolute, and of a link that of the file itself."""
    return Path(os.path.realpath(path)).parent


def path_in(folder: Path, written: str) -> str | None:
    """The path that a file in ``folder`` means by ``written``; None if it says nothing."""
    return str(folder / written) if written else None


@contextlib.contextmanager
def worded(
    path: Path, done: str, *, failed: str = "could not be", if_missing: str | None = None
) -> Iterator[None]:
    """Turn what goes wrong inside into a ConfigurationError that names ``path`` and what was to be ``done``.

    ``if_missing`` completes "... does not exist; ..."; None where that is nothing to tell apart.
    """
    try:
        yield
    except LockTimeoutError as exc:
        raise ConfigurationError(f"{path} is being changed by another process; try again.") from exc
    except PermissionError as exc:
        raise ConfigurationForbiddenError(f"{path} may not be {done} by this user; run as root.") from exc
    except OSError as exc:
        if if_missing is not None and isinstance(exc, FileNotFoundError):
            raise ConfigurationMissingError(f"{path} does not exist; {if_missing}.") from exc
        raise ConfigurationError(f"{path} {failed} {done}: {exc.strerror}.") from exc


def read_bytes(path: Path, *, if_missing: str) -> bytes:
    """The content of a regular file. ``if_missing`` completes "... does not exist; ...".

    Raises ConfigurationMissingError, ConfigurationError.
    """
    with worded(path, "read", failed="cannot be", if_missing=if_missing):
        # O_NONBLOCK: opening a pipe by mistake must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"{path} is not a regular file; put the configuration's text there.")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)


def read_text(path: Path, *, if_missing: str) -> str:
    """The text in the same. Raises ConfigurationMissingError, ConfigurationError."""
    try:
        return read_bytes(path, if_missing=if_missing).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"{path} is not UTF-8 text at byte {exc.start}; restore it from a backup."
        ) from None


def parse_json(text_untrusted: str, source: str) -> dict[str, object]:
    """The JSON object in a text. Raises ConfigurationError without quoting the text: keys are in it."""
    if not text_untrusted.strip():
        raise ConfigurationError(f"{source} is empty; restore it from a backup.")
    try:
        # What cannot be written again as JSON in UTF-8 (half a surrogate pair, 1e999) is not taken in either.
        text_untrusted.encode()
        document: object = json.loads(
            text_untrusted,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_hook=_as_it_is,
        )
        if _MAY_BE_HALF_A_CHARACTER.search(text_untrusted):
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as exc:
        raise ConfigurationError(
            f"{source} is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}; correct it there or "
            f"restore it from a backup."
        ) from None
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f"{source} is not usable JSON: a number is too large, a character is broken or the nesting is "
            f"too deep; restore it from a backup."
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source} is JSON but not an object in braces; restore it from a backup.")
    return {str(key): value for key, value in document.items()}


def _as_it_is(value: dict[str, object]) -> dict[str, object]:
    """Lets other threads have their turn, which they get between two steps of Python and not inside C."""
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
