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
    import os
    import platform
    import shutil
    import stat
    import tempfile
    from pathlib import Path

    from sensetrack.files.raster import drivers
    from sensetrack.workflow.executors import default_workers
    from sensetrack.workflow.record import versions

    netrc = Path.home() / (".netrc" if os.name != "nt" else "_netrc")
    state = "absent"
    if netrc.is_file():
        private = os.name == "nt" or not netrc.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        state = "present" if private else "present, but readable by others: chmod 600 it"
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    return {
        "versions": {**versions(), "platform": platform.platform()},
        "drivers": drivers(),
        "other programs (optional)": {
            "SNAP gpt": _gpt(),
            "ISCE2 topsApp.py": shutil.which("topsApp.py") or "not found",
        },
        "credentials": {str(netrc): state},
        "machine": {"workers": default_workers(), "temporary space": f"{free:.0f} GB free"},
    }


def _gpt() -> str:
    from sensetrack.errors import EngineNotFoundError
    from sensetrack.snap_gpt.gpt import find_gpt

    try:
        return str(find_gpt())
    except EngineNotFoundError:
        return "not found"
