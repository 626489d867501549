"""What all errors have in common whose reason is that this process may not do something."""


class MissingRightsError(Exception):
    """A right is missing: another user, or another capability, is what helps, and trying again is not.

    It stands beside the error that says what was refused: ``class TunForbiddenError(TunUnavailableError,
    MissingRightsError)``.
    """
