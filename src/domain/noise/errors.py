"""Why no session came of a handshake.

Errors::

    HandshakeError
    ├── NoiseError                  a Noise message does not open, or holds a point of low order
    ├── MacMismatchError            MAC1 or MAC2 is not the sender's
    ├── CookieReplyError            a cookie reply does not open
    ├── RepeatedChallengeError      the server asks for a cookie although it was given one
    ├── UnexpectedCapabilityError   the server selects what was not advertised
    └── HandshakeRejectedError      the server refuses message 1

None of them is ever told to the peer: it hears nothing (specification 1.8). Breaking the order of a machine's
calls is the caller's mistake and raises RuntimeError; keys and nonces of a wrong size raise ValueError.
"""

from enum import Enum


class RejectionReason(Enum):
    """Which check of message 1 failed, in the order of the checks; for counters and nothing else."""

    TOO_SHORT = "too_short"
    BAD_VERSION = "bad_version"
    BAD_MAC1 = "bad_mac1"
    REPLAYED = "replayed"
    COOKIE_REPLY_LIMIT = "cookie_reply_limit"
    FAILURE = "failure"
    UNKNOWN_PEER = "unknown_peer"
    PEER_DISABLED = "peer_disabled"


class HandshakeError(Exception):
    """No session."""


class NoiseError(HandshakeError):
    """A Noise message is too short, was not made for these keys, or holds a point of low order."""


class MacMismatchError(HandshakeError):
    """MAC1 or MAC2 is not the one that the right sender would have written."""


class CookieReplyError(HandshakeError):
    """A cookie reply is not 56 bytes, or was not sealed for this attempt."""


class RepeatedChallengeError(HandshakeError):
    """A second cookie was asked for on one stream; one round is all that the protocol allows."""


class UnexpectedCapabilityError(HandshakeError):
    """Message 2 is genuine and selects a capability that was not advertised."""


class HandshakeRejectedError(HandshakeError):
    """The server refuses message 1. ``reason`` must not influence what the peer can observe."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
