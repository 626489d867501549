"""The exit status that an error of the layers below ends the program with."""

import pytest

from application.network.connection.transport import DialError, DialForbiddenError
from application.network.routing.tun import TunForbiddenError, TunUnavailableError
from application.network.stream.listener import StreamBindError, StreamBindForbiddenError
from application.network.udp.listener import UdpBindError, UdpBindForbiddenError
from application.runtime.configuration import ConfigurationError, ConfigurationForbiddenError
from infrastructure.pal.linux.errors import (
    JournalError,
    JournalRightsError,
    NetworkError,
    NetworkRightsError,
    NftablesError,
    NftMissingError,
    NftRightsError,
    SysctlError,
    SysctlRightsError,
)
from presentation.cli.commands import CommandError, ExitStatus
from tungo.failures import one_sentence

WANT_OF_RIGHTS = [
    ConfigurationForbiddenError("x"),
    DialForbiddenError("x"),
    JournalRightsError("x"),
    NetworkRightsError("x"),
    NftRightsError("x"),
    StreamBindForbiddenError("x"),
    SysctlRightsError("key", "x"),
    TunForbiddenError("x"),
    UdpBindForbiddenError("x"),
]
OTHER_REASONS = [
    ConfigurationError("x"),
    DialError("x"),
    JournalError("x"),
    NetworkError("x"),
    NftMissingError("x"),
    NftablesError("x"),
    StreamBindError("x"),
    SysctlError("key", "x"),
    TunUnavailableError("x"),
    UdpBindError("x"),
]


def status_of(error: Exception) -> int:
    with pytest.raises(CommandError, match=r"^x$") as caught, one_sentence(type(error)):
        raise error
    return caught.value.exit_code


@pytest.mark.parametrize("error", WANT_OF_RIGHTS, ids=lambda error: type(error).__name__)
def test_want_of_rights_has_a_status_of_its_own(error: Exception) -> None:
    assert status_of(error) == ExitStatus.NO_RIGHTS


@pytest.mark.parametrize("error", OTHER_REASONS, ids=lambda error: type(error).__name__)
def test_any_other_reason_is_a_plain_failure(error: Exception) -> None:
    assert status_of(error) == ExitStatus.FAILURE


def test_what_is_not_expected_keeps_its_traceback() -> None:
    with pytest.raises(LookupError), one_sentence(NetworkError):
        raise LookupError("x")
