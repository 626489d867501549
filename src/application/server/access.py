"""Who is let in from now on, and who has to leave (protocol specification 8.3)."""

import asyncio
from collections.abc import Sequence
from typing import Final

from application.runtime.log import EventLog
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.peers import AccessList
from domain.noise.server import ServerHandshake

# Ours: sessions to look at, and to end, between two turns of the event loop. Either takes a millisecond or
# two, so that ten thousand sessions make no packet wait.
LOOKS_PER_TURN: Final = 2048
ENDS_PER_TURN: Final = 32


class AccessControl:
    """Applies a new access list to the handshakes and the sessions of the whole process."""

    def __init__(
        self, *, handshake: ServerHandshake, sessions: Sequence[SessionRepository], log: EventLog
    ) -> None:
        self._handshake = handshake
        self._sessions = sessions
        self._log = log

    async def replace(self, access_list: AccessList) -> None:
        """Let in whom ``access_list`` admits, and end every session of a peer that it does not admit as it
        was.

        The list comes first: the other way round a peer could slip back in between, and stay. From the first
        turn of the event loop on, nobody is let in by the old one; the last session has ended when this
        returns.
        """
        self._handshake.access_list = access_list
        for repository in self._sessions:
            sessions = list(repository)
            for start in range(0, len(sessions), LOOKS_PER_TURN):
                looked_at = sessions[start : start + LOOKS_PER_TURN]
                unwelcome = [session for session in looked_at if not access_list.admits(session.peer)]
                await self._end(unwelcome, repository)
                await asyncio.sleep(0)

    async def _end(self, sessions: list[PeerSession], repository: SessionRepository) -> None:
        for number, session in enumerate(sessions, start=1):
            # It may have ended by itself while the others had their turn.
            if repository.find_by_route_id(session.route_id) is session:
                repository.remove(session)
                self._log.info("session revoked", client_id=session.peer.client_id, name=session.peer.name)
            if number % ENDS_PER_TURN == 0:
                await asyncio.sleep(0)
