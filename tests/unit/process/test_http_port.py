"""The port of metrics and probes under clients that are slow, many, or send what is no request."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from stream.http_port import HEAD_BYTES, HttpPort

CLIENTS, CONNECTIONS = 300, 16
LARGE = b"x" * 4_000_000


def answer(path: str) -> tuple[int, str, bytes]:
    if path == "/broken":
        raise ValueError("injected")
    return (200, "text/plain", LARGE) if path == "/large" else (200, "text/plain", path.encode())


@pytest.fixture
def port() -> Iterator[HttpPort]:
    made = HttpPort("127.0.0.1", 0, answer, CONNECTIONS, request_s=20.0)
    made.start()
    yield made
    made.stop()


def get(port: HttpPort, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.address[1]}{path}", timeout=30) as found:
            return found.status, found.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("sends", [b"", b"GET /live HTTP/1.1\r\nHost", b"GET /large HTTP/1.1\r\n\r\n"])
def test_three_hundred_slow_clients_cost_no_thread_and_no_answer(port: HttpPort, sends: bytes) -> None:
    before = threading.active_count()
    clients = []
    try:
        for _ in range(CLIENTS):
            client = socket.create_connection(port.address, timeout=30)
            # never another byte, and nothing is read
            client.sendall(sends)
            clients.append(client)
        assert get(port, "/live") == (200, b"/live")
        assert threading.active_count() == before
    finally:
        for client in clients:
            client.close()
    assert get(port, "/ready") == (200, b"/ready")


def test_a_request_that_is_not_sent_in_its_time_is_given_up() -> None:
    port = HttpPort("127.0.0.1", 0, answer, CONNECTIONS, request_s=0.2)
    port.start()
    try:
        with socket.create_connection(port.address, timeout=30) as client:
            client.sendall(b"GET /live")
            assert client.recv(100) == b"", "the connection is closed without an answer"
    except ConnectionResetError:
        pass
    finally:
        port.stop()


def test_a_head_without_end_is_given_up(port: HttpPort) -> None:
    def send_on(client: socket.socket) -> None:
        while True:
            client.sendall(b"x" * HEAD_BYTES)

    with (
        socket.create_connection(port.address, timeout=30) as client,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        send_on(client)
    assert get(port, "/live") == (200, b"/live")


def test_only_get_is_answered_and_an_answer_that_fails_says_so(port: HttpPort) -> None:
    with socket.create_connection(port.address, timeout=30) as client:
        client.sendall(b"POST /live HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 405 ")
    assert get(port, "/broken")[0] == 500
    assert get(port, "/live") == (200, b"/live")
