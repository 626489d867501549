"""The HTTP beginning of a WebSocket: one request, one answer (RFC 6455 section 4, specification 3.6).

A head is the first line and the headers of either, with the empty line that ends them.

Errors::

    HeadTooLongError         a head does not end within LARGEST_HEAD_BYTES
    UpgradeRefusedError      a request gets an answer other than 101; carries the answer
"""

import re
from contextlib import suppress
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from domain.noise.primitives import Buffer
from infrastructure.network.stream.codec import StreamRefusedError

# Specification 3.6. A query may follow.
PATH: Final = "/ws"

# Ours: a Go client's request has 230 bytes; what proxies and browsers add has room many times over.
LARGEST_HEAD_BYTES: Final = 8192

_HEAD_END: Final = b"\r\n\r\n"
_ANSWER_BEGINNING: Final = b"HTTP/1.1 "
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")

# What is quoted of a peer's words in a reason: enough to recognise it by.
_LONGEST_QUOTE: Final = 200


class HeadTooLongError(Exception):
    """The peer has sent more than LARGEST_HEAD_BYTES without an empty line."""


class UpgradeRefusedError(Exception):
    """The request does not open a WebSocket; the text says why, for a log."""

    def __init__(self, answer: bytes, reason: str) -> None:
        self.answer = answer
        super().__init__(reason)


class HeadReader:
    """Collects one head; bounded."""

    def __init__(self) -> None:
        self._so_far = bytearray()

    @property
    def so_far(self) -> bytearray:
        """What came so far, to be read only: what does not begin like HTTP need not be waited for."""
        return self._so_far

    def feed(self, data_untrusted: Buffer) -> tuple[bytes, bytes] | None:
        """The head and what follows it in ``data_untrusted``, or None while the head is not complete.

        Raises HeadTooLongError.
        """
        # The empty line may be cut anywhere, so the search begins within what was searched before.
        searched = max(0, len(self._so_far) - len(_HEAD_END) + 1)
        self._so_far += data_untrusted
        found = self._so_far.find(_HEAD_END, searched)
        length = len(self._so_far) if found < 0 else found + len(_HEAD_END)
        if length > LARGEST_HEAD_BYTES:
            raise HeadTooLongError
        if found < 0:
            return None
        return bytes(self._so_far[:length]), bytes(self._so_far[length:])


# -- the client's end


def upgrade_request(host: str, port: int, key: str) -> Request:
    """The request of a Go client, byte for byte: nothing in it tells one implementation from the other.

    ``host`` is a name or a literal without brackets. The port is always written out, 443 and 80 too
    (specification 3.6), the zone of a link-local address never is: it means nothing to the other end.
    """
    name = host.partition("%")[0]
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return Request(
        PATH,
        Headers(
            [
                ("Host", authority),
                ("User-Agent", "Go-http-client/1.1"),
                ("Connection", "Upgrade"),
                ("Sec-Websocket-Key", key),
                ("Sec-Websocket-Version", "13"),
                ("Upgrade", "websocket"),
                ("Accept-Encoding", "gzip"),
            ]
        ),
    )


def check_answer_beginning(answer_untrusted: Buffer) -> None:
    """Refuse what no answer begins with, however little of it has come. Raises StreamRefusedError."""
    length = min(len(answer_untrusted), len(_ANSWER_BEGINNING))
    if answer_untrusted[:length] != _ANSWER_BEGINNING[:length]:
        raise StreamRefusedError(
            "the server does not answer in HTTP/1.1: is there a web server on that port?"
        )


def take_answer(protocol: ClientProtocol, head_untrusted: bytes) -> None:
    """Open ``protocol`` with the head of the server's answer. Raises StreamRefusedError."""
    line = _STATUS_LINE.match(head_untrusted)
    if line is None:
        raise StreamRefusedError("the server's answer is not valid HTTP")
    # Other answers are not shown to the library: it would wait for their bodies first.
    status = int(line[1])
    if status != 101:
        raise StreamRefusedError(f"the server answered {status}{_likely_cause(status)}")
    protocol.receive_data(head_untrusted)
    protocol.events_received()
    problem = protocol.handshake_exc
    if problem is not None:
        # Also when an extension or a subprotocol was selected: none was offered.
        raise StreamRefusedError(f"the server's answer opens no WebSocket: {quoted(problem)}") from problem


def _likely_cause(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirection, and these are not followed: configure the address that it leads to"
    if status >= 500:
        return ": the server behind the proxy at that address may not be running"
    return f", is this a TunGo server on {PATH}?"


# -- the server's end


def check_request_beginning(protocol: ServerProtocol, request_untrusted: Buffer) -> None:
    """Refuse what no request begins with, such as a TLS greeting. Raises UpgradeRefusedError."""
    if len(request_untrusted) > 0 and not bytes(request_untrusted[:1]).isalpha():
        raise _refused(protocol, 400, "the client does not speak HTTP: TLS, to a port without it?")


def refuse_long_request(protocol: ServerProtocol) -> UpgradeRefusedError:
    """The answer to a head without an end."""
    return _refused(protocol, 431, f"the request's head is longer than {LARGEST_HEAD_BYTES} bytes")


def take_request(protocol: ServerProtocol, head_untrusted: bytes) -> Request:
    """Open ``protocol`` with the head of a client's request, and queue the answer there.

    Raises UpgradeRefusedError; ``protocol`` is of no more use then.
    """
    line = head_untrusted.partition(b"\r\n")[0].split(b" ")
    if len(line) != 3:
        raise _refused(protocol, 400, "the request is not valid HTTP")
    method, target, _version = line
    if target.partition(b"?")[0] != PATH.encode():
        raise _refused(protocol, 404, f"the request is for another path than {PATH}")
    # The library refuses a body before it looks at the method, and in silence.
    if method != b"GET":
        raise _refused(protocol, 405, "the request's method is not GET", Allow="GET")
    protocol.receive_data(head_untrusted)
    request = next((event for event in protocol.events_received() if isinstance(event, Request)), None)
    if request is None:
        raise _unread(protocol)
    return _answer(protocol, request)


def _unread(protocol: ServerProtocol) -> UpgradeRefusedError:
    """The library could not read the request; it may have written an answer, or nothing."""
    answer = b"".join(protocol.data_to_send())
    problem = protocol.handshake_exc
    reason = f"the request is not valid HTTP: {quoted(problem)}"
    return UpgradeRefusedError(answer, reason) if answer else _refused(protocol, 400, reason)


def _answer(protocol: ServerProtocol, request: Request) -> Request:
    headers = request.headers
    hosts = headers.get_all("Host")
    if len(hosts) != 1:  # RFC 9112 section 3.2
        raise _refused(protocol, 400, "the request has no Host header, or several")
    response = protocol.accept(request)
    if response.status_code == 101:
        if not _is_same_origin(headers.get_all("Origin"), hosts[0]):
            raise _refused(protocol, 403, "the request comes from another site: Origin differs from Host")
        protocol.send_response(response)
        return request
    if response.status_code == 426:
        # RFC 9110 section 7.8: Upgrade is always announced in Connection.
        del response.headers["Connection"]
        response.headers["Connection"] = "Upgrade, close"
    elif headers.get_all("Sec-WebSocket-Version") != ["13"]:
        response.headers["Sec-WebSocket-Version"] = "13"  # RFC 6455 section 4.4
    problem = protocol.handshake_exc
    raise UpgradeRefusedError(response.serialize(), f"the request opens no WebSocket: {quoted(problem)}")


def _is_same_origin(origins: list[str], host: str) -> bool:
    """A browser that another site's page sent here must not get a connection; other clients send none."""
    if not any(origins):
        return True
    with suppress(ValueError):  # brackets without an address in them
        return all(urlsplit(origin).netloc.casefold() == host.casefold() for origin in origins)
    return False


def _refused(protocol: ServerProtocol, status: int, reason: str, **headers: str) -> UpgradeRefusedError:
    # Strangers learn no more than the status: not even which path would have been the right one.
    response = protocol.reject(status, f"{HTTPStatus(status).phrase}.\n")
    for name, value in headers.items():
        response.headers[name] = value
    return UpgradeRefusedError(response.serialize(), reason)


def forwarded_for(headers: Headers) -> IPv4Address | IPv6Address | None:
    """The address that the nearest proxy saw: the last element of X-Forwarded-For; None if it is no literal.

    A proxy appends what it saw, and what stands to the left of that came with the request: a client can
    write there what it likes, so nothing is looked for there.
    """
    last = ",".join(headers.get_all("X-Forwarded-For")).rpartition(",")[2].strip(" \t")
    try:
        address = ip_address(last)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address


def quoted(problem: Exception | None) -> str:
    """A foreign error's text, or that of its cause, for a reason: it may hold what the peer sent."""
    innermost = problem.__cause__ or problem if problem is not None else "no reason given"
    return ascii(str(innermost))[1:-1][:_LONGEST_QUOTE]
