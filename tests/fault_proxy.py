"""A proxy before an MLflow server that does to chosen requests what networks and gateways do."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Final, Self
from urllib.parse import urlsplit

DELAY: Final = 0.5  # seconds
_HTML: Final = b"<html><body>Please sign in</body></html>"
_NOT_PASSED_ON: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Reply:
    """What goes back to whoever asked."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Asked:
    """One request, as the proxy has received it."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def kind(self) -> str:
        """What is asked for: the call, and for tags and files what they are about.

        Ids are left out, so that the same call of two iterations is of one kind.
        """
        path = urlsplit(self.path).path
        name = re.sub(r"^/(api|ajax-api)/2\.0/mlflow(-artifacts)?/", "", path)
        if "/mlflow-artifacts/" in path:
            name = f"artifacts {_file_kind(path)}"
        name = re.sub(r"m-[0-9a-f]{32}", "ID", name)
        name = re.sub(r"\b[0-9a-f]{32}\b|(?<=/)\d+(?=/|$)", "ID", name)
        about = _json(self.body).get("key")
        key = re.match(r"(hooktune\.claim|[\w.-]+)", about)[0] if isinstance(about, str) else ""
        return " ".join(filter(None, [self.method, name, key]))


def _file_kind(path: str) -> str:
    file = path.rpartition("/")[2]
    if "/checkpoints/" in path:
        return "of a checkpoint"
    if "/models/" in path:
        return f"of a model, {file}"
    return file if "." in file else "list"


def _json(body: bytes) -> dict:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


Forward = Callable[[Asked], Reply]
Fault = Callable[[Asked, Forward], Reply | None]
"""Does a request, or does not, and returns what to answer; None cuts the connection."""


def dropped(asked: Asked, forward: Forward) -> Reply | None:
    """The request never arrives."""
    return None


def reply_lost(asked: Asked, forward: Forward) -> Reply | None:
    """It is done, and nobody hears of it."""
    forward(asked)
    return None


def doubled(asked: Asked, forward: Forward) -> Reply | None:
    """It arrives twice, and the second answer is heard."""
    forward(asked)
    return forward(asked)


def delayed(asked: Asked, forward: Forward) -> Reply | None:
    """It takes long."""
    time.sleep(DELAY)
    return forward(asked)


def reply_cut(asked: Asked, forward: Forward) -> Reply | None:
    """It is done, and half of the answer arrives."""
    reply = forward(asked)
    length = [("Content-Length", str(len(reply.body)))]
    cut = reply.body[: len(reply.body) // 2]
    return Reply(reply.status, (*reply.headers, *length), cut)


def sign_in_page(asked: Asked, forward: Forward) -> Reply | None:
    """A gateway answers in its place, with a page and status 200."""
    return Reply(200, (("Content-Type", "text/html"),), _HTML)


def sign_in_page_after(asked: Asked, forward: Forward) -> Reply | None:
    """It is done, and a gateway answers with a page and status 200."""
    forward(asked)
    return Reply(200, (("Content-Type", "text/html"),), _HTML)


def falsified(asked: Asked, forward: Forward) -> Reply | None:
    """It is done, and of what comes back one byte is another."""
    reply = forward(asked)
    return Reply(reply.status, reply.headers, reply.body[:-1] + bytes([reply.body[-1] ^ 1]))


def _status(code: int, *, done: bool) -> Fault:
    def fault(asked: Asked, forward: Forward) -> Reply | None:
        if done:
            forward(asked)
        return Reply(code, (("Content-Type", "text/html"),), _HTML)

    return fault


FAULTS: Final[dict[str, Fault]] = {
    "dropped": dropped,
    "reply lost": reply_lost,
    "doubled": doubled,
    "delayed": delayed,
    "reply cut": reply_cut,
    "page with status 200": sign_in_page,
    "done, page with status 200": sign_in_page_after,
    "401": _status(401, done=False),
    "403": _status(403, done=False),
    "429": _status(429, done=False),
    "500": _status(500, done=False),
    "done, 502": _status(502, done=True),
    "503": _status(503, done=False),
}


@dataclass
class Rule:
    """What happens to which request, so many times, once so many of its kind have passed."""

    kind: str
    fault: Fault
    times: int = 1
    after: int = 0
    happened: int = 0


class FaultProxy:
    """Stands before a server; as a context manager it answers within the block.

    Args:
        uri: The server's address.
    """

    def __init__(self, uri: str) -> None:
        self._server = urlsplit(uri)
        self._lock = Lock()
        self.rules: list[Rule] = []
        self.last: Rule | None = None
        """The rule that was the last to happen."""
        self.seen: list[str] = []
        """The kinds of all requests so far, in their order."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = self._read_chunks()
                asked = Asked(self.command, self.path, tuple(self.headers.items()), body)
                reply = proxy.answer(asked)
                self.close_connection = True
                if reply is None:
                    return
                self.send_response(reply.status)
                names = {name.lower() for name, _ in reply.headers}
                for name, value in reply.headers:
                    self.send_header(name, value)
                if "content-length" not in names:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            def _read_chunks(self) -> bytes:
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, asked: Asked) -> Reply | None:
        """Do what a request asks for, as the present rule would have it."""
        kind = asked.kind
        with self._lock:
            self.seen.append(kind)
            rule = self._rule_of(kind)
        return self._forward(asked) if rule is None else rule.fault(asked, self._forward)

    def _rule_of(self, kind: str) -> Rule | None:
        left = (rule for rule in self.rules if rule.kind == kind and rule.happened < rule.times)
        rule = next(left, None)
        if rule is None:
            return None
        if rule.after:
            rule.after -= 1
            return None
        rule.happened += 1
        self.last = rule
        return rule

    def _forward(self, asked: Asked) -> Reply:
        connection = HTTPConnection(self._server.hostname or "", self._server.port, timeout=60)
        headers = {
            name: value for name, value in asked.headers if name.lower() not in _NOT_PASSED_ON
        }
        try:
            connection.request(asked.method, asked.path, asked.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _NOT_PASSED_ON]
            return Reply(answer.status, tuple(kept), body)
        except (OSError, HTTPException):
            return Reply(502, (), b"")
        finally:
            connection.close()
