import pytest

from infrastructure.network.udp.buffers import DatagramBuffer


def test_buffers_are_allocated_with_the_room_that_was_asked_for() -> None:
    buffers = DatagramBuffer.allocate(3, 1536)
    assert [len(buffer.data) for buffer in buffers] == [1536] * 3
    assert len({id(buffer.data) for buffer in buffers}) == 3


def test_the_view_shows_the_data_itself() -> None:
    buffer = DatagramBuffer(4)
    buffer.data[:] = b"wxyz"
    assert bytes(buffer.view) == b"wxyz"
    assert buffer.view.obj is buffer.data


def test_a_fresh_buffer_holds_nothing() -> None:
    buffer = DatagramBuffer(4)
    assert (buffer.length, buffer.flags, buffer.endpoint.port) == (0, 0, 0)


@pytest.mark.parametrize("size_bytes", [0, -1])
def test_a_buffer_without_room_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="can receive nothing"):
        DatagramBuffer(size_bytes)
