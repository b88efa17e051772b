"""The one way to the network, against real servers on this machine: every fault they can show."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from loopback import Internet, Reply, internet, served
from sensetrack.acquire import network
from sensetrack.acquire.credentials import Credentials, earthdata, require_earthdata
from sensetrack.acquire.network import Remote, download, get_bytes, session_for, shown, trusted
from sensetrack.errors import DownloadError, EnvironmentFault

CANARY = "canary-7f3a9b-secret"
HOST = "datapool.asf.alaska.edu"
CONTENT = b"PK" + bytes(range(256)) * 8000


@pytest.fixture
def net(tmp_path_factory, monkeypatch):
    """The hosts of a test; the environment leads to them and nowhere else."""
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_TOKEN_FILE", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(network, "first_wait", lambda: 0.0)
    with internet(tmp_path_factory.mktemp("net")) as (hosts, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield hosts


def scene(**known) -> Remote:
    known = {"size": len(CONTENT), "md5": hashlib.md5(CONTENT).hexdigest(), "magic": b"PK"} | known
    return Remote(f"https://{HOST}/SLC/scene.zip", "scene.zip", **known)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole(net: Internet, tmp_path):
    net.file(HOST, {"/SLC/scene.zip": CONTENT})
    seen = []
    path = download(session_for(), scene(), tmp_path / "new", advance=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert left(tmp_path / "new") == ["scene.zip"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_fetched_again(net: Internet, tmp_path):
    (tmp_path / "scene.zip").write_bytes(CONTENT)
    download(session_for(), scene(), tmp_path)
    assert net.asked == []


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(net: Internet, tmp_path, code):
    times = iter([0, 1])

    def busy(request):
        return (
            Reply(b"later", code, {"Retry-After": "0"})
            if next(times, 2) < 2
            else served(request, {"/SLC/scene.zip": CONTENT})
        )

    net.hosts[HOST] = busy
    assert download(session_for(), scene(), tmp_path).read_bytes() == CONTENT
    assert len(net.asked) == 3


def test_retry_after_is_waited_for(net: Internet, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    times = iter([0])

    def busy(request):
        return (
            Reply(b"", 429, {"Retry-After": "17"})
            if next(times, None) == 0
            else served(request, {"/SLC/scene.zip": CONTENT})
        )

    net.hosts[HOST] = busy
    download(session_for(), scene(), tmp_path)
    assert waited == [17.0]


def test_a_server_that_asks_for_hours_is_not_waited_for(net: Internet, tmp_path):
    net.hosts[HOST] = lambda _: Reply(b"", 503, {"Retry-After": "7200"})
    with pytest.raises(DownloadError, match=r"HTTP 503.*7200 s"):
        download(session_for(), scene(), tmp_path)
    assert len(net.asked) == 1


def test_a_server_that_stays_busy_is_given_up(net: Internet, tmp_path):
    net.hosts[HOST] = lambda _: Reply(b"", 503)
    with pytest.raises(DownloadError, match=r"scene.zip could not be fetched in 6 attempts: .*HTTP 503"):
        download(session_for(), scene(), tmp_path)
    assert len(net.asked) == network.ATTEMPTS
    assert left(tmp_path) == []


def test_a_broken_connection_goes_on_where_it_broke(net: Internet, tmp_path):
    asked = []

    def cutting(request):
        asked.append(request.headers.get("range"))
        reply = served(request, {"/SLC/scene.zip": CONTENT})
        reply.cut = 700_000 if len(asked) < 3 else None
        return reply

    net.hosts[HOST] = cutting
    assert download(session_for(), scene(), tmp_path).read_bytes() == CONTENT
    assert asked[0] is None
    assert [int(text.removeprefix("bytes=").rstrip("-")) > 0 for text in asked[1:]] == [True, True]
    assert left(tmp_path) == ["scene.zip"]


def test_a_run_that_was_killed_is_gone_on_with(net: Internet, tmp_path):
    net.file(HOST, {"/SLC/scene.zip": CONTENT})
    (tmp_path / "scene.zip.part").write_bytes(CONTENT[:1_000_000])
    assert download(session_for(), scene(), tmp_path).read_bytes() == CONTENT
    assert net.asked[0].headers["range"] == "bytes=1000000-"


def test_a_server_without_ranges_begins_again(net: Internet, tmp_path):
    net.file(HOST, {"/SLC/scene.zip": CONTENT}, ranges=False)
    (tmp_path / "scene.zip.part").write_bytes(b"PKother"[:5])
    assert download(session_for(), scene(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (CONTENT[:-5], r"got 2047997 of 2048002 bytes"),
        (CONTENT[:-1] + b"x", r"checksum differs \(md5 "),
        (b"XX" + CONTENT[2:], r"not of the kind|checksum differs"),
    ],
)
def test_what_is_not_what_was_promised_gets_no_name(net: Internet, tmp_path, content, match):
    net.file(HOST, {"/SLC/scene.zip": content}, ranges=False)
    with pytest.raises(DownloadError, match=match):
        download(session_for(), scene(), tmp_path)
    assert "scene.zip" not in left(tmp_path)


def test_a_part_of_another_file_is_found_out(net: Internet, tmp_path):
    net.file(HOST, {"/SLC/scene.zip": CONTENT})
    (tmp_path / "scene.zip.part").write_bytes(b"PK" + b"\0" * 5000)
    with pytest.raises(DownloadError, match="checksum differs"):
        download(session_for(), scene(), tmp_path)
    assert left(tmp_path) == []
    assert download(session_for(), scene(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html; charset=utf-8"}, {}])
def test_a_login_page_is_no_zip(net: Internet, tmp_path, headers):
    page = b"\n<!DOCTYPE html><html><title>Earthdata Login</title>" + b" " * 3000
    net.hosts[HOST] = lambda _: Reply(page, headers=headers)
    with pytest.raises(DownloadError, match=r"web page in place of the file.*log in"):
        download(session_for(), scene(size=None, md5=None), tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("code", [401, 403])
def test_an_expired_token_is_said(net: Internet, tmp_path, code):
    net.hosts[HOST] = lambda _: Reply(b"nope", code)
    with pytest.raises(DownloadError, match=rf"HTTP {code}.*token expired"):
        download(session_for(Credentials("a test", token=CANARY)), scene(), tmp_path)
    assert len(net.asked) == 1


def test_a_token_goes_to_trusted_hosts_only(net: Internet, tmp_path, caplog):
    bucket, friend = "somebody.s3.amazonaws.com", "cumulus.asf.alaska.edu"
    net.hosts[HOST] = lambda _: Reply.to(f"https://{friend}/go?signature={CANARY}")
    net.hosts[friend] = lambda _: Reply.to(f"https://{bucket}/scene.zip?signature={CANARY}")
    net.file(bucket, {"/scene.zip": CONTENT})
    with caplog.at_level("DEBUG", logger="sensetrack"):
        download(session_for(Credentials("a test", token=CANARY)), scene(), tmp_path)
    shown_to = {request.host: request.headers.get("authorization") for request in net.asked}
    assert shown_to == {HOST: f"Bearer {CANARY}", friend: f"Bearer {CANARY}", bucket: None}
    assert CANARY not in caplog.text


def test_name_and_password_go_to_the_login_only(net: Internet, tmp_path):
    login = "urs.earthdata.nasa.gov"

    def gate(request):
        if "sid=ok" in request.headers.get("cookie", ""):
            return Reply.to("https://elsewhere.cloudfront.net/scene.zip")
        if "code" in request.query:
            return Reply(b"", 302, {"Location": f"https://{HOST}/SLC/scene.zip", "Set-Cookie": "sid=ok; Path=/"})
        return Reply.to(f"https://{login}/oauth/authorize?client_id=x")

    net.hosts[HOST] = gate
    net.hosts[login] = lambda r: (
        Reply.to(f"https://{HOST}/login?code=1") if "authorization" in r.headers else Reply(b"", 401)
    )
    net.file("elsewhere.cloudfront.net", {"/scene.zip": CONTENT})
    download(session_for(Credentials("a test", user="anna", password=CANARY)), scene(), tmp_path)
    assert {r.host for r in net.asked if "authorization" in r.headers} == {login}


def test_redirections_without_end_end(net: Internet, tmp_path):
    net.hosts[HOST] = lambda _: Reply.to(f"https://{HOST}/again")
    with pytest.raises(DownloadError, match="without end"):
        download(session_for(), scene(), tmp_path)


def test_no_network_is_said_without_secrets(net: Internet, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    remote = Remote(f"https://{HOST}/x?token={CANARY}", "x.zip")
    with pytest.raises(DownloadError, match=f"no connection to {HOST}") as caught:
        download(session_for(Credentials("a test", token=CANARY)), remote, tmp_path)
    assert CANARY not in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_certificate_of_nobody_is_refused(net: Internet, tmp_path, monkeypatch):
    net.file(HOST, {"/SLC/scene.zip": CONTENT})
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    with pytest.raises(DownloadError, match="does not prove who it is"):
        download(session_for(), scene(), tmp_path)


@pytest.mark.parametrize("name", ["../evil.zip", "a/b.zip", "", ".."])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(DownloadError, match="no name for one"):
        download(session_for(), Remote("https://example.org/x", name), tmp_path)


def test_something_small_that_is_not_is_refused(net: Internet):
    net.file(HOST, {"/list": b"x" * 5000})
    with pytest.raises(DownloadError, match="more than 1000 bytes"):
        get_bytes(session_for(), f"https://{HOST}/list", largest=1000)


def test_addresses_are_shown_without_secrets():
    url = f"https://anna:{CANARY}@{HOST}:8443/a/b.zip?token={CANARY}#{CANARY}"
    assert shown(url) == f"https://{HOST}:8443/a/b.zip"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://datapool.asf.alaska.edu/x", True),
        ("https://ASF.alaska.edu/x", True),
        ("http://datapool.asf.alaska.edu/x", False),
        ("https://asf.alaska.edu.evil.org/x", False),
        ("https://evilasf.alaska.edu.org/x", False),
        ("https://notasf.alaska.edu/x", False),
        ("https://s3.amazonaws.com/asf.alaska.edu", False),
    ],
)
def test_trusted_hosts(url, expected):
    assert trusted(url) is expected


def test_credentials_in_their_order_and_never_shown(net: Internet, tmp_path, monkeypatch):
    assert earthdata() is None
    with pytest.raises(EnvironmentFault, match="no credentials of NASA Earthdata"):
        require_earthdata()
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine urs.earthdata.nasa.gov login anna password {CANARY}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    found = [earthdata()]
    monkeypatch.setenv("EARTHDATA_USERNAME", "anna")
    monkeypatch.setenv("EARTHDATA_PASSWORD", CANARY)
    found.append(earthdata())
    file = tmp_path / "token"
    file.write_text(f"{CANARY}\n")
    monkeypatch.setenv("EARTHDATA_TOKEN_FILE", str(file))
    found.append(earthdata())
    monkeypatch.setenv("EARTHDATA_TOKEN", CANARY)
    found.append(earthdata())
    assert [one.source.split()[1] for one in found] == ["file", "variables", "file", "variable"]
    assert [(one.token, one.password) for one in found] == [
        (None, CANARY), (None, CANARY), (CANARY, None), (CANARY, None)
    ]  # fmt: skip
    assert CANARY not in repr(found)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"x" * 20000])
def test_a_file_without_a_token_is_named_and_not_quoted(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(EnvironmentFault, match="token: must hold a token and nothing else"):
        earthdata(file)


def test_a_broken_netrc_is_not_quoted(net: Internet, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine urs.earthdata.nasa.gov {CANARY} {CANARY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(EnvironmentFault) as caught:
        earthdata()
    assert CANARY not in str(caught.value)
