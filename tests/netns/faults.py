"""Makes one step fail, so that a test can see whether the steps before it are undone."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import pytest

_P = ParamSpec("_P")
_R = TypeVar("_R")


def fail_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, method_name: str, occurrence: int, error: BaseException
) -> None:
    """The ``occurrence``-th call (from 1) of a coroutine method does its work and then raises ``error``."""
    method = getattr(owner, method_name)
    monkeypatch.setattr(owner, method_name, _failing(method, occurrence, error))


def _failing(
    method: Callable[_P, Awaitable[_R]], occurrence: int, error: BaseException
) -> Callable[_P, Awaitable[_R]]:
    calls = 0

    async def counted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        nonlocal calls
        calls += 1
        result = await method(*args, **kwargs)
        if calls == occurrence:
            raise error
        return result

    return counted
