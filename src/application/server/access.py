"""Who is let in from now on, and who has to leave (protocol specification 8.3)."""

from collections.abc import Sequence

from application.runtime.log import EventLog
from application.server.sessions import SessionRepository
from domain.addressing.peers import AccessList
from domain.noise.server import ServerHandshake


class AccessControl:
    """Applies a new access list to the handshakes and the sessions of the whole process."""

    def __init__(
        self, *, handshake: ServerHandshake, sessions: Sequence[SessionRepository], log: EventLog
    ) -> None:
        self._handshake = handshake
        self._sessions = sessions
        self._log = log

    def replace(self, access_list: AccessList) -> None:
        """Let in whom ``access_list`` admits, and end every session of a peer that it does not admit as it
        was.

        The list comes first: the other way round a peer could slip back in between, and stay.
        """
        self._handshake.access_list = access_list
        for repository in self._sessions:
            for session in repository:
                if not access_list.admits(session.peer):
                    repository.remove(session)
                    self._log.info(
                        "session revoked", client_id=session.peer.client_id, name=session.peer.name
                    )
