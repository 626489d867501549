"""Lets something happen at the n-th step of what a TUN manager does to a host.

A step is whatever can fail, or be the last thing that a killed process did: a line of the journal, a question
or an order over netlink, a run of nft or iptables, a write to /proc/sys.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, ParamSpec, Protocol, TypeVar

import infrastructure.pal.linux.iptables as iptables_module
import infrastructure.pal.linux.nftables as nftables_module
import infrastructure.pal.linux.sysctl as sysctl_module
from infrastructure.pal.linux.journal import Journal
from infrastructure.pal.linux.netlink import Netlink

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SYNCHRONOUS: Final[Sequence[tuple[object, str]]] = ((Journal, "_append"), (sysctl_module, "write_setting"))
_ASYNCHRONOUS: Final[Sequence[tuple[object, str]]] = (
    (nftables_module, "run_program"),
    (iptables_module, "run_program"),
    *((Netlink, name) for name, method in vars(Netlink).items() if inspect.iscoroutinefunction(method)),
)


class Patch(Protocol):
    """``setattr``, or that of a MonkeyPatch."""

    def __call__(self, owner: object, name: str, value: object, /) -> None: ...


class Steps:
    """Calls ``then`` at the step with the number ``at``, the first being 1, as long as this is installed.

    ``then`` may raise, or end the process. It is called in place of the step, or with ``afterwards`` when the
    step has done its work; that is for steps that take time, for only these can be interrupted by others.
    """

    def __init__(self, at: int, then: Callable[[], None], *, afterwards: bool = False) -> None:
        self._at = at
        self._then = then
        self._afterwards = afterwards
        self.names: list[str] = []

    @property
    def reached(self) -> bool:
        """Whether there were as many steps."""
        return len(self.names) >= self._at

    def install(self, patch: Patch) -> None:
        """Count from now on."""
        if not self._afterwards:
            for owner, name in _SYNCHRONOUS:
                patch(owner, name, self._counted(name, getattr(owner, name)))
        for owner, name in _ASYNCHRONOUS:
            patch(owner, name, self._counted_async(name, getattr(owner, name)))

    def _counted(self, name: str, step: Callable[_P, _R]) -> Callable[_P, _R]:
        def counted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            self.names.append(name)
            self._happen()
            return step(*args, **kwargs)

        return counted

    def _counted_async(self, name: str, step: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
        async def counted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            self.names.append(name)
            number = len(self.names)
            if not self._afterwards:
                self._happen()
            result = await step(*args, **kwargs)
            if self._afterwards and number == self._at:
                self._then()
            return result

        return counted

    def _happen(self) -> None:
        if len(self.names) == self._at:
            self._then()
