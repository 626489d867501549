"""The names by which the two ends find a session and its keys (protocol specification 2.1, 2.4)."""

from typing import Final, NewType

from domain.noise.keys import SessionId

# The number of a key generation inside a session: 0 after the handshake, one more per rekey.
Epoch = NewType("Epoch", int)

# The first 8 bytes of the session id: how a server finds the peer of a datagram.
RouteId = NewType("RouteId", bytes)

ROUTE_ID_BYTES: Final = 8
FIRST_EPOCH: Final = Epoch(0)


def route_id_of(session_id: SessionId) -> RouteId:
    """The route id that the datagrams of this session carry."""
    return RouteId(session_id[:ROUTE_ID_BYTES])


def aggregated_route_id_of(session_id: SessionId) -> RouteId:
    """The route id that its aggregated frames carry, if the two ends have agreed on them (aggregation 3)."""
    return RouteId(session_id[ROUTE_ID_BYTES : 2 * ROUTE_ID_BYTES])
