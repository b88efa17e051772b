"""Other programs: found, run, watched, ended. Small scripts stand in for them."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from pathlib import Path

import psutil
import pytest

from sensetrack.errors import EngineFailedError, EngineNotFoundError, OutputError
from sensetrack.external import find_program, require_output, run_program
from sensetrack.external.processes import how_it_ended

posix = pytest.mark.skipif(os.name == "nt", reason="signals and the executable bit")


def script(folder: Path, body: str, name: str = "tool") -> Path:
    """Write an executable that runs Python."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -SE\n{textwrap.dedent(body)}", encoding="utf-8")
    path.chmod(0o755)
    return path


def gone(pids, seconds=15.0):
    """Wait until no process of these runs any more; zombies do not run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]:
            return True
        time.sleep(0.05)
    return False


def wait_for(path: Path, seconds=30.0) -> str:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text()


# --- where it is


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


@posix
def test_the_variable_goes_before_the_path_and_the_path_before_the_usual_places(tmp_path):
    usual = touched(tmp_path / "usual/gpt")
    known = {"variables": ("TOOL_HOME",), "places": [usual.parent]}
    assert find_program("gpt", environ={"PATH": ""}, **known) == usual
    on_path = touched(tmp_path / "path/gpt")
    environ = {"PATH": os.pathsep.join([str(tmp_path / "none"), str(on_path.parent)])}
    assert find_program("gpt", environ=environ, **known) == on_path
    for where in ("home/gpt", "home2/bin/gpt"):
        file = touched(tmp_path / where)
        home = tmp_path / where.partition("/")[0]
        assert find_program("gpt", environ=environ | {"TOOL_HOME": str(home)}, **known) == file
    assert find_program("gpt", environ=environ | {"TOOL_HOME": str(tmp_path / "wrong")}, **known) == on_path


@posix
def test_a_file_in_the_working_folder_is_not_taken_for_the_program(tmp_path, monkeypatch):
    touched(tmp_path / "gpt")
    touched(tmp_path / "sub/gpt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineNotFoundError):
        find_program("gpt", environ={"PATH": f"{os.pathsep}.{os.pathsep}sub"})


@posix
def test_what_cannot_be_run_is_passed_by(tmp_path):
    touched(tmp_path / "a/gpt").chmod(0o644)
    (tmp_path / "b/gpt").mkdir(parents=True)
    good = touched(tmp_path / "c/gpt")
    path = os.pathsep.join(str(tmp_path / part) for part in "abc")
    assert find_program("gpt", environ={"PATH": path}) == good


@pytest.mark.parametrize("ending", [".exe", ".bat", ".cmd"])
def test_windows_programs_have_an_ending(tmp_path, ending):
    folder = tmp_path / "SNAP bin"
    file = touched(folder / f"gpt{ending}")
    touched(folder / "gpt")  # a shell script that Windows cannot run
    environ = {"PATH": f"{tmp_path};{folder}"}
    assert find_program("gpt", environ=environ, platform="nt") == file
    assert find_program(f"gpt{ending}", environ=environ, platform="nt") == file
    home = {"PATH": "", "TOOL_HOME": f'"{tmp_path / "SNAP bin"}"'}
    assert find_program("gpt", variables=("TOOL_HOME",), environ=home, platform="nt") == file


def test_windows_looks_for_endings_in_the_order_of_pathext(tmp_path):
    exe, bat = touched(tmp_path / "gpt.exe"), touched(tmp_path / "gpt.bat")
    touched(tmp_path / "gpt.py")
    assert find_program("gpt", environ={"PATH": str(tmp_path)}, platform="nt") == exe
    shouted = {"PATH": str(tmp_path), "PATHEXT": ".PY;.BAT;.EXE"}
    assert find_program("gpt", environ=shouted, platform="nt") == bat, "scripts of other kinds cannot be started"
    touched(tmp_path / "other/GPT.EXE").rename(tmp_path / "other/gpt.EXE")
    assert find_program("gpt", environ={"PATH": str(tmp_path / "other")}, platform="nt").name == "gpt.EXE"


def test_a_program_that_is_nowhere(tmp_path):
    with pytest.raises(EngineNotFoundError) as caught:
        find_program("gpt", variables=("A_HOME", "B_HOME"), places=[tmp_path], advice="install it",
                     environ={"PATH": "", "B_HOME": "/nowhere"})  # fmt: skip
    text = str(caught.value)
    assert text == f"gpt was not found; looked in A_HOME (not set), B_HOME (/nowhere), PATH, {tmp_path}; install it"
    assert caught.value.exit_code == 5


# --- how it runs


@posix
def test_arguments_arrive_as_they_are(tmp_path):
    tool = script(tmp_path, "import json, sys; print(json.dumps(sys.argv[1:]))")
    hostile = ["; touch PWNED", "$(touch PWNED)", "`touch PWNED`", "a b", "q\"q'", "line\nbreak", "ü 中", "*", ""]
    heard = []
    done = run_program([tool, *hostile], log=tmp_path / "log", folder=tmp_path, on_text=heard.append)
    said = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert json.loads(said[-1]) == hostile
    assert json.loads("".join(heard)) == hostile
    assert (done.code, done.command[0], done.log) == (0, str(tool), tmp_path / "log")
    assert not list(tmp_path.rglob("PWNED"))


@posix
def test_a_failure_names_program_cause_and_log(tmp_path):
    tool = script(
        tmp_path, "import sys; print('one', flush=True); sys.stderr.write('the disk is on fire\\n'); sys.exit(3)"
    )
    with pytest.raises(EngineFailedError) as caught:
        run_program([tool, "x"], log=tmp_path / "log")
    error = caught.value
    assert str(error) == f"tool ended with code 3: the disk is on fire; see {tmp_path / 'log'}"
    assert (error.exit_code, error.code, error.command) == (5, 3, (str(tool), "x"))
    assert error.lines[-2:] == ("one", "the disk is on fire")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.lines, again.log) == (str(error), 3, error.lines, error.log)
    assert run_program([tool], log=tmp_path / "log", accept=(0, 3)).code == 3


@posix
def test_a_program_that_cannot_be_started(tmp_path):
    for path, reason in ((tmp_path / "none", "No such file"), (touched(tmp_path / "garbage"), "Exec format")):
        path.exists() and path.write_bytes(b"\x7fELF nonsense")
        with pytest.raises(EngineFailedError, match=f"cannot be started \\({reason}"):
            run_program([path], log=tmp_path / "log")
    with pytest.raises(OutputError, match="cannot be written"):
        run_program([path], log=tmp_path / "no/log")


@posix
@pytest.mark.parametrize(("number", "text"), [("SIGKILL", "SIGKILL), probably for lack of memory"), ("SIGSEGV", "V)")])
def test_a_program_that_is_killed(tmp_path, number, text):
    tool = script(tmp_path, f"import os, signal; os.kill(os.getpid(), signal.{number})")
    with pytest.raises(EngineFailedError) as caught:
        run_program([tool], log=tmp_path / "log")
    assert f"tool was killed ({number}" in str(caught.value)
    assert text in str(caught.value)
    assert caught.value.code == -int(getattr(signal, number))


def test_how_a_shell_script_reports_a_kill():
    assert how_it_ended(137) == "was killed (code 137), probably for lack of memory"
    assert how_it_ended(1) == "ended with code 1"
    assert "signal 250" in how_it_ended(-250)


@posix
def test_bytes_of_any_kind_are_read(tmp_path):
    tool = script(
        tmp_path,
        r"""
        import os, sys
        os.write(1, b"caf\xe9 \xff\xfe\x00 \x1b[31mred\n" + bytes(range(256)) + b"\n")
        sys.exit(1)
    """,
    )
    with pytest.raises(EngineFailedError) as caught:
        run_program([tool], log=tmp_path / "log")
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert b"caf\xe9 \xff\xfe\x00" in (tmp_path / "log").read_bytes()


@posix
@pytest.mark.parametrize("line", [b"x" * 99 + b"\\n", b"y" * 100], ids=["lines", "one line"])
def test_a_hundred_megabytes_of_stderr(tmp_path, line):
    tool = script(
        tmp_path,
        f"""
        import os
        block = b"{line.decode()}" * 10000
        for _ in range(100):
            rest = block
            while rest:
                rest = rest[os.write(2, rest):]
        os.write(2, b"\\nthe last words\\n")
        os._exit(4)
    """,
    )
    tracemalloc.start()
    try:
        with pytest.raises(EngineFailedError, match="ended with code 4: the last words"):
            run_program([tool], log=tmp_path / "log", timeout=60)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    with (tmp_path / "log").open("rb") as file:
        size = file.seek(0, 2)
        file.seek(-200_000, 2)
        end = file.read()
    assert 64e6 < size < 68e6
    assert b"bytes are left out here" in end
    assert end.endswith(b"the last words\n")


@posix
def test_no_password_reaches_a_log_or_a_message(tmp_path):
    tool = script(
        tmp_path,
        """
        import os, sys
        print("token", os.environ["MY_TOKEN"])
        sys.stdout.write("fetching https://user:pa55word@host.org/x with s3cr"); sys.stdout.flush()
        sys.stdout.write("et-value and flag " + os.environ["USE_TOKEN"] + "\\n"); sys.stdout.flush()
        sys.exit("no access with " + os.environ["MY_TOKEN"])
    """,
    )
    environ = {"MY_TOKEN": "s3cret-value", "USE_TOKEN": "1", "PATH": ""}
    with pytest.raises(EngineFailedError) as caught:
        run_program([tool, "https://user:pa55word@host.org"], log=tmp_path / "log", environ=environ)
    said = (tmp_path / "log").read_text() + str(caught.value) + repr(caught.value.lines)
    assert "s3cret-value" not in said
    assert "pa55word" not in said
    assert "https://***@host.org/x" in said
    assert "and flag 1" in said, "short values are no secrets"


# --- how it ends

FAMILY = """
    import os, signal, subprocess, sys, time
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(120)"
    def child(**more):
        one = subprocess.Popen([sys.executable, "-SE", "-c", deaf], stdout=subprocess.PIPE, **more)
        one.stdout.readline()  # it has turned deaf
        return one
    children = [
        child(),
        child(start_new_session=True),                 # has left the group
        child(env={"PATH": ""}),                       # has dropped the mark
    ]
    # The grandchild of a parent that is gone: no descendant any more.
    middle = subprocess.run([sys.executable, "-SE", "-c",
        "import subprocess, sys; one = subprocess.Popen([sys.executable, '-SE', '-c', " + repr(deaf) + "], "
        "start_new_session=True, stdout=subprocess.PIPE); one.stdout.readline(); print(one.pid)"],
        stdout=subprocess.PIPE)
    pids = [one.pid for one in children] + [int(middle.stdout), os.getpid()]
    open("pids.part", "w").write(" ".join(map(str, pids)) + "\\n")
    os.rename("pids.part", "pids")
"""


@posix
@pytest.mark.parametrize("ending", ["deaf", "exit"])
def test_no_child_survives(tmp_path, ending):
    # It ignores to be asked, as its children do; that a tree ends when asked in vain is shown by Ctrl-C below too.
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    body = textwrap.dedent(FAMILY) + (deaf if ending == "deaf" else "print('done')")
    tool = script(tmp_path, body)
    begin = time.monotonic()
    if ending == "exit":
        assert run_program([tool], log=tmp_path / "log", folder=tmp_path, timeout=60).lines[-1] == "done"
    else:
        with pytest.raises(EngineFailedError) as caught:
            run_program([tool], log=tmp_path / "log", folder=tmp_path, timeout=4)
        assert str(caught.value) == f"tool did not finish within 4 s and was stopped; see {tmp_path / 'log'}"
        assert caught.value.exit_code == 5
    pids = [int(one) for one in wait_for(tmp_path / "pids").split()]
    assert len(set(pids)) == 5
    assert gone(pids, seconds=1), "they must be gone when the call returns"
    assert time.monotonic() - begin < 4 + 15


@posix
def test_a_stranger_lives_on(tmp_path):
    stranger = subprocess.Popen([sys.executable, "-SE", "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(EngineFailedError, match="did not finish"):
            run_program([script(tmp_path, "import time; time.sleep(60)")], log=tmp_path / "log", timeout=0.3)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_ctrl_c_ends_the_tree(tmp_path, name, code):
    tool = script(tmp_path, textwrap.dedent(FAMILY) + "time.sleep(120)")
    ours = f"""
from sensetrack.cli import guarded, main
from sensetrack.external import run_program
def call(tokens):
    run_program([{str(tool)!r}], log={str(tmp_path / "log")!r}, folder={str(tmp_path)!r})
    return 0
main(lambda: guarded(call, []))
"""
    process = subprocess.Popen([sys.executable, "-c", ours], stderr=subprocess.PIPE)
    pids = [int(one) for one in wait_for(tmp_path / "pids").split()]
    time.sleep(0.2)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=15)
    assert process.returncode == code, said
    assert gone(pids, seconds=1)


@posix
def test_an_error_of_the_listener_ends_the_program(tmp_path):
    tool = script(tmp_path, "import time; print('hello', flush=True); time.sleep(60)")

    def listener(_text):
        raise ZeroDivisionError

    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        run_program([tool], log=tmp_path / "log", on_text=listener)
    assert time.monotonic() - begin < 15


def test_an_output_must_be_there_and_hold_something(tmp_path):
    log, file = tmp_path / "log", tmp_path / "out.tif"
    with pytest.raises(EngineFailedError, match=r"gpt ended without an error, but its output is missing; see "):
        require_output(file, program="gpt", log=log)
    file.touch()
    with pytest.raises(EngineFailedError, match="its output is empty"):
        require_output(file, program="gpt", log=log)
    with pytest.raises(EngineFailedError, match="its output is not a file"):
        require_output(tmp_path, program="gpt", log=log)
    file.write_text("x")
    assert require_output(file, program="gpt", log=log) == file
