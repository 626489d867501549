"""Settings of a server that the environment lays over its file (platform specification 7 and 9).

=======================  ==========================  =====================================================
ours                     the Go program's            what it does
=======================  ==========================  =====================================================
``TUNGO_HOST``           ``Host``, ``ServerIP``      takes the place of ``Host``
``TUNGO_ENABLE_TCP``     ``EnableTCP``               takes the place of ``EnableTCP``; so with UDP and WS
``TUNGO_PUBLIC_KEY``,    ``X25519_PUBLIC_KEY``,      the server's key pair: ours takes the place of the one in
``TUNGO_PRIVATE_KEY``    ``X25519_PRIVATE_KEY``      the file, the Go program's is for a file without one
=======================  ==========================  =====================================================

The first name that is set wins; a blank value is none. Unlike the Go program we tell what is malformed, and
write nothing of it into the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from domain.noise.primitives import KEY_BYTES
from domain.settings.errors import Problem, shown
from domain.settings.host import HOST_EXPECTATION, HostError, parse_host
from domain.settings.profile import TransportProtocol
from domain.settings.rules import PublicKeyOf, key_pair_problems
from domain.settings.server import ServerSettings
from infrastructure.pal.configuration.notation import NotationError, parse_key

ENVIRONMENT: Final = "the environment"  # how messages call the place where the variables stand
NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})

_HOST: Final = ("TUNGO_HOST", "Host", "ServerIP")
_SWITCHES: Final = {
    slot: (f"TUNGO_ENABLE_{slot.value}", f"Enable{slot.value}")
    for slot in (TransportProtocol.TCP, TransportProtocol.UDP, TransportProtocol.WS)
}
_OUR_KEYS: Final = ("TUNGO_PUBLIC_KEY", "TUNGO_PRIVATE_KEY")
_GO_KEYS: Final = ("X25519_PUBLIC_KEY", "X25519_PRIVATE_KEY")

# The words of Go's strconv.ParseBool.
_WORDS: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


@dataclass(frozen=True, slots=True)
class EnvironmentKeys:
    """A key pair; ``replaces`` says whether also that of a file that has one."""

    public: bytes
    private: bytes = field(repr=False)
    replaces: bool


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the environment says; None, or no entry, is what it leaves to the file.

    ``variables`` are the names that have a say, ``problems`` what is malformed in them.
    """

    host: str | None = None
    switches: Mapping[TransportProtocol, bool] = field(default_factory=dict)
    keys: EnvironmentKeys | None = None
    variables: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to lay over a file."""
        return self.host is not None or bool(self.switches) or self.keys is not None

    def over(self, stored: ServerSettings) -> ServerSettings:
        """The settings in force where the file says ``stored``."""
        laid = stored
        if self.host is not None:
            laid = replace(laid, host=self.host)
        if self.keys is not None and (self.keys.replaces or not stored.has_keys):
            laid = replace(laid, public_key=self.keys.public, private_key=self.keys.private)
        switched_on = {slot for slot, on in self.switches.items() if on}
        return replace(laid, enabled=(laid.enabled - self.switches.keys()) | switched_on)

    def taken_off(self, changed: ServerSettings, stored: ServerSettings) -> ServerSettings:
        """What belongs into the file that said ``stored``, when its settings in force become ``changed``.

        What the environment laid over the file goes back to what the file said, unless it was changed.
        """
        before = self.over(stored)
        host = stored.host if changed.host == before.host else changed.host
        public_key, private_key = changed.public_key, changed.private_key
        if (public_key, private_key) == (before.public_key, before.private_key):
            public_key, private_key = stored.public_key, stored.private_key
        untouched = self.switches.keys() - (changed.enabled ^ before.enabled)
        enabled = (changed.enabled - untouched) | (stored.enabled & untouched)
        return replace(changed, host=host, public_key=public_key, private_key=private_key, enabled=enabled)


NO_OVERLAY: Final = Overlay()


def read_overlay(environment: Mapping[str, str], public_key_of: PublicKeyOf) -> Overlay:
    """What ``environment`` says. Raises nothing: ``problems`` never quote a key."""
    problems: list[Problem] = []
    used = [_first_set(environment, _HOST)]
    host = _host(environment, used[0], problems)
    switches: dict[TransportProtocol, bool] = {}
    for slot, names in _SWITCHES.items():
        name = _first_set(environment, names)
        used.append(name)
        if name is None:
            continue
        if environment[name] in _WORDS:
            switches[slot] = _WORDS[environment[name]]
        else:
            problems.append(Problem(name, shown(environment[name]), f"one of {', '.join(_WORDS)}"))
    pair = next((pair for pair in (_OUR_KEYS, _GO_KEYS) if _first_set(environment, pair)), None)
    keys = None
    if pair is not None:
        used += pair
        keys = _keys(environment, pair, public_key_of, problems)
    return Overlay(
        host=host,
        switches=switches,
        keys=keys,
        variables=tuple(name for name in used if name is not None),
        problems=tuple(problems),
    )


def _first_set(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if environment.get(name, "").strip()), None)


def _host(environment: Mapping[str, str], name: str | None, problems: list[Problem]) -> str | None:
    if name is None:
        return None
    host = environment[name].strip()
    try:
        parse_host(host)
    except HostError:
        problems.append(Problem(name, shown(host), HOST_EXPECTATION))
        return None
    return host


def _keys(
    environment: Mapping[str, str],
    names: tuple[str, str],
    public_key_of: PublicKeyOf,
    problems: list[Problem],
) -> EnvironmentKeys | None:
    """The pair in the two variables ``names``; None, with a problem, if it is none."""
    found: list[bytes] = []
    broken: list[Problem] = []
    for name, other in (names, names[::-1]):
        value = environment.get(name, "").strip()
        expected = f"a key of {KEY_BYTES} bytes in base64"
        try:
            found.append(parse_key(value))
        except NotationError:
            broken.append(Problem(name, "not valid", expected))
        if not value:
            broken.append(Problem(name, "not set", f"{expected}, since {other} is set"))
    if not broken:
        broken += key_pair_problems(names[0], found[0], names[1], found[1], public_key_of)
    if broken:
        problems += broken
        return None
    return EnvironmentKeys(public=found[0], private=found[1], replaces=names is _OUR_KEYS)
