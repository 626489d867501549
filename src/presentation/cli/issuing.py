"""How a new client configuration leaves the program: the options that say so, and the files it goes to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from domain.settings.profile import TransportProtocol
from presentation.cli.administration import GeneratedClient
from presentation.cli.commands import CommandError
from presentation.cli.qr import qr_code
from presentation.cli.report import complain
from presentation.cli.secret_file import reserved_file

HostOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="The address or name that the client connects to."),
]
ProtocolOption: TypeAlias = Annotated[
    TransportProtocol | None,
    typer.Option(
        "--protocol",
        metavar="[udp|tcp|ws|wss]",
        case_sensitive=False,
        help="What the client connects with; it falls back to what else is enabled.",
    ),
]
ClientKeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--client-key",
        metavar="PUB",
        help="The public key of a client that made its own ('tungo client keygen').",
    ),
]
OutputOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="A new file (mode 0600) instead of standard output."),
]
QrOption: TypeAlias = Annotated[
    bool, typer.Option("--qr", help="Show it as a QR code and as a link, tungo://..., instead of JSON.")
]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the configuration goes: into a new file, as a code to the screen, both, or as JSON to stdout."""

    file: Path | None
    qr: bool


def issue(generate: Callable[[], GeneratedClient], destination: Destination) -> None:
    """Write what ``generate`` makes; whatever else there is to say goes to standard error."""
    file = destination.file
    if file is None:
        generated = generate()
    else:
        with reserved_file(file) as write:
            generated = generate()
            _store(generated, write)
    if destination.qr:
        _show_code(generated)
    elif file is None:
        typer.echo(generated.json)
    for note in generated.notes:
        complain(note)
    if file is not None:
        complain(f"client {generated.client_id} is in {file}")
    if not generated.holds_private_key:
        complain("the client's private key is not in it; 'tungo client configs add' joins the two")


def _show_code(generated: GeneratedClient) -> None:
    try:
        typer.echo(qr_code(generated.link))
    except CommandError as error:
        # The client is admitted by now, and the link, which says the same, must not be lost.
        complain(str(error))
    typer.echo(generated.link)
    if generated.holds_private_key:
        complain("code and link hold the client's private key; who sees them can connect as this client")


def _store(generated: GeneratedClient, write: Callable[[str], None]) -> None:
    try:
        write(generated.json + "\n")
    except CommandError as error:
        raise CommandError(
            f"client {generated.client_id} is admitted, but {error}; "
            f"'tungo server peers regenerate {generated.client_id}' makes its configuration anew",
            error.exit_code,
        ) from error
