"""The certificate of a server: loaded once, renewed while it runs, kept when the new one is no good."""

import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from application.runtime.configuration import ConfigurationError
from infrastructure.network.tls.client import server_trust
from infrastructure.network.tls.server import LOOK_INTERVAL_S, ReloadingServerContext
from tests.adapters.clock import FakeClock
from tests.adapters.log import RememberingLog
from tests.infrastructure.network.tls.certificates import Authority, Certificate
from tests.infrastructure.network.tls.conversation import Conversation

RENEWED = "the TLS certificate was renewed"
FAILED = "the new TLS certificate cannot be used, the old one stays"
EXPOSED = "every user can read the key of the TLS certificate"


class Bed:
    """A server's context with a clock that the test moves."""

    def __init__(self, files: Certificate) -> None:
        self.log = RememberingLog()
        self.clock = FakeClock()
        self.contexts = ReloadingServerContext(files.certificate_file, files.key_file, self.log, self.clock)

    def shown(self) -> bytes:
        """The SHA-256 of the certificate that the next client is shown."""
        talk = Conversation(server_trust(pinned_certificate=bytes(32)), "a.example", self.contexts.current())
        talk.run()
        return bytes.fromhex(str(talk.client_end).rpartition(" ")[2])

    def shown_later(self) -> bytes:
        """As ``shown``, when the files are looked at again."""
        self.clock.advance(LOOK_INTERVAL_S)
        return self.shown()


@pytest.fixture
def bed(own_files: Certificate) -> Bed:
    return Bed(own_files)


@pytest.fixture(scope="session")
def renewed(authority: Authority) -> Certificate:
    return authority.issue("renewed", ["a.example"], valid_until=timedelta(hours=2))


def test_the_pair_is_shown_and_spoken_for_by_the_authority(
    bed: Bed, own_files: Certificate, authority: Authority
) -> None:
    assert bed.shown() == own_files.sha256
    talk = Conversation(server_trust(ca_file=authority.ca_file), "a.example", bed.contexts.current()).run()
    talk.client.send(b"hello")
    assert talk.run().to_server == b"hello"
    assert bed.contexts.current().minimum_version is ssl.TLSVersion.TLSv1_2
    assert bed.log.events == []


def test_unchanged_files_are_not_loaded_again(bed: Bed) -> None:
    first = bed.contexts.current()
    bed.clock.advance(3600)
    assert bed.contexts.current() is first


def test_a_renewed_pair_is_shown_to_the_next_client(
    bed: Bed, own_files: Certificate, renewed: Certificate
) -> None:
    before = bed.contexts.current()
    own_files.replace(renewed)
    assert bed.shown_later() == renewed.sha256
    assert bed.contexts.current() is not before  # connections with the old one go on with it
    assert bed.log.messages == [RENEWED]


def test_a_file_that_was_moved_into_place_is_noticed_whatever_its_times(
    bed: Bed, own_files: Certificate, renewed: Certificate, tmp_path: Path
) -> None:
    for old, new in (
        (own_files.certificate_file, renewed.certificate_file),
        (own_files.key_file, renewed.key_file),
    ):
        times = Path(old).stat()
        moved = tmp_path / "moved"
        moved.write_bytes(Path(new).read_bytes())
        os.utime(moved, ns=(times.st_atime_ns, times.st_mtime_ns))
        moved.replace(old)
    assert bed.shown_later() == renewed.sha256


def test_the_files_are_looked_at_once_a_second_at_most(
    bed: Bed, own_files: Certificate, renewed: Certificate
) -> None:
    own_files.replace(renewed)
    bed.clock.advance(LOOK_INTERVAL_S * 0.9)
    assert bed.shown() == own_files.sha256
    bed.clock.advance(LOOK_INTERVAL_S * 0.2)
    assert bed.shown() == renewed.sha256


def test_half_a_renewal_leaves_the_old_pair_and_is_logged_once(
    bed: Bed, own_files: Certificate, renewed: Certificate
) -> None:
    own_files.replace_certificate(renewed)
    assert bed.shown_later() == own_files.sha256
    assert bed.shown_later() == own_files.sha256
    (event,) = bed.log.events
    assert (event.level, event.message) == ("error", FAILED)
    assert "own.key is not the key of" in str(event.fields["reason"])
    own_files.replace(renewed)
    assert bed.shown_later() == renewed.sha256
    assert bed.log.messages == [FAILED, RENEWED]
    Path(own_files.key_file).unlink()
    assert bed.shown_later() == renewed.sha256
    assert bed.log.messages == [FAILED, RENEWED, FAILED]


def test_a_half_written_file_is_read_again_even_if_its_stamp_stays(
    bed: Bed, own_files: Certificate, renewed: Certificate
) -> None:
    own_files.replace(renewed)
    whole = Path(own_files.key_file).read_bytes()
    Path(own_files.key_file).write_bytes(b" " * len(whole))
    times = Path(own_files.key_file).stat()
    assert bed.shown_later() == own_files.sha256
    Path(own_files.key_file).write_bytes(whole)
    os.utime(own_files.key_file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert bed.shown_later() == renewed.sha256


def test_the_old_pair_put_back_is_no_failure_any_more(
    bed: Bed, own_files: Certificate, renewed: Certificate
) -> None:
    old = Path(own_files.certificate_file).read_bytes()
    own_files.replace_certificate(renewed)
    bed.shown_later()
    Path(own_files.certificate_file).write_bytes(old)
    assert bed.shown_later() == own_files.sha256
    own_files.replace_certificate(renewed)
    bed.shown_later()
    assert bed.log.messages == [FAILED, RENEWED, FAILED]


def test_a_key_that_everybody_can_read_is_warned_of_at_each_load(
    own_files: Certificate, renewed: Certificate
) -> None:
    Path(own_files.key_file).chmod(0o644)
    bed = Bed(own_files)
    assert [(event.level, event.message) for event in bed.log.events] == [("warning", EXPOSED)]
    assert bed.log.events[0].fields == {"path": own_files.key_file}
    own_files.replace(renewed)
    bed.shown_later()
    assert bed.log.messages == [EXPOSED, EXPOSED, RENEWED]


# -- a start that cannot be


def failure(certificate_file: str, key_file: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        ReloadingServerContext(certificate_file, key_file, RememberingLog(), FakeClock())
    (sentence,) = caught.value.sentences
    assert sentence.endswith("both as PEM.")
    return sentence


def test_a_missing_file_is_named(own_files: Certificate, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for pair in ((missing, own_files.key_file), (own_files.certificate_file, missing)):
        assert failure(*pair).startswith(f"{missing} cannot be read: No such file or directory;")


def test_what_is_no_file_is_not_opened(own_files: Certificate, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert failure(own_files.certificate_file, str(pipe)).startswith(f"{pipe} is not a regular file")
    assert failure(str(tmp_path), own_files.key_file).startswith(f"{tmp_path} is not a regular file")


def test_files_that_hold_something_else_are_named(own_files: Certificate, renewed: Certificate) -> None:
    assert "holds no usable certificate" in failure(own_files.key_file, own_files.key_file)
    assert "holds no usable certificate" in failure(own_files.certificate_file, own_files.certificate_file)
    assert "own.key is not the key of" in failure(renewed.certificate_file, own_files.key_file)


def test_a_passphrase_is_not_asked_for_on_the_terminal(authority: Authority) -> None:
    locked = authority.issue("locked", ["a.example"], passphrase=b"secret")
    assert "locked.key is protected by a passphrase" in failure(locked.certificate_file, locked.key_file)
