"""The log of a program: on disk in full up to a limit, in memory a few last lines, and no passwords anywhere."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from sensetrack.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 64 * 2**20
"""Bytes of a log that are kept from its beginning; of what follows, only the end."""
_TAIL = 64 * 2**10
"""Bytes of the end of a log that are kept, and the longest line that is looked at as a whole."""
_LINES, _WIDTH = 20, 300
"""Last lines that are kept in memory, and characters of each."""
_SECRET = re.compile(r"passw|secret|token|credential|api_?key|netrc", re.IGNORECASE)
_IN_URL = re.compile(rb"(://)[^/\s:@]+:[^/\s@]+@")
_HIDDEN = b"***"


class Log:
    """A log file that is fed with bytes as they come.

    Parameters
    ----------
    file : binary file, open for writing
    environ : mapping
        What the program was given; the values of variables that are called like a password, and user names and
        passwords in URLs, are replaced by ``***``.
    """

    def __init__(self, file: BinaryIO, environ: Mapping[str, str]) -> None:
        self._file, self._size, self._end = file, 0, b""
        self._line = b""
        self._lines: deque[str] = deque(maxlen=_LINES)
        named = {value for name, value in environ.items() if _SECRET.search(name)}
        # Shorter values are words such as "1" or "true" that would black out half of the log.
        self._secrets = [text.encode("utf-8", "surrogateescape") for text in named if len(text) >= 6]

    def feed(self, chunk: bytes) -> None:
        """Take what the program has said."""
        # A secret may lie across two chunks, but not across two lines.
        text = self._line + chunk
        cut = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        if len(text) - cut > _TAIL:
            cut = len(text)
        whole, self._line = text[:cut], text[cut:]
        self._keep(whole)

    def close(self) -> None:
        """Take the last line, and write the end of a log that was too long."""
        last, self._line = self._line, b""
        self._keep(last)
        if self._end:
            skipped = self._size - _LIMIT - len(self._end)
            if skipped > 0:
                self._file.write(f"\n... {skipped} bytes are left out here ...\n".encode())
            self._file.write(self._end)
            self._end = b""
        self._file.flush()

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines that are not empty; bytes that are no UTF-8 are replaced, control characters escaped."""
        return tuple(self._lines)

    def _keep(self, text: bytes) -> None:
        if b"://" in text:
            text = _IN_URL.sub(rb"\1" + _HIDDEN + b"@", text)
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        room = max(0, _LIMIT - self._size)
        self._file.write(text[:room])
        self._end = (self._end + text[room:])[-_TAIL:]
        self._size += len(text)
        for line in text[-_TAIL:].splitlines()[-_LINES:]:
            if shown := one_line(line[:_WIDTH].decode("utf-8", "replace").strip()):
                self._lines.append(shown)
