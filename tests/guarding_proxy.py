"""A proxy before an MLflow server that asks who comes, as those of companies do."""

import http.client
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self
from urllib.parse import urlsplit

OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "host", "content-length")


def basic_header(user: str, password: str) -> str:
    """The header of a request of a user, by RFC 7617."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


class GuardingProxy:
    """Lets through who is known, and refuses what a rule says; as a context manager it answers.

    Args:
        server: The address of the server behind it; None for one that answers `{}` to everything.
        header: The `Authorization` that is let through; None for any.
    """

    def __init__(self, server: str | None = None, header: str | None = None) -> None:
        self.server = server
        self.header = header
        self.seen: list[tuple[str, str | None]] = []
        """The path and the `Authorization` of each request."""
        self.refuses: Callable[[str, str], bool] = lambda method, path: False
        """Tells by method and path what is answered with 403."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.answer(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - their names there

            def log_message(self, *_: object) -> None:
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.port = self._listener.server_port

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        given = request.headers.get("Authorization")
        self.seen.append((request.path, given))
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.header is not None and given != self.header:
            reply(request, 401, b"who are you?")
        elif self.refuses(request.command, request.path):
            reply(request, 403, b"you may not write here")
        elif self.server is None:
            reply(request, 200, b"{}", {"Content-Type": "application/json"})
        else:
            self._pass_on(request, body)

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in (*OF_ONE_CONNECTION, "authorization")
        }
        behind = http.client.HTTPConnection(urlsplit(self.server or "").netloc, timeout=60)
        try:
            behind.request(request.command, request.path, body, headers)
            answer = behind.getresponse()
            reply(request, answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            behind.close()

    def __enter__(self) -> Self:
        Thread(target=self._listener.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._listener.shutdown()
        self._listener.server_close()


def reply(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        if name.lower() not in (*OF_ONE_CONNECTION, "server", "date"):
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
