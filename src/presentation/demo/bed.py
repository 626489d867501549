"""The test bed: network namespaces for a client, a server and a host beyond the server, joined by cables.

::

    client namespace                    server namespace                        beyond namespace
    veth-client ------------ veth-server         veth-out ------------ veth-beyond
    192.0.2.2                192.0.2.1           198.51.100.254        198.51.100.1

The client has no route to the host beyond, and that host has none to the client: they meet only through a
tunnel to a server that forwards and translates addresses. All addresses are from the blocks that are set
aside for documentation (RFC 5737).
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from presentation.demo.programs import attempt, run

SERVER_ADDRESS: Final = "192.0.2.1"
CLIENT_ADDRESS: Final = "192.0.2.2"
OUT_ADDRESS: Final = "198.51.100.254"
BEYOND_ADDRESS: Final = "198.51.100.1"
PREFIX: Final = 24

SERVER_CABLE: Final = "veth-server"
CLIENT_CABLE: Final = "veth-client"
OUT_CABLE: Final = "veth-out"
BEYOND_CABLE: Final = "veth-beyond"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, by its name."""

    name: str

    def run(self, command: str, *arguments: str) -> str:
        """What ``command`` prints inside of it. Raises DemoError."""
        return run("ip", *self.inside(command, *arguments))

    def inside(self, *argv: str) -> list[str]:
        """The arguments of ``ip`` that run ``argv`` in this namespace."""
        return ["netns", "exec", self.name, *argv]

    def state(self) -> frozenset[str]:
        """Its interfaces, addresses, routes, rules and firewall, a line each: what a tunnel must put back."""
        links = run("ip", "-n", self.name, "-o", "link", "show").splitlines()
        lines = {f"link {interface_of(line)}" for line in links}
        for topic in _STATE_TOPICS:
            text = run("ip", "-n", self.name, "-o", *topic)
            lines.update(f"{' '.join(topic)} {settled(line)}" for line in text.splitlines())
        rules = self.run("nft", "list", "ruleset")
        lines.update(f"nft {line.strip()}" for line in rules.splitlines() if line.strip(" }"))
        return frozenset(lines)


_STATE_TOPICS: Final = (
    ("address", "show"),
    ("-4", "route", "show", "table", "all"),
    ("-6", "route", "show", "table", "all"),
    ("-4", "rule", "show"),
    ("-6", "rule", "show"),
)


def interface_of(link_line: str) -> str:
    """Name and MTU from a line of ``ip -o link``: the rest (carrier, queue) changes by itself."""
    words = link_line.split()
    return f"{words[1].partition('@')[0].rstrip(':')} mtu {words[words.index('mtu') + 1]}"


def settled(line: str) -> str:
    """A line of ``ip -o`` without what a cable adds that has not noticed its other end yet."""
    return " ".join(word for word in line.split() if word != "linkdown")


@dataclass(frozen=True, slots=True)
class Bed:
    """The two ends of the tunnel; the host beyond needs no name."""

    server: Namespace
    client: Namespace


def namespace_names(label: str) -> tuple[str, str, str]:
    """The namespaces of the bed ``label``: server, client, beyond."""
    return f"{label}-server", f"{label}-client", f"{label}-beyond"


def build_bed(label: str, cleanup: ExitStack) -> Bed:
    """Make the namespaces and cables of the bed ``label``.

    ``cleanup`` removes them and ends whatever still runs inside, also after a failure here. Raises DemoError.
    """
    names = namespace_names(label)
    for name in names:
        cleanup.callback(remove_namespace, name)
        run("ip", "netns", "add", name)
        _start_interface(name, "lo")
    server, client, beyond = names
    _join((server, SERVER_CABLE, SERVER_ADDRESS), (client, CLIENT_CABLE, CLIENT_ADDRESS))
    _join((server, OUT_CABLE, OUT_ADDRESS), (beyond, BEYOND_CABLE, BEYOND_ADDRESS))
    run("ip", "-n", server, "route", "add", "default", "via", BEYOND_ADDRESS)
    return Bed(Namespace(server), Namespace(client))


def _join(left: tuple[str, str, str], right: tuple[str, str, str]) -> None:
    """A cable between two namespaces; each end is its namespace, interface and address."""
    run(
        *("ip", "link", "add", left[1], "netns", left[0], "type", "veth"),
        *("peer", "name", right[1], "netns", right[0]),
    )
    for namespace, interface, address in (left, right):
        run("ip", "-n", namespace, "address", "add", f"{address}/{PREFIX}", "dev", interface)
        _start_interface(namespace, interface)


def remove_namespace(name: str) -> None:
    """Kill what runs in the namespace ``name`` and remove it; nothing happens if there is none."""
    if not namespace_exists(name):
        return
    status, processes, _ = attempt("ip", "netns", "pids", name)
    if status == 0 and processes.split():
        attempt("kill", "-KILL", *processes.split())
    attempt("ip", "netns", "delete", name)


def namespace_exists(name: str) -> bool:
    """Whether ``ip netns`` knows ``name``."""
    _, listed, _ = attempt("ip", "netns", "list")
    return any(line.split()[:1] == [name] for line in listed.splitlines())


def _start_interface(namespace: str, interface: str) -> None:
    if Path("/proc/sys/net/ipv6").exists():
        # Link-local addresses would come and go by themselves and blur the comparison of states.
        run("ip", "-n", namespace, "link", "set", "dev", interface, "addrgenmode", "none")
    run("ip", "-n", namespace, "link", "set", "dev", interface, "up")
