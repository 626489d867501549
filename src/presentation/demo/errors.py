"""What can go wrong in the demo.

Errors::

    DemoError                 one sentence without a full stop; ``advice`` says what to do where that is known
    └── DemoInterruptedError  a signal ended it
"""


class DemoError(Exception):
    """The demo cannot go on. ``missing_rights`` tells a lack of rights from a failure."""

    def __init__(self, message: str, *, advice: str = "", missing_rights: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.missing_rights = missing_rights


class DemoInterruptedError(DemoError):
    """Somebody wanted the demo to end."""
