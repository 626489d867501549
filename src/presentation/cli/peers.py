"""``tungo server peers`` and its sub-commands."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Final, TypeAlias

import typer

from presentation.cli.administration import PeerView, Wish
from presentation.cli.commands import Loaders
from presentation.cli.folder import OwnConfigDir, chosen_folder
from presentation.cli.issuing import (
    ClientKeyOption,
    Destination,
    HostOption,
    OutputOption,
    ProtocolOption,
    QrOption,
    issue,
)
from presentation.cli.output import Json, show_json, show_pairs, show_rows
from presentation.cli.report import failures_reported, visible

PEERS_EPILOG: Final = """\b
Examples:
  tungo server peers list                 who may connect
  tungo server peers disable laptop       keep it out from now on, and end its session
  tungo server peers regenerate 3         new keys for client 3, its configuration on standard output

\b
PEER is a peer's number or its name. A server that runs takes up every change at once."""

Which: TypeAlias = Annotated[str, typer.Argument(metavar="PEER", help="Its number or its name.")]


def peers_app(loaders: Loaders) -> typer.Typer:
    """The group ``peers`` over the commands that ``loaders`` loads."""
    app = typer.Typer(
        help="See and change who may connect.",
        epilog=PEERS_EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    _add_looks(app, loaders)
    _add_issues(app, loaders)
    _add_changes(app, loaders)
    return app


def _add_looks(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("list")
    def list_peers(context: typer.Context, config_dir: OwnConfigDir = None, *, json: Json = False) -> None:
        """List all peers by number."""
        with failures_reported():
            peers = loaders.peers().peers(chosen_folder(context, config_dir))
            if json:
                show_json({"peers": [asdict(peer) for peer in peers]})
            elif peers:
                show_rows(("NUMBER", "NAME", "ENABLED", "ADDRESSES"), [_row(peer) for peer in peers])
            else:
                typer.echo("there are no peers; 'tungo server gen' admits one")

    @app.command("show")
    def show(
        context: typer.Context, which: Which, config_dir: OwnConfigDir = None, *, json: Json = False
    ) -> None:
        """Show one peer with its key and its addresses."""
        with failures_reported():
            peer = loaders.peers().peer(chosen_folder(context, config_dir), which)
            if json:
                show_json(asdict(peer))
            else:
                show_pairs(_pairs(peer))


def _add_issues(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("add")
    def add(
        context: typer.Context,
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A label for the client.")] = None,
        config_dir: OwnConfigDir = None,
        host: HostOption = None,
        protocol: ProtocolOption = None,
        client_key: ClientKeyOption = None,
        output: OutputOption = None,
        *,
        qr: QrOption = False,
    ) -> None:
        """Admit a client, as 'tungo server gen' does."""
        with failures_reported():
            folder, wish = chosen_folder(context, config_dir), Wish(host, protocol, client_key)
            peers = loaders.peers()
            issue(lambda: peers.generate_client(folder, wish, name), Destination(output, qr))

    @app.command("regenerate")
    def regenerate(
        context: typer.Context,
        which: Which,
        config_dir: OwnConfigDir = None,
        host: HostOption = None,
        protocol: ProtocolOption = None,
        client_key: ClientKeyOption = None,
        output: OutputOption = None,
        *,
        qr: QrOption = False,
    ) -> None:
        """Give a peer new keys, and write them down.

        Its new configuration comes out as that of a new client does; nobody gets in with the old one.
        """
        with failures_reported():
            folder, wish = chosen_folder(context, config_dir), Wish(host, protocol, client_key)
            peers = loaders.peers()
            issue(lambda: peers.regenerate_client(folder, wish, which), Destination(output, qr))


def _add_changes(app: typer.Typer, loaders: Loaders) -> None:
    @app.command("rename")
    def rename(
        context: typer.Context,
        which: Which,
        name: Annotated[str, typer.Argument(metavar="NAME", help="The new label.")],
        config_dir: OwnConfigDir = None,
    ) -> None:
        """Give a peer another name."""
        with failures_reported():
            folder = chosen_folder(context, config_dir)
            peer = loaders.peers().rename_peer(folder, which, name)
            typer.echo(f"peer {peer.number} is called {visible(peer.name)} now")

    def add_change(name: str, help_text: str, change: Callable[[str, str], PeerView], done: str) -> None:
        @app.command(name, help=help_text)
        def command(context: typer.Context, which: Which, config_dir: OwnConfigDir = None) -> None:
            with failures_reported():
                peer = change(chosen_folder(context, config_dir), which)
                typer.echo(f"{_called(peer)} is {done}")

    add_change(
        "enable",
        "Let a peer connect.",
        lambda folder, which: loaders.peers().enable_peer(folder, which, enabled=True),
        "enabled",
    )
    add_change(
        "disable",
        "Keep a peer out and end its sessions.",
        lambda folder, which: loaders.peers().enable_peer(folder, which, enabled=False),
        "disabled",
    )
    add_change(
        "remove",
        "Forget a peer; the next client gets its number.",
        lambda folder, which: loaders.peers().remove_peer(folder, which),
        "removed",
    )


def _called(peer: PeerView) -> str:
    return f"peer {peer.number} ({visible(peer.name)})" if peer.name else f"peer {peer.number}"


def _row(peer: PeerView) -> tuple[str, str, str, str]:
    return str(peer.number), peer.name, _yes(peer), _addresses(peer)


def _pairs(peer: PeerView) -> list[tuple[str, str]]:
    pairs = [("number", str(peer.number)), ("name", peer.name), ("enabled", _yes(peer))]
    pairs.append(("public key", peer.public_key))
    pairs += ((transport, ", ".join(found)) for transport, found in peer.addresses.items())
    return pairs


def _yes(peer: PeerView) -> str:
    return "yes" if peer.enabled else "no"


def _addresses(peer: PeerView) -> str:
    return "  ".join(f"{transport} {', '.join(found)}" for transport, found in peer.addresses.items())
