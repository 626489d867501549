import pytest

from domain.noise.keys import EpochKeys, KeyPair, Role
from tests.domain.noise import PRIMITIVES, SERVER, run_of


def test_a_key_pair_is_derived_from_its_private_key() -> None:
    assert SERVER.public.hex() == "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_the_callers_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair.from_private(PRIMITIVES, bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair(private=bytes(32), public=bytes(size))


def test_private_keys_do_not_show_in_a_repr() -> None:
    assert repr(SERVER.private) not in repr(SERVER)
    keys = EpochKeys(client_to_server=run_of(0), server_to_client=run_of(32))
    assert "\\x" not in repr(keys)


def test_each_role_opens_with_the_key_the_other_seals_with() -> None:
    keys = EpochKeys(client_to_server=run_of(0), server_to_client=run_of(32))
    assert keys.sealing(Role.CLIENT) == keys.opening(Role.SERVER) == run_of(0)
    assert keys.sealing(Role.SERVER) == keys.opening(Role.CLIENT) == run_of(32)
