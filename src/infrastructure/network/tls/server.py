"""The certificate that a TLS server shows, replaced on disk by whoever renews it.

Errors::

    ConfigurationError       (application.runtime.configuration) there is no usable pair at the start
"""

import ssl
import stat
from pathlib import Path
from typing import Final, NamedTuple

from application.runtime.clock import Clock
from application.runtime.configuration import ConfigurationError
from application.runtime.log import EventLog

# Ours: renewal happens every few weeks, connections thousands of times a second.
LOOK_INTERVAL_S: Final = 1.0

_ADVICE: Final = "put the certificate with its chain into one file and its key into another, both as PEM"


class _UnusablePairError(Exception):
    """The files do not make a certificate and its key; the text has no full stop."""


class _PassphraseError(Exception):
    """The library asked for one, which it would do on the terminal."""


class _Stamp(NamedTuple):
    """What changes when a file is written or replaced."""

    modified_ns: int
    size_bytes: int
    inode: int
    device: int


class ReloadingServerContext:
    """The context for the next connection; connections that have one keep it.

    A changed pair is looked for when a connection comes, at most once in LOOK_INTERVAL_S. One that cannot be
    used, because only one of the two is renewed yet or a file is half written, leaves the old one in use;
    that is logged once, until a pair can be used again. Raises ConfigurationError if the first cannot.
    """

    def __init__(self, certificate_file: str, key_file: str, log: EventLog, clock: Clock) -> None:
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._log = log
        self._clock = clock
        self._is_failing = False
        try:
            # The stamps are older than what is loaded: a change in between is found by the next look.
            self._stamps = self._look()
            self._context = self._load()
        except _UnusablePairError as exc:
            raise ConfigurationError(f"{exc}; {_ADVICE}.") from exc
        self._next_look_s = clock.monotonic_s() + LOOK_INTERVAL_S

    def current(self) -> ssl.SSLContext:
        """The context to accept the next connection with; never raises."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_INTERVAL_S
            self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            stamps = self._look()
            if stamps == self._stamps:
                return
            self._context = self._load()
        except _UnusablePairError as exc:
            if not self._is_failing:
                self._is_failing = True
                self._log.error("the new TLS certificate cannot be used, the old one stays", reason=str(exc))
            return
        self._stamps = stamps
        self._is_failing = False
        self._log.info("the TLS certificate was renewed", path=self._certificate_file)

    def _look(self) -> tuple[_Stamp, _Stamp]:
        return _stamp(self._certificate_file), _stamp(self._key_file)

    def _load(self) -> ssl.SSLContext:
        # A new one each time: a failed load leaves one half of the pair behind in its context.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A tunnel connects once in a long while; the keys of resumption would only have to be kept.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        context.num_tickets = 0
        try:
            context.load_cert_chain(self._certificate_file, self._key_file, password=_refuse_passphrase)
        except _PassphraseError:
            raise _UnusablePairError(f"{self._key_file} is protected by a passphrase") from None
        except ssl.SSLError as exc:
            raise _UnusablePairError(self._mismatch(exc)) from exc
        except OSError as exc:
            raise _UnusablePairError(
                f"{self._certificate_file} or {self._key_file} cannot be read: {exc.strerror}"
            ) from exc
        self._warn_if_exposed()
        return context

    def _mismatch(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{self._key_file} is not the key of {self._certificate_file}"
        return f"{self._certificate_file} holds no usable certificate in PEM form, or {self._key_file} no key"

    def _warn_if_exposed(self) -> None:
        try:
            mode = Path(self._key_file).stat().st_mode
        except OSError:
            return  # replaced at this moment: the next look sees the new one
        if mode & stat.S_IROTH:
            self._log.warning("every user can read the key of the TLS certificate", path=self._key_file)


def _stamp(path: str) -> _Stamp:
    try:
        status = Path(path).stat()
    except OSError as exc:
        raise _UnusablePairError(f"{path} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(status.st_mode):
        raise _UnusablePairError(f"{path} is not a regular file")  # reading a pipe would wait for its writer
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


def _refuse_passphrase() -> str:
    raise _PassphraseError
