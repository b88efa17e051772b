"""A little internet on this machine: real TCP, real TLS, real host names; what each host answers is up to the test.

Programs reach it as they reach the real one behind a proxy: ``HTTPS_PROXY`` names a server that opens a tunnel to any
host, and whoever answers at its end is this file, with a certificate that ``REQUESTS_CA_BUNDLE`` trusts.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme


@dataclass
class Request:
    """What was asked for."""

    host: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Reply:
    """What is answered."""

    body: bytes = b""
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body after which the connection breaks."""

    @classmethod
    def of_json(cls, value: Any, code: int = 200, **headers: str) -> Reply:
        """Return an answer in JSON."""
        return cls(json.dumps(value).encode(), code, {"Content-Type": "application/json"} | headers)

    @classmethod
    def to(cls, url: str) -> Reply:
        """Return a redirection."""
        return cls(b"", 302, {"Location": url})


Answer = Callable[[Request], Reply]


class Internet:
    """Hosts, what they answer, and what was asked."""

    def __init__(self) -> None:
        self.hosts: dict[str, Answer] = {}
        self.asked: list[Request] = []

    def file(self, host: str, files: dict[str, bytes], *, ranges: bool = True) -> None:
        """Let a host serve files, as a rule with ranges."""
        self.hosts[host] = lambda request: served(request, files, ranges=ranges)

    def answer(self, request: Request) -> Reply:
        """Answer as the host would."""
        self.asked.append(request)
        host = self.hosts.get(request.host)
        return Reply(b"no such host in this test", 404) if host is None else host(request)


def served(request: Request, files: dict[str, bytes], *, ranges: bool = True) -> Reply:
    """Return a file, or the rest of it from where a range begins."""
    content = files.get(request.path)
    if content is None:
        return Reply(b"not found", 404)
    asked = request.headers.get("range", "")
    if ranges and asked.startswith("bytes="):
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1 if last else len(content), len(content))
        if start >= len(content):
            return Reply(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
        return Reply(content[start:stop], 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})
    return Reply(content, headers={"Accept-Ranges": "bytes"} if ranges else {})


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def _context(host: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(host).configure_cert(made)
    return made


@contextmanager
def internet(folder: Path) -> Iterator[tuple[Internet, dict[str, str]]]:
    """Yield the hosts, and the environment in which programs reach them and nothing else."""
    net = Internet()
    authority = _authority()
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))

    class Inner(_Handler):
        host = ""

    class Tunnel(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            host = self.path.rpartition(":")[0]
            self.send_response(200)
            self.end_headers()
            inner = type("HostHandler", (Inner,), {"host": host, "net": net})
            try:
                with _context(host).wrap_socket(self.connection, server_side=True) as secure:
                    inner(secure, self.client_address, self.server)
            except (ssl.SSLError, ConnectionError):
                pass
            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    proxy = f"http://127.0.0.1:{server.server_port}"
    environment = {
        "HTTPS_PROXY": proxy, "https_proxy": proxy, "HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "",
        "no_proxy": "", "REQUESTS_CA_BUNDLE": str(bundle), "CURL_CA_BUNDLE": str(bundle), "GDAL_HTTP_PROXY": proxy,
        "NETRC": str(folder / "no-netrc"), "HOME": str(folder), "USERPROFILE": str(folder),
    }  # fmt: skip
    try:
        yield net, environment
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host = ""
    net: Internet

    def _do(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.host, self.command, parts.path, parse_qs(parts.query),
            {key.lower(): value for key, value in self.headers.items()}, self.rfile.read(length) if length else b"",
        )  # fmt: skip
        reply = self.net.answer(request)
        self.send_response(reply.code)
        headers = {"Content-Length": str(len(reply.body))} | reply.headers
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
        if reply.cut is not None:
            self.close_connection = True

    do_GET = do_POST = do_HEAD = _do  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass
