"""Whether names can be asked for, that of the server above all."""

from collections.abc import Sequence
from pathlib import Path

from application.diagnosis.finding import Finding
from application.network.connection.transport import ResolutionError
from domain.settings.profile import TransportProfile
from infrastructure.network.names import look_up
from infrastructure.network.resolution import NameLookup, resolve

RESOLV_CONF = Path("/etc/resolv.conf")


async def examine_resolver(
    profiles: Sequence[TransportProfile], path: Path = RESOLV_CONF, lookup: NameLookup = look_up
) -> Sequence[Finding]:
    """``profiles`` are those that a client connects with."""
    names = dict.fromkeys(profile.server.domain for profile in profiles if profile.server.domain)
    by_name = [await _found(name, profiles, lookup) for name in names]
    return [_name_servers(path, needed=bool(names)), *by_name]


def _name_servers(path: Path, *, needed: bool) -> Finding:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as exc:
        text, reason = "", f"{path} cannot be read: {exc.strerror}"
    else:
        reason = f"{path} names no name server"
    servers = [
        words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"] and words[1:]
    ]
    if servers:
        return Finding.ok(f"{path} names {', '.join(servers)}")
    advice = f"write `nameserver ADDRESS` into {path}, or start the service that does"
    return Finding.problem(reason, advice) if needed else Finding.warning(reason, advice)


async def _found(name: str, profiles: Sequence[TransportProfile], lookup: NameLookup) -> Finding:
    profile = next(profile for profile in profiles if profile.server.domain == name)
    try:
        endpoints = await resolve(profile, lookup=lookup)
    except ResolutionError as exc:
        return Finding.problem(
            str(exc).rstrip("."),
            "look whether the name is right and the name server answers, or set an address beside the domain",
        )
    return Finding.ok(f"{name} is at {', '.join(dict.fromkeys(endpoint.host for endpoint in endpoints))}")
