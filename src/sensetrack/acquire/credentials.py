"""Who a user is to a data provider; looked up where such things are kept, and never shown.

In this order: environment variables, a file with a token, the keyring of the system (where the package `keyring` is
installed), and ``~/.netrc`` (``_netrc`` on Windows). Nothing is ever asked for, written or logged.
"""

from __future__ import annotations

import netrc
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sensetrack.errors import EnvironmentFault

EARTHDATA = "urs.earthdata.nasa.gov"
"""Host that NASA Earthdata accounts are kept under, in netrc files and in keyrings."""
TOKEN = "EARTHDATA_TOKEN"
TOKEN_FILE = "EARTHDATA_TOKEN_FILE"
USER, PASSWORD = "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"
_LARGEST = 16384
"""Bytes of a file with a token; a real one has 1000."""


@dataclass(frozen=True)
class Credentials:
    """A token, or a name and a password. The text of it shows neither."""

    source: str
    """Where it was found, in words."""
    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def earthdata(token_file: str | os.PathLike[str] | None = None) -> Credentials | None:
    """Find the user's NASA Earthdata credentials; None where there are none.

    Parameters
    ----------
    token_file : path-like, optional
        A text file that holds a token and nothing else; by default what the variable EARTHDATA_TOKEN_FILE names.

    Raises
    ------
    EnvironmentFault
        The file with the token or the netrc file cannot be read.
    """
    if token_file is None and (token := os.environ.get(TOKEN, "").strip()):
        return Credentials(f"the variable {TOKEN}", token=token)
    if place := token_file or os.environ.get(TOKEN_FILE):
        return Credentials(f"the file {os.fspath(place)}", token=_token(Path(place)))
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if user and password:
        return Credentials(f"the variables {USER} and {PASSWORD}", user=user, password=password)
    return _from_keyring(user) or _from_netrc()


def require_earthdata(token_file: str | os.PathLike[str] | None = None) -> Credentials:
    """Find the user's NASA Earthdata credentials.

    Raises
    ------
    EnvironmentFault
        There are none, or what holds them cannot be read.
    """
    found = earthdata(token_file)
    if found is None:
        message = f"no credentials of NASA Earthdata ({EARTHDATA}) were found"
        advice = f"make an account there, and put a token into the variable {TOKEN} or name and password into ~/.netrc"
        raise EnvironmentFault(message, advice=advice)
    return found


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise EnvironmentFault(f"file with a token cannot be read: {error.strerror}", path=path) from None
    try:
        token = text.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token or len(text) > _LARGEST or len(token.split()) != 1:
        raise EnvironmentFault("must hold a token and nothing else", path=path)
    return token


def _from_keyring(user: str | None) -> Credentials | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        found = keyring.get_credential(EARTHDATA, user)
    except KeyringError:
        return None
    if found is None or not found.password:
        return None
    return Credentials("the keyring", user=found.username, password=found.password)


def _from_netrc() -> Credentials | None:
    for path in netrc_files():
        if not path.is_file():
            continue
        try:
            found = netrc.netrc(path).authenticators(EARTHDATA)
        except (netrc.NetrcParseError, UnicodeDecodeError, OSError):
            # What the parser says quotes the line, which may be the password.
            raise EnvironmentFault("is not a netrc file that can be read", path=path) from None
        if found and found[0] and found[2]:
            return Credentials(f"the file {path}", user=found[0], password=found[2])
    return None


def netrc_files() -> list[Path]:
    """Return the files that are looked at for names and passwords, the first one first."""
    place = os.environ.get("NETRC")
    names = ("_netrc", ".netrc") if os.name == "nt" else (".netrc",)
    return [Path(place)] if place else [Path.home() / name for name in names]


def open_to_others(path: Path) -> bool:
    """Tell whether other users of the machine may read a file; False where systems do not say it that way."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
