"""What can go wrong in the demo.

Errors::

    DemoError                 one sentence without a full stop; ``advice`` says what to do where that is known
    └── DemoInterruptedError  a signal ended it
"""


class DemoError(Exception):
    """The demo cannot go on."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class DemoInterruptedError(DemoError):
    """Somebody wanted the demo to end."""
