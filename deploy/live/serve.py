"""A page that shows a stream while it runs: on this machine only, and only to who has its address."""

import base64
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError

from .display import class_name, shrunk
from .others import StepClassifier
from .player import Classifier, Decision

HOST = "127.0.0.1"
PICTURES_PER_S = 20  # to a browser, at most
WATCHERS = 8  # browsers at a time
WIDEST = 128  # pixels of a picture; larger frames are joined
PATIENCE_S = 10.0  # with a browser that neither asks nor takes
FAREWELL_S = 2.0  # that the last picture may take
PAGE = Path(__file__).with_name("page.html")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """What a browser is shown of a frame; copies, so that the stream can go on."""

    decision: Decision
    scores: tuple
    pixels: np.ndarray
    sent: np.ndarray


class Show:
    """Serves a stream to browsers, from threads of its own.

    The stream hands over pictures and never waits: one that no browser has taken by the time of the next is gone.

    Attributes:
        address: of the page; the token in it is new for each stream. shown: pictures that were sent.
    """

    def __init__(self, classifier: Classifier | StepClassifier, about: dict[str, Any], port: int = 0):
        """
        Args:
            about: what the page says of the stream, JSON values. port: 0 for any that is free.

        Raises:
            UserError: the port is taken, or not allowed.
        """
        self._facts, self._by = _facts(classifier, about)
        self._token, self.shown = secrets.token_urlsafe(18), 0
        self._news, self._latest, self._number = threading.Condition(), None, 0
        self._watching, self._end = 0, None
        try:
            self._server = _Server((HOST, port), partial(_Handler, self))
        except OSError as e:
            raise UserError(
                f"--serve {port}: cannot listen ({e.strerror}); take another port, or none for any"
            ) from None
        self.port = self._server.server_address[1]
        self.address = f"http://{HOST}:{self.port}/{self._token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=dict(poll_interval=0.1), daemon=True)
        self._thread.start()

    def put(self, classifier: Classifier | StepClassifier, decision: Decision) -> None:
        """Hands a frame over; nearly nothing if nobody watches."""
        picture = None
        if self._watching:
            scores = tuple(decision.scores)
            picture = Picture(decision, scores, classifier.pixels.copy(), classifier.which.copy())
        with self._news:
            self._latest, self._number = picture, self._number + 1
            self._news.notify_all()

    def finish(self, summary: dict[str, Any] | None) -> None:
        """Tells the browsers that the stream has ended, and stops; nothing if it has stopped already."""
        with self._news:
            if self._end is not None:
                return
            self._end = {} if summary is None else summary
            self._news.notify_all()
            self._news.wait_for(lambda: not self._watching, FAREWELL_S)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(FAREWELL_S)

    def messages(self) -> Any:
        """(kind, JSON value) for one browser: `start`, then `frame`s, the newest there is each time, then `end`."""
        seen = self._number
        yield "start", self._facts
        while True:
            picture, ended, seen = self._newer(seen)
            if picture is not None:
                self.shown += 1
                yield "frame", self._frame(picture)
            if ended is not None:
                yield "end", ended
                return
            if picture is None:
                yield "wait", {}  # so that a browser that has gone is noticed
            else:
                time.sleep(1 / PICTURES_PER_S)

    def _newer(self, seen):
        """(the newest picture, None if it is not newer than number `seen`; the end, or None; the number of the newest),
        as soon as there is a picture or the end, or after a while.
        """
        with self._news:
            self._news.wait_for(lambda: self._end is not None or (self._number > seen and self._latest), PATIENCE_S / 2)
            return (self._latest if self._number > seen else None), self._end, self._number

    def _frame(self, picture):
        pixels = shrunk(picture.pixels, self._by)
        packed = base64.b64encode(np.packbits(pixels, axis=None).tobytes()).decode()
        sent = [int(n) for n in picture.sent if n >= 0]
        return asdict(picture.decision) | dict(scores=list(picture.scores), pixels=packed, sent=sent)

    def opens(self, host: str | None, path: str) -> str | None:
        """What a request may see: `` for the page, `events`; another name for nothing; None if it may see nothing.

        The host's name is checked as well: a page of another site that lets its own name point here has none of these.
        """
        if host not in (f"{HOST}:{self.port}", f"localhost:{self.port}"):
            return None
        parts = path.split("?", 1)[0].split("/", 2)
        if len(parts) < 3 or not secrets.compare_digest(parts[1].encode(), self._token.encode()):
            return None
        return parts[2]

    def enter(self) -> bool:
        """One more browser, if there is room."""
        with self._news:
            if self._watching >= WATCHERS:
                return False
            self._watching += 1
            return True

    def leave(self) -> None:
        """One fewer."""
        with self._news:
            self._watching -= 1
            self._news.notify_all()


def _facts(classifier, about):
    """(what `start` says, by how many pixels pictures are joined)."""
    encoder = classifier.encoder
    by = -(-max(encoder.frame_shape) // WIDEST)
    height, width = (-(-n // by) for n in encoder.frame_shape)
    return about | dict(
        classes=[class_name(classifier.classes, i) for i in range(classifier.outputs)],
        height=height,
        width=width,
        grid=list(encoder.grid),
        stride=encoder.stride / by,
        frame_ms=encoder.frame_us / 1e3,
    ), by


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, allow_reuse_address = True, False, True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no event."""


class _Handler(BaseHTTPRequestHandler):
    """One request. `show` is what it belongs to."""

    timeout = PATIENCE_S

    def __init__(self, show: Show, *args: Any):
        self.show = show
        super().__init__(*args)

    def do_GET(self) -> None:
        """The page, or the stream of its pictures."""
        wanted = self.show.opens(self.headers.get("Host"), self.path)
        if wanted is None:
            self._plain(403, "This address needs the token that the command printed.\n")
        elif wanted == "":
            self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif wanted != "events":
            self._plain(404, "There is nothing here.\n")
        elif not self.show.enter():
            self._plain(503, f"{WATCHERS} browsers are watching, which is all that there is room for.\n")
        else:
            try:
                self._events()
            finally:
                self.show.leave()

    def _events(self):
        self._head(200, "text/event-stream")
        for kind, value in self.show.messages():
            self.wfile.write(f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode())
            self.wfile.flush()

    def _plain(self, code, text):
        self._send(code, "text/plain; charset=utf-8", text.encode())

    def _send(self, code, kind, content):
        self._head(code, kind, len(content))
        self.wfile.write(content)

    def _head(self, code, kind, length=None):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: standard error is the stream's."""
