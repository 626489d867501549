import hashlib
import hmac

import pytest

from domain.noise.errors import NoiseError
from domain.noise.symmetric import HASH_BYTES, PROTOCOL_NAME, CipherState, SymmetricState, hkdf
from tests.domain.noise import CLIENT, LOW_ORDER_POINTS, PRIMITIVES, SERVER, run_of


def test_the_protocol_name_is_its_own_first_hash() -> None:
    assert len(PROTOCOL_NAME) == HASH_BYTES
    assert SymmetricState(PRIMITIVES).handshake_hash == PROTOCOL_NAME


def test_hkdf_gives_the_result_of_rfc_5869_test_case_1() -> None:
    output = hkdf(salt=bytes(range(13)), key_material=b"\x0b" * 22, info=bytes(range(0xF0, 0xFA)), size=42)
    assert output.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_hkdf_without_info_gives_the_two_outputs_of_the_noise_specification() -> None:
    temporary = hmac.digest(b"s" * 32, b"material", "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    second = hmac.digest(temporary, first + b"\x02", "sha256")
    assert hkdf(salt=b"s" * 32, key_material=b"material", info=b"", size=64) == first + second


def test_the_nonce_is_four_zeros_and_a_little_endian_counter() -> None:
    cipher = CipherState(PRIMITIVES, run_of(0))
    aead = PRIMITIVES.aead(run_of(0))
    for counter in range(300):
        nonce = bytes(4) + counter.to_bytes(8, "little")
        assert cipher.encrypt(b"text", b"data") == aead.encrypt(nonce, b"text", b"data")


def test_a_forged_message_does_not_spend_a_counter_value() -> None:
    sender = CipherState(PRIMITIVES, run_of(0))
    receiver = CipherState(PRIMITIVES, run_of(0))
    genuine = sender.encrypt(b"text", b"")
    with pytest.raises(NoiseError):
        receiver.decrypt(bytes(20), b"")
    assert receiver.decrypt(genuine, b"") == b"text"


def test_a_failed_decryption_leaves_the_hash_alone() -> None:
    state = SymmetricState(PRIMITIVES)
    state.mix_key(b"material")
    before = state.handshake_hash
    with pytest.raises(NoiseError):
        state.decrypt_and_hash(bytes(16))
    assert state.handshake_hash == before


def test_mix_hash_chains_what_was_said() -> None:
    state = SymmetricState(PRIMITIVES)
    state.mix_hash(b"said")
    assert state.handshake_hash == hashlib.sha256(PROTOCOL_NAME + b"said").digest()


def test_nothing_is_sealed_in_clear_before_there_is_a_key() -> None:
    state = SymmetricState(PRIMITIVES)
    with pytest.raises(RuntimeError):
        state.encrypt_and_hash(b"secret")
    with pytest.raises(RuntimeError):
        state.decrypt_and_hash(bytes(32))


def test_a_fork_goes_its_own_way_and_has_no_key_to_reuse() -> None:
    state = SymmetricState(PRIMITIVES)
    state.mix_key(b"material")
    twin = state.fork()
    assert twin.handshake_hash == state.handshake_hash
    with pytest.raises(RuntimeError):
        twin.encrypt_and_hash(b"under the same key and counter")
    twin.mix_key(b"other")
    twin.mix_hash(b"other")
    assert twin.handshake_hash != state.handshake_hash
    assert twin.split() != state.split()


def test_both_sides_of_an_agreement_reach_the_same_keys() -> None:
    ours, theirs = SymmetricState(PRIMITIVES), SymmetricState(PRIMITIVES)
    ours.mix_agreement(SERVER.private, CLIENT.public)
    theirs.mix_agreement(CLIENT.private, SERVER.public)
    assert ours.split() == theirs.split()


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_point_of_low_order_is_refused(point: bytes) -> None:
    with pytest.raises(NoiseError):
        SymmetricState(PRIMITIVES).mix_agreement(SERVER.private, point)
