import pytest

from domain.noise.primitives import Buffer, LowOrderPointError, Primitives
from infrastructure.cryptography.primitives import PycaPrimitives
from tests.domain.noise import LOW_ORDER_POINTS

PRIMITIVES: Primitives = PycaPrimitives()


def test_agreement_gives_the_result_of_rfc_7748_section_5_2() -> None:
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    shared = PRIMITIVES.agree(scalar, point)
    assert shared.hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


def test_a_public_key_is_the_base_point_times_the_private_key() -> None:
    private = bytes(range(32))
    assert PRIMITIVES.public_key(private) == PRIMITIVES.agree(private, b"\x09" + bytes(31))


def test_two_ends_agree() -> None:
    ours, theirs = bytes(range(32)), bytes(range(32, 64))
    assert PRIMITIVES.agree(ours, PRIMITIVES.public_key(theirs)) == PRIMITIVES.agree(
        theirs, PRIMITIVES.public_key(ours)
    )


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_an_all_zero_agreement_is_refused(point: bytes) -> None:
    with pytest.raises(LowOrderPointError):
        PRIMITIVES.agree(bytes(range(32)), point)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_not_mistaken_for_a_point_of_low_order(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PRIMITIVES.agree(bytes(range(32)), bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        PRIMITIVES.public_key(bytes(size))


def test_sealing_gives_the_result_of_rfc_8439_section_2_8_2() -> None:
    aead = PRIMITIVES.aead(bytes(range(0x80, 0xA0)))
    sealed = aead.encrypt(
        bytes.fromhex("070000004041424344454647"),
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it.",
        bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
    )
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_opening_takes_any_buffer(kind: type[Buffer]) -> None:
    aead, nonce = PRIMITIVES.aead(bytes(32)), bytes(12)
    sealed = aead.encrypt(kind(nonce), kind(b"text"), kind(b"data"))
    assert aead.decrypt(kind(nonce), kind(sealed), kind(b"data")) == b"text"


def test_a_forgery_raises_the_named_error_and_so_does_what_is_shorter_than_a_tag() -> None:
    aead, nonce = PRIMITIVES.aead(bytes(32)), bytes(12)
    sealed = aead.encrypt(nonce, b"text", b"")
    for size in range(len(sealed)):
        with pytest.raises(PRIMITIVES.authentication_failure):
            aead.decrypt(nonce, sealed[:size], b"")
    with pytest.raises(PRIMITIVES.authentication_failure):
        aead.decrypt(nonce, sealed, b"other data")


def test_a_block_is_the_one_of_rfc_8439_section_2_3_2() -> None:
    block = PRIMITIVES.chacha20_block(
        bytes(range(32)), bytes.fromhex("01000000" + "000000090000004a00000000")
    )
    assert block.hex() == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
