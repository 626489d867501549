"""Reception over streams: a connection per peer, whose first frames are the handshake (specification 1.8, 3).

A connection is a stranger until its handshake has succeeded, and a session's from then on. Strangers cost
little and not for long: ten seconds for everything that comes before the session, TLS and HTTP included;
places for a bounded number of them, of which the one that has waited longest goes when they are all taken,
because an honest client needs its place for a round trip or two; and a Diffie-Hellman only in doses that
leave time for the peers.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from application.network.connection.transport import TransportError
from application.network.routing.counters import TunnelCounters
from application.network.stream.listener import StreamConnection, StreamListener
from application.runtime.clock import Clock
from application.runtime.log import EventLog
from application.server.reception import Arrival, Reception
from application.server.register import Registrar, Verdict
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.endpoint import Endpoint, source_network
from domain.noise.message import may_be_message1
from domain.noise.primitives import Buffer

# Ours. The Go program lets a connection be silent for 30 s per read, without a limit in all (specification
# 1.9).
HANDSHAKE_LIMIT_S: Final = 10.0

# The protocol's for datagrams (specification 2.5); a connection is not cheaper.
MAX_STRANGERS: Final = 1000

# Ours: places that one source may hold. A few hundred clients behind one address come back at once when their
# server was restarted, and have to find room.
MAX_STRANGERS_PER_SOURCE: Final = 256

# Ours: one dose, as for datagrams: about three accepted handshakes.
DOSE_S: Final = 0.001


class _Stranger:
    """A connection on its way to a session."""

    __slots__ = ("challenged", "deadline_s", "message", "source")

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.source = ""
        self.message: bytes | None = None  # a handshake message that waits for its dose
        self.challenged = False


class StreamReception:
    """Reads the connections of one listener in turn."""

    def __init__(
        self,
        *,
        listener: StreamListener,
        sessions: SessionRepository,
        registrar: Registrar,
        clock: Clock,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._listener = listener
        self._sessions = sessions
        self._registrar = registrar
        self._clock = clock
        self._counters = counters
        self._log = log
        self._strangers: dict[StreamConnection, _Stranger] = {}  # in order of their deadlines
        self._of_source: dict[str, dict[StreamConnection, None]] = {}
        self._waiting: deque[StreamConnection] = deque()

    @property
    def local_endpoint(self) -> Endpoint:
        """See Reception."""
        return self._listener.local_endpoint

    def fileno(self) -> int:
        """See Reception."""
        return self._listener.fileno()

    def receive(self) -> Iterator[Arrival]:
        """See Reception."""
        for connection in self._listener.poll():
            if connection.closed:
                continue  # by what one before it has led to
            session = self._sessions.find_by_egress(connection.egress())
            if session is None and connection not in self._strangers:
                self._welcome(connection)
            try:
                frames = connection.read_frames()
            except TransportError as error:
                self._lose(connection, session, str(error))
                continue
            if session is not None:
                if frames:
                    yield Arrival(session, [(frame, len(frame)) for frame in frames], ())
            elif frames:
                self._listen_to(connection, frames)
        self._work()

    def handle_timer(self, now_s: float) -> None:
        """See Reception."""
        while self._strangers:
            connection, stranger = next(iter(self._strangers.items()))
            if now_s < stranger.deadline_s:
                break
            self._dismiss(connection, f"no handshake within {HANDSHAKE_LIMIT_S:g} s")
        self._work()

    def next_deadline_s(self) -> float:
        """See Reception."""
        if self._waiting:
            return 0.0
        return next((stranger.deadline_s for stranger in self._strangers.values()), float("inf"))

    def close(self) -> None:
        """See Reception."""
        self._strangers.clear()
        self._of_source.clear()
        self._waiting.clear()
        self._listener.close()

    def _welcome(self, connection: StreamConnection) -> None:
        if len(self._strangers) == MAX_STRANGERS:
            self._dismiss(next(iter(self._strangers)), "too many connections without a session")
        stranger = _Stranger(self._clock.monotonic_s() + HANDSHAKE_LIMIT_S)
        self._strangers[connection] = stranger
        stranger.source = source_network(connection.endpoint.host)
        siblings = self._of_source.setdefault(stranger.source, {})
        if len(siblings) == MAX_STRANGERS_PER_SOURCE:
            self._dismiss(next(iter(siblings)), "too many connections without a session from one source")
            siblings = self._of_source.setdefault(stranger.source, {})
        siblings[connection] = None

    def _listen_to(self, connection: StreamConnection, frames: Sequence[Buffer]) -> None:
        """One frame is a handshake message, to which an honest client awaits the answer."""
        stranger = self._strangers[connection]
        message = frames[0]
        if stranger.message is not None or len(frames) > 1:
            self._refuse(connection, "data before the handshake was done")
        elif not may_be_message1(message[0], len(message)):
            self._refuse(connection, "the first frame is no handshake message")
        else:
            stranger.message = bytes(message)
            self._waiting.append(connection)

    def _work(self) -> None:
        """Hand waiting handshake messages to the registrar, for a bounded time."""
        end_s = self._clock.monotonic_s() + DOSE_S
        while self._waiting:
            connection = self._waiting.popleft()
            stranger = self._strangers.get(connection)
            if stranger is None or stranger.message is None:
                continue  # gone meanwhile
            message, stranger.message = stranger.message, None
            self._register(connection, stranger, message)
            if self._clock.monotonic_s() >= end_s:
                return

    def _register(self, connection: StreamConnection, stranger: _Stranger, message: bytes) -> None:
        outcome = self._registrar.register(message, connection.egress())
        if isinstance(outcome, PeerSession):
            self._forget(connection)
            if outcome.frames_route_id is not None:
                connection.take_long_frames()
        elif outcome is Verdict.REFUSED:
            self._end(connection, "the handshake was refused")
        elif stranger.challenged:
            # One round is all that the protocol allows (specification 1.8).
            self._end(connection, "no cookie after a second challenge")
        else:
            stranger.challenged = True

    def _lose(self, connection: StreamConnection, session: PeerSession | None, reason: str) -> None:
        """The connection is over."""
        if session is None:
            self._dismiss(connection, reason)
        else:
            self._sessions.remove(session)
            connection.close()
            self._log.info(
                "client disconnected",
                client_id=session.peer.client_id,
                name=session.peer.name,
                reason=reason,
            )

    def _refuse(self, connection: StreamConnection, reason: str) -> None:
        self._counters.handshakes_refused += 1
        self._end(connection, reason)

    def _dismiss(self, connection: StreamConnection, reason: str) -> None:
        self._counters.handshakes_dropped += 1
        self._end(connection, reason)

    def _end(self, connection: StreamConnection, reason: str) -> None:
        source = connection.endpoint.host
        self._forget(connection)
        connection.close()
        self._log.info("connection without a session ended", source=source, reason=reason)

    def _forget(self, connection: StreamConnection) -> None:
        stranger = self._strangers.pop(connection)
        siblings = self._of_source[stranger.source]
        del siblings[connection]
        if not siblings:
            del self._of_source[stranger.source]


_: type[Reception] = StreamReception
