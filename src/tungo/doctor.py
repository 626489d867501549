"""The checks behind ``tungo doctor``, for whatever is configured."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from application.diagnosis.diagnose import Check, diagnose
from application.diagnosis.finding import Examined, Finding
from application.runtime.configuration import (
    ConfigurationError,
    ConfigurationForbiddenError,
    ConfigurationMissingError,
)
from domain.settings.client import ClientSettings
from domain.settings.profile import TransportProtocol
from domain.settings.server import ServerSettings
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.environment import read_overlay
from infrastructure.pal.configuration.files import ConfigurationFolder
from infrastructure.pal.configuration.reading import read_client, read_server
from infrastructure.pal.linux.doctor.firewall import examine_forward_chains, examine_nft
from infrastructure.pal.linux.doctor.forwarding import examine_forwarding
from infrastructure.pal.linux.doctor.journals import examine_journals
from infrastructure.pal.linux.doctor.mtu import examine_client_mtu, examine_server_mtu
from infrastructure.pal.linux.doctor.ports import examine_listeners, examine_reach
from infrastructure.pal.linux.doctor.resolver import examine_resolver
from infrastructure.pal.linux.doctor.rights import CAP_NET_ADMIN, capabilities, examine_rights
from infrastructure.pal.linux.doctor.subnets import examine_client_subnets, examine_server_subnets
from infrastructure.pal.linux.doctor.tun import examine_offload, examine_tun
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK
from presentation.cli.commands import DoctorCommands
from tungo.streams import stream_dialer

_Settings = TypeVar("_Settings", ServerSettings, ClientSettings)


class HostDoctorCommands:
    """Looks at the host that it runs on."""

    def diagnose(self, config_dir: str) -> list[Examined]:
        """See DoctorCommands."""
        folder = ConfigurationFolder(Path(config_dir))
        public_key_of = PycaPrimitives().public_key
        findings: list[Finding] = []
        server = _read(
            folder.server_file,
            lambda path: read_server(path, public_key_of, read_overlay(os.environ, public_key_of)),
            findings,
        )
        client = _read(folder.client_file, lambda path: read_client(path, public_key_of), findings)
        configuration = Examined("configuration", tuple(findings) or (_nothing_in(folder),))
        journals = JournalFolder.of_this_host()
        mark = FIREWALL_MARK if CAP_NET_ADMIN in capabilities() else None
        checks = [
            *_of_every_host(journals),
            *(() if server is None else _of_a_server(server, journals, mark)),
            *(() if client is None else _of_a_client(client, mark)),
        ]
        return [configuration, *asyncio.run(diagnose(checks))]


def _nothing_in(folder: ConfigurationFolder) -> Finding:
    return Finding.problem(
        f"there is no configuration in {folder.path}",
        f"`tungo server` makes one for a server; a client's is made by `tungo server gen` on the server and "
        f"belongs in {folder.client_file}",
    )


def _read(path: Path, read: Callable[[Path], _Settings], findings: list[Finding]) -> _Settings | None:
    """What is in ``path``, None if it cannot be used; ``findings`` get to know, unless there is nothing."""
    try:
        settings = read(path)
    except ConfigurationMissingError:
        return None
    except ConfigurationForbiddenError as exc:
        findings.append(Finding.warning(str(exc).rstrip("."), "run this as root to have it looked at"))
        return None
    except ConfigurationError as exc:
        findings += (Finding.problem(text.rstrip("."), "correct the file") for text in exc.sentences)
        return None
    findings.append(Finding.ok(f"{path} is valid"))
    return settings


def _of_every_host(journals: JournalFolder) -> Iterator[Check]:
    yield Check("rights", examine_rights)
    yield Check("TUN device", examine_tun)
    yield Check("offload", examine_offload)
    yield Check("nft", partial(examine_nft, journals))
    yield Check("left behind", partial(examine_journals, journals))


def _of_a_server(settings: ServerSettings, journals: JournalFolder, mark: int | None) -> Iterator[Check]:
    profiles = settings.enabled_profiles()
    yield Check("forwarding", partial(examine_forwarding, settings, journals))
    yield Check("firewall", examine_forward_chains)
    yield Check("server's subnets", partial(examine_server_subnets, profiles))
    yield Check("server's ports", partial(examine_listeners, profiles, journals))
    if TransportProtocol.UDP in settings.enabled:
        yield Check("server's MTU", partial(examine_server_mtu, settings.udp, mark))


def _of_a_client(settings: ClientSettings, mark: int | None) -> Iterator[Check]:
    profiles = [settings.profile_of(protocol) for protocol in settings.protocols]
    yield Check("resolver", partial(examine_resolver, profiles))
    yield Check(
        "server", partial(examine_reach, profiles, partial(stream_dialer, mark=mark, aggregation=False), mark)
    )
    yield Check("client's subnets", partial(examine_client_subnets, profiles))
    if TransportProtocol.UDP in settings.protocols:
        udp = settings.profile_of(TransportProtocol.UDP)
        yield Check("client's MTU", partial(examine_client_mtu, udp, mark))


_: type[DoctorCommands] = HostDoctorCommands
