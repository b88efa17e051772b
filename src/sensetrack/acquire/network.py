"""The one way to the network: a session that waits and tries again, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sensetrack.errors import DownloadError, OutputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from sensetrack.acquire.credentials import Credentials

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 6
"""How often something is tried in all."""
_CONNECT, _READ = 20.0, 60.0
"""Seconds to wait for a connection and for the next bytes."""
_LONGEST_WAIT = 300.0
"""Seconds that a server may ask us to wait before we give up instead."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that mean: later, perhaps."""
_PIECE = 2**16
"""Bytes that are lost at most where a connection breaks."""
_TRUSTED = ("asf.alaska.edu", "earthdata.nasa.gov", "earthdatacloud.nasa.gov")
"""Domains between which a token of NASA Earthdata is carried when a server sends us on."""
_HTML = re.compile(rb"^\s*(<!doctype html|<html)", re.IGNORECASE)


class Transient(Exception):  # noqa: N818  it is not an error yet
    """Something that may be well in a while."""

    def __init__(self, cause: str, wait: float | None = None) -> None:
        super().__init__(cause)
        self.wait = wait


@dataclass(frozen=True)
class Remote:
    """A file to be fetched, and what is known of it beforehand."""

    url: str
    name: str
    """What it is called here."""
    size: int | None = None
    """Bytes."""
    md5: str | None = None
    magic: bytes = b""
    """What its content begins with."""


def session_for(credentials: Credentials | None = None) -> requests.Session:
    """Return a session that shows a token to the hosts of NASA Earthdata and to nobody else."""
    import requests

    class Session(requests.Session):
        """A session whose secrets do not follow a redirection to other hosts."""

        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            """Keep the token among trusted hosts; give name and password to the host they are for."""
            url = str(prepared_request.url)
            carried = prepared_request.headers.pop("Authorization", None)
            if carried and carried.startswith("Bearer ") and trusted(url) and trusted(str(response.request.url)):
                prepared_request.headers["Authorization"] = carried
            elif credentials is not None and credentials.user and _is_login(url):
                prepared_request.prepare_auth((credentials.user, credentials.password or ""))

    session = Session()
    session.trust_env = True
    session.headers["User-Agent"] = "sensetrack"
    session.auth = _Authorise(credentials)
    session.max_redirects = 10
    return session


class _Authorise:
    """Put a token on requests to trusted hosts. Being there at all keeps netrc files from being read on the side."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._token = None if credentials is None else credentials.token

    def __call__(self, request: Any) -> Any:
        if self._token and trusted(str(request.url)):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def trusted(url: str) -> bool:
    """Tell whether a token may be shown to a host: over TLS, in a domain of NASA Earthdata."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return parts.scheme == "https" and any(host == domain or host.endswith(f".{domain}") for domain in _TRUSTED)


def _is_login(url: str) -> bool:
    from sensetrack.acquire.credentials import EARTHDATA

    parts = urlsplit(url)
    return parts.scheme == "https" and (parts.hostname or "").lower() == EARTHDATA


def shown(url: str) -> str:
    """Return an address without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return one_line(f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}")


def patiently(what: str, attempt: Callable[[], T]) -> T:
    """Try something until it works, or no longer promises to.

    Raises
    ------
    DownloadError
        It never did.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    grow = wait_random_exponential(multiplier=first_wait(), max=60)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "wait", None)
        seconds = grow(state) if asked is None else float(asked)
        log.warning("%s: %s; trying again in %.0f s", what, error, seconds)
        return seconds

    tries = Retrying(
        retry=retry_if_exception_type(Transient), stop=stop_after_attempt(ATTEMPTS), wait=wait, reraise=True
    )
    try:
        return tries(attempt)
    except Transient as error:
        message = f"{what} could not be fetched in {ATTEMPTS} attempts: {error}"
        raise DownloadError(message, advice="see whether the network and the provider are up, and try again") from None


def first_wait() -> float:
    """Seconds, about, before the second attempt."""
    return 1.0


@contextmanager
def answer(session: requests.Session, url: str, **options: Any) -> Iterator[requests.Response]:
    """Open an address; what is wrong with the answer is `Transient` or final.

    Raises
    ------
    Transient
        No connection, or the server is busy.
    DownloadError
        The server says no.
    """
    import requests

    try:
        response = session.get(url, stream=True, timeout=(_CONNECT, _READ), **options)
    except requests.exceptions.SSLError:
        raise DownloadError(f"{shown(url)} does not prove who it is (TLS certificate)") from None
    except requests.exceptions.TooManyRedirects:
        raise DownloadError(f"{shown(url)} sends us from one address to the next without end") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise DownloadError(f"{shown(url)} is no address that can be fetched") from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        # The texts of these hold whole addresses, signatures included.
        raise Transient(f"no connection to {urlsplit(url).hostname} ({type(error).__name__})") from None
    with response:
        _require_yes(response, url)
        yield response


def _require_yes(response: requests.Response, url: str) -> None:
    code = response.status_code
    if code < 400 or code == 416:
        return
    where = shown(response.url or url)
    if code in _BUSY:
        wait = _retry_after(response.headers.get("Retry-After"))
        if wait is not None and wait > _LONGEST_WAIT:
            raise DownloadError(f"{where} is busy (HTTP {code}) and asks us to come back in {wait:.0f} s")
        raise Transient(f"{where} is busy (HTTP {code})", wait)
    if code in {401, 403}:
        message = f"{where} does not let us in (HTTP {code})"
        advice = "is the token expired, or are the terms of the provider not accepted yet? Make a new one and try again"
        raise DownloadError(message, advice=advice)
    raise DownloadError(f"{where} answers HTTP {code}")


def _retry_after(text: str | None) -> float | None:
    """Seconds that a server asks for, as a number or as a date."""
    if text is None:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((then - datetime.now(UTC)).total_seconds(), 0.0) if then.tzinfo else None


def get_bytes(session: requests.Session, url: str, *, largest: int = 64 * 2**20, **options: Any) -> bytes:
    """Fetch something small.

    Raises
    ------
    DownloadError
        It cannot be fetched, or is larger than `largest` bytes.
    """

    def attempt() -> bytes:
        with answer(session, url, **options) as response:
            parts, count = [], 0
            for piece in _pieces(response):
                parts.append(piece)
                count += len(piece)
                if count > largest:
                    raise DownloadError(f"{shown(url)} sends more than {largest} bytes")
            promised = _length(response)
            if promised is not None and count != promised:
                raise Transient(f"got {count} of {promised} bytes")
            return b"".join(parts)

    return patiently(shown(url), attempt)


def _length(response: requests.Response) -> int | None:
    """Bytes a body must have; None where it is not said, or is said of a compressed one."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and not response.headers.get("Content-Encoding") else None


def _pieces(response: requests.Response) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(_PIECE)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError) as error:
        raise Transient(f"the connection broke ({type(error).__name__})") from None
    except requests.exceptions.Timeout:
        raise Transient("the server went silent") from None


def download(
    session: requests.Session,
    remote: Remote,
    folder: Path,
    *,
    advance: Callable[[int, int], None] | None = None,
) -> Path:
    """Fetch a file; under its own name it is there whole, or not at all.

    What was fetched of it before, in ``NAME.part``, is not fetched again.

    Parameters
    ----------
    session : requests.Session
        See `session_for`.
    remote : Remote
    folder : Path
        Made where it does not exist.
    advance : callable, optional
        Called with (bytes so far, bytes in all); the latter is 0 where it is not known.

    Raises
    ------
    DownloadError
        It cannot be fetched, or is not what was promised.
    OutputError
        It cannot be written.
    """
    if Path(remote.name).name != remote.name or remote.name in {"", ".", ".."}:
        raise DownloadError(f"the provider calls a file {one_line(remote.name)!r}, which is no name for one")
    target = folder / remote.name
    if target.is_file() and _whole(target, remote):
        log.info("%s is there already", target)
        return target
    part = folder / f"{remote.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        patiently(remote.name, lambda: _fetch(session, remote, part, advance))
        _require_promised(part, remote)
        part.replace(target)
    except DownloadError:
        if part.is_file() and not part.stat().st_size:
            part.unlink()
        raise
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", path=target) from None
    return target


def _whole(path: Path, remote: Remote) -> bool:
    """Tell whether a file that is there already is the one that is wanted; its sum is not computed again."""
    return remote.size is None or path.stat().st_size == remote.size


def _fetch(session: requests.Session, remote: Remote, part: Path, advance: Callable[[int, int], None] | None) -> None:
    """Fetch what is missing of a file."""
    have = part.stat().st_size if part.exists() else 0
    known = remote.size is not None or remote.md5 is not None  # or else two halves of two files may be joined
    if not known or (remote.size is not None and have > remote.size):
        have = 0
    if have and have == remote.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with answer(session, remote.url, headers=headers) as response:
        if response.status_code == 416:  # what we have is not the beginning of what is there
            part.unlink(missing_ok=True)
            raise Transient("what was fetched before does not fit", 0.0)
        if have and not (
            response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        ):
            have = 0
        _require_no_page(response, remote)
        length = _length(response)
        total = remote.size or (0 if length is None else have + length)
        done = have
        with part.open("ab" if have else "wb") as file:
            for piece in _pieces(response):
                if not done and _HTML.match(piece) and not _HTML.match(remote.magic):
                    raise _page(remote)
                file.write(piece)
                done += len(piece)
                if total and done > total:
                    break
                if advance is not None:
                    advance(done, total)
    if total and done < total:
        raise Transient(f"got {done} of {total} bytes")


def _require_no_page(response: requests.Response, remote: Remote) -> None:
    if "html" in response.headers.get("Content-Type", "").lower() and not remote.name.lower().endswith(
        (".htm", ".html")
    ):
        raise _page(remote)


def _page(remote: Remote) -> DownloadError:
    return DownloadError(
        f"{remote.name}: the provider sends a web page in place of the file",
        advice="most often it is a page to log in: check the credentials, and accept the provider's terms once",
    )


def _require_promised(part: Path, remote: Remote) -> None:
    """Compare what was fetched with what was promised; what is wrong is removed, so that nothing is built on it."""
    size = part.stat().st_size
    cause = None
    if remote.size is not None and size != remote.size:
        cause = f"must have {remote.size} bytes, instead got {size}"
    elif remote.magic:
        with part.open("rb") as file:
            if file.read(len(remote.magic)) != remote.magic:
                cause = "is not of the kind that its name says"
    if cause is None and remote.md5 is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != remote.md5.lower():
            cause = f"checksum differs (md5 {found[:12]}..., the provider says {remote.md5[:12]}...)"
    if cause is not None:
        part.unlink(missing_ok=True)
        raise DownloadError(f"{remote.name}: {cause}", advice="try again; tell the provider if it stays")
