"""`sensetrack doctor`: tell whether everything is there."""

from __future__ import annotations

from typing import Any

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json


def doctor(
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Report versions, drivers, other programs, credentials (present or not, never shown), cores and space."""
    found = examine()
    if json:
        echo_json(found)
        return 0
    for topic, entries in found.items():
        echo(topic)
        for key, value in entries.items():
            echo(f"    {key:24} {value}")
    return 0


def examine() -> dict[str, dict[str, Any]]:
    """Gather the report as plain values."""
    import platform
    import shutil
    import tempfile

    from sensetrack.files.raster import drivers
    from sensetrack.workflow.executors import default_workers
    from sensetrack.workflow.record import versions

    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    return {
        "versions": {**versions(), "platform": platform.platform()},
        "drivers": drivers(),
        "other programs (optional)": {
            "SNAP gpt": _gpt(),
            "ISCE2 topsApp.py": shutil.which("topsApp.py") or "not found",
        },
        "credentials": _credentials(),
        "machine": {"workers": default_workers(), "temporary space": f"{free:.0f} GB free"},
    }


def _credentials() -> dict[str, str]:
    """Say where credentials are, and whether others can read them."""
    from pathlib import Path

    from sensetrack.acquire.credentials import earthdata, netrc_files, open_to_others
    from sensetrack.errors import EnvironmentFault

    try:
        found = earthdata()
        state = "absent" if found is None else f"present in {found.source}"
    except EnvironmentFault as error:
        state = f"not readable: {error}"
    files = {str(path): "present" for path in netrc_files() if path.is_file()}
    for path in files:
        if open_to_others(Path(path)):
            files[path] = "present, but readable by others: chmod 600 it"
    return {"NASA Earthdata": state} | (files or {str(netrc_files()[0]): "absent"})


def _gpt() -> str:
    from sensetrack.errors import EngineNotFoundError
    from sensetrack.snap_gpt.gpt import find_gpt

    try:
        return str(find_gpt())
    except EngineNotFoundError:
        return "not found"
