"""The limits of this process."""

import resource


def raise_descriptor_limit() -> None:
    """Allow as many open descriptors as the administrator lets this process have.

    A server over streams has one for each client, and shells and systemd start with 1024 for the sake of old
    programs that use select(2).
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
