from domain.noise.replayed import AcceptedEphemerals


def key(number: int) -> bytes:
    return number.to_bytes(32)[::-1]


def test_what_was_added_is_known_and_nothing_else() -> None:
    accepted = AcceptedEphemerals()
    accepted.add(key(1))
    assert key(1) in accepted
    assert key(2) not in accepted


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    accepted = AcceptedEphemerals(limit=3)
    for number in range(1, 5):
        accepted.add(key(number))
    assert [number for number in range(1, 5) if key(number) in accepted] == [2, 3, 4]


def test_asking_does_not_keep_an_old_one_alive() -> None:
    accepted = AcceptedEphemerals(limit=2)
    accepted.add(key(1))
    accepted.add(key(2))
    assert key(1) in accepted
    accepted.add(key(3))
    assert key(1) not in accepted
