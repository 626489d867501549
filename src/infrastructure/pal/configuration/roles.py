"""Telling a server's file from a client's: by what is in it, and where that does not tell, by its name."""

from enum import Enum
from pathlib import Path
from typing import Final

from infrastructure.pal.configuration.files import CLIENT_FILE_NAME, SERVER_FILE_NAME


class FileRole(Enum):
    """Whose configuration a file is."""

    SERVER = "server"
    CLIENT = "client"


# Keys that only one of the two has, in any case of letters, also those of the March program.
_KEYS_OF: Final = {
    FileRole.SERVER: frozenset(
        {
            "allowedpeers",
            "clientcounter",
            "enabletcp",
            "enableudp",
            "enablews",
            "fallbackserveraddress",
            "host",
            "x25519privatekey",
        }
    ),
    FileRole.CLIENT: frozenset({"clientid", "clientprivatekey", "clientpublickey", "protocol"}),
}


def role_of(document_untrusted: dict[str, object]) -> FileRole | None:
    """Whose configuration this is meant to be; None where that cannot be told."""
    keys = {key.casefold() for key in document_untrusted}
    server, client = (len(keys & _KEYS_OF[role]) for role in FileRole)
    if server == client:
        return None
    return FileRole.SERVER if server > client else FileRole.CLIENT


def role_of_file(path: Path, document_untrusted: dict[str, object]) -> FileRole | None:
    """The same of a document that stands in a file with a name, which may be one that only the one has."""
    role = role_of(document_untrusted)
    if role is None and path.name == SERVER_FILE_NAME:
        return FileRole.SERVER
    if role is None and path.name.startswith(CLIENT_FILE_NAME):
        return FileRole.CLIENT
    return role
