"""From the errors of the layers below to the one sentence that a command ends with."""

from collections.abc import Iterator
from contextlib import contextmanager

from application.runtime.configuration import ConfigurationError
from application.runtime.rights import MissingRightsError
from presentation.cli.commands import CommandError, ExitStatus


@contextmanager
def one_sentence(*expected: type[Exception]) -> Iterator[None]:
    """Turn a ConfigurationError, and what is ``expected``, into a CommandError.

    They are what a user can do something about; anything else is a defect and keeps its traceback.
    """
    known: tuple[type[Exception], ...] = (ConfigurationError, *expected)
    try:
        yield
    except known as error:
        status = ExitStatus.NO_RIGHTS if isinstance(error, MissingRightsError) else ExitStatus.FAILURE
        raise CommandError(str(error).rstrip("."), status) from error
