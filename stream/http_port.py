"""A small HTTP port on one thread: however many clients connect, and however slowly they send or read.

A connection costs a socket and some kilobytes, never a thread. Each has a stated time for its whole request and answer;
beyond a stated number of connections the oldest gives way, those first that have not sent their request yet, so that
whoever asks at once is answered while others keep theirs open.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from stream.errors import UsageError
from stream.log.supervised import SupervisedThread

logger = logging.getLogger("riskstream.probes")
HEAD_BYTES: Final = 8_192
"""Of a request's line and headers."""
BACKLOG: Final = 128
STOP_LOOK_S: Final = 0.2
Answer = Callable[[str], tuple[int, str, bytes]]


class HttpPort:
    """See the module. The port is bound when this is made.

    Parameters
    ----------
    host, port
        Where to listen; port 0 picks a free one.
    answer
        Status, content type and body for a path; called on the port's thread.
    connections
        Most that are open at once.
    request_s
        Longest time from connecting to the last byte of the answer, s.
    restarted
        Told when the thread failed and is started again.

    Raises
    ------
    UsageError
        It cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, answer: Answer, connections: int, request_s: float,
        restarted: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        self._answer = answer
        self._most = connections
        self._request_s = request_s
        self._socket = _bound(host, port)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        """Host and port that are listened on."""
        self._asking: dict[asyncio.StreamWriter, None] = {}
        """Connections that have not sent their whole request yet, the oldest first."""
        self._answered: dict[asyncio.StreamWriter, None] = {}
        """Connections that have not taken their whole answer yet."""
        self.thread = SupervisedThread("probes", self._run, restarted)

    def start(self) -> None:
        """Answer from now on."""
        self.thread.start()

    def stop(self) -> None:
        """Answer no more, and let go of the port."""
        self.thread.stop()
        self._socket.close()

    def _run(self, thread: SupervisedThread) -> None:
        asyncio.run(self._serve(thread))

    async def _serve(self, thread: SupervisedThread) -> None:
        self._asking.clear()
        self._answered.clear()
        # its own handle: the port stays bound when this ends
        server = await asyncio.start_server(self._meet, sock=self._socket.dup(), limit=HEAD_BYTES)
        thread.well()
        async with server:
            while not thread.stopping.is_set():
                await asyncio.sleep(STOP_LOOK_S)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        if len(self._asking) + len(self._answered) >= self._most:
            self._give_way()
        self._asking[writer] = None
        try:
            async with asyncio.timeout(self._request_s):
                head = await reader.readuntil(b"\r\n\r\n")
                self._asking.pop(writer, None)
                self._answered[writer] = None
                writer.write(self._response(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            logger.debug("a client got no answer: %r", error)
        finally:
            self._asking.pop(writer, None)
            self._answered.pop(writer, None)
            # what the client has not read is not waited for
            writer.transport.abort()

    def _give_way(self) -> None:
        among = self._asking or self._answered
        oldest = next(iter(among))
        del among[oldest]
        oldest.transport.abort()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        if method != "GET":
            status, kind, body = HTTPStatus.METHOD_NOT_ALLOWED.value, "text/plain", b"GET alone is answered here\n"
        else:
            status, kind, body = self._asked_for(rest.partition(" ")[0])
        reason = HTTPStatus(status).phrase
        lines = (
            f"HTTP/1.1 {status} {reason}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close",
        )  # fmt: skip
        return "\r\n".join((*lines, "", "")).encode() + body

    def _asked_for(self, path: str) -> tuple[int, str, bytes]:
        try:
            return self._answer(path)
        except Exception:
            # whoever asked must know that this is no answer, and the next one is answered again
            logger.exception("%s could not be answered", path.partition("?")[0][:100])
            return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"it could not be answered; the log says why\n"


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        with suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, port))
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        raise UsageError(
            f"{host}:{port}, for metrics and probes, {what}; choose another with --metrics-port or "
            "RISKSTREAM_METRICS_PORT (0 picks a free one), the address with RISKSTREAM_METRICS_HOST"
        ) from error
    return made
