"""Rerun's page, as it is, with one more header: it may speak to this machine only.

By itself the page loads a font, asks for the newest version and counts usage, on three hosts on the internet.
"""

from __future__ import annotations

import contextlib
import threading
import urllib.request
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

from depth_perception.frame import BadInput

LOOPBACK = "127.0.0.1"
# This machine is asked itself: a proxy, which the environment may name, would look for the port on its own.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Page:
    """Serves what `origin` serves, on the loopback, from threads of its own.

    Args:
        origin: http://127.0.0.1:PORT of Rerun's page. data: http://127.0.0.1:PORT that the page may read from.
        port: 0: any free one. Raises BadInput where it is taken.
    """

    def __init__(self, *, origin: str, data: str, port: int) -> None:
        policy = ("default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
                  f"connect-src 'self' {data} {data.replace(LOOPBACK, 'localhost')} blob: data:")

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a browser may leave in the middle of an answer
                    super().handle()

            def do_GET(self) -> None:
                try:
                    with _DIRECT.open(origin + self.path, timeout=30) as answer:
                        body, kind, status = answer.read(), answer.headers.get("Content-Type", "text/html"), answer.status
                except (OSError, HTTPException) as error:
                    code = error.code if isinstance(error, HTTPError) else 502
                    body, kind, status = str(error).encode(), "text/plain", code
                self.send_response(status)
                for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Content-Security-Policy", policy)):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody asked for a line per request."""

        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        except OSError as error:
            raise BadInput(f"port {port}: {error.strerror}") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="page", daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
