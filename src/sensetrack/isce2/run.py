"""Find `topsApp.py`, run it step by step with a live log, and go on after the last step that was finished."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError, OutputError
from sensetrack.external import Finished, find_program, require_output, run_program
from sensetrack.isce2.xml import FILES, read_topsapp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STEPS = (
    "startup", "preprocess", "computeBaselines", "verifyDEM", "topo", "subsetoverlaps", "coarseoffsets", "coarseresamp",
    "overlapifg", "prepesd", "esd", "rangecoreg", "fineoffsets", "fineresamp", "ion", "burstifg", "mergebursts",
    "filter", "unwrap", "unwrap2stage", "geocode", "denseoffsets", "filteroffsets", "geocodeoffsets",
)  # fmt: skip
"""Steps of `topsApp.py`, in their order."""
OUTPUTS = ("merged/dense_offsets", "merged/dense_offsets_snr", "merged/filt_dense_offsets")
"""What must be there in the end, without ending."""
LOG = "topsapp.log"
_STATE = "PICKLE"
_MARK = ".sensetrack-run"
"""Which settings the steps in the folder were made with."""
_STEP = re.compile(
    r"Running step (\w+)|(?:Dumping the application's pickle object .*?|Finished step )(\w+)$", re.MULTILINE
)
_INSTALL = "install ISCE2 (conda-forge package isce2) and set ISCE_HOME to its folder, which holds applications/"


def find_topsapp(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of `topsApp.py`: in ISCE_HOME, on the PATH, or in the conda environment that is active.

    Raises
    ------
    EngineNotFoundError
        It is in none of them.
    """
    given = os.environ if environ is None else environ
    places = [Path(given["ISCE_HOME"]) / "applications"] if given.get("ISCE_HOME") else []
    if prefix := given.get("CONDA_PREFIX"):
        places += sorted(Path(prefix).glob("lib/python3.*/site-packages/isce/applications"))
    return find_program("topsApp.py", variables=("ISCE_HOME",), places=places, advice=_INSTALL, environ=given)


def environment(
    topsapp: Path, environ: Mapping[str, str] | None = None, *, workers: int | None = None
) -> dict[str, str]:
    """Return the environment that ISCE2 wants: its own variables, its programs on the PATH, and threads.

    Parameters
    ----------
    topsapp : Path
        ``.../isce/applications/topsApp.py``.
    environ : mapping, optional
        Default: that of this process.
    workers : int, optional
        OMP_NUM_THREADS: processes that ampcor makes.
    """
    given = dict(os.environ if environ is None else environ)
    home = topsapp.parent.parent
    if topsapp.parent.name == "applications":
        given["ISCE_HOME"] = str(home)
        given.setdefault("ISCE_ROOT", str(home.parent))
        given.setdefault("ISCE_STACK", str(home.parent / "isce2-stack"))
        packages = [str(home.parent), str(home), str(home / "components")]
        given["PYTHONPATH"] = os.pathsep.join([*packages, *filter(None, [given.get("PYTHONPATH")])])
        prefix = next((one for one in topsapp.parents if (one / "bin" / "python").exists()), None)
        folders = [str(topsapp.parent), str(home / "bin"), *([str(prefix / "bin")] if prefix else [])]
        given["PATH"] = os.pathsep.join([*folders, given.get("PATH", "")])
        if prefix is not None and sys.platform.startswith("linux"):
            libraries = [str(prefix / "lib"), *filter(None, [given.get("LD_LIBRARY_PATH")])]
            given["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    if workers is not None:
        given["OMP_NUM_THREADS"] = str(workers)
    return given


def run_topsapp(
    folder: str | os.PathLike[str],
    *,
    topsapp: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    workers: int | None = None,
    environ: Mapping[str, str] | None = None,
    advance: Callable[[int, int], None] | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Finished | None:
    """Run the steps that are not done yet in a folder with the three files of `write_topsapp`.

    Parameters
    ----------
    folder : path-like
    topsapp : path-like, optional
        Default: where `find_topsapp` finds it.
    timeout : float, optional
        Seconds it may take.
    workers, environ
        See `environment`.
    advance : callable, optional
        Called with (steps done, steps in all).
    on_text : callable, optional
        Called, from another thread, with what it says.

    Returns
    -------
    Finished or None
        None where everything had been done before.

    Raises
    ------
    ConfigError
        Steps in the folder were made with other settings.
    EngineNotFoundError
        There is no `topsApp.py`.
    EngineFailedError
        It failed, was too slow, or left no offsets.
    """
    place = Path(folder)
    program = find_topsapp(environ) if topsapp is None else Path(topsapp).absolute()
    read_topsapp(place / FILES[-1])  # refuses what would fail hours later
    _require_same(place)
    first = next_step(place)
    if first is None and all((place / f"{name}.bil").exists() for name in OUTPUTS):
        return None
    command = [str(program), FILES[-1], "--steps", f"--start={first or STEPS[0]}", f"--end={STEPS[-1]}"]

    def listen(text: str) -> None:
        if on_text is not None:
            on_text(text)
        if advance is not None:
            advance(len(finished(place)), len(STEPS))

    done = run_program(
        command, log=place / LOG, folder=place, timeout=timeout,
        environ=environment(program, environ, workers=workers), on_text=listen, explain=explain,
    )  # fmt: skip
    for name in OUTPUTS:
        endings = [place / f"{name}{end}" for end in (".bil", ".bip")]
        require_output(
            next((one for one in endings if one.exists()), endings[0]), program="topsApp.py", log=place / LOG
        )
    return done


def finished(folder: Path) -> list[str]:
    """Return the steps whose state topsApp has kept, up to the first one that is missing."""
    kept = []
    for step in STEPS:
        if not any((folder / _STATE / f"{step}{end}").exists() for end in ("", ".xml")):
            break
        kept.append(step)
    return kept


def next_step(folder: Path) -> str | None:
    """Return the step that a run would go on with; None where all are done."""
    done = len(finished(folder))
    return STEPS[done] if done < len(STEPS) else None


def _require_same(folder: Path) -> None:
    """Refuse to go on with what other settings have begun."""
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in FILES)).hexdigest()
    mark = folder / _MARK
    if finished(folder) and mark.exists() and mark.read_text().strip() != digest:
        raise ConfigError(
            "holds steps that were made with other settings", path=folder, advice="choose another folder, or empty it"
        )
    try:
        mark.write_text(digest)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", path=mark) from error


def explain(lines: tuple[str, ...], _log: Path) -> str | None:
    """Say what went wrong: the last line that names an error, and the step it was at."""
    errors = [line.strip() for line in lines if re.match(r"\s*(\w*(Error|Exception)\b|Exception:|ERROR)", line)]
    steps = [found[1] for line in lines if (found := _STEP.search(line)) and found[1]]
    said = (errors or [line.strip() for line in lines if line.strip()] or [""])[-1]
    return f"at step {steps[-1]}: {said}" if steps else said or None
