"""`sensetrack isce2`: settings of ISCE2 looked at, its runs gone on with, and what they leave removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, Workers, echo, echo_json, progress

isce2 = App(name="isce2", help_format="plaintext")

Folder = Annotated[Path, Parameter(help="Folder of a run, with topsApp.xml.")]


@isce2.command
def check(
    file: Annotated[Path, Parameter(help="topsApp.xml; the files it names beside it are read, too.")],
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Say what a topsApp.xml asks for, and refuse what ISCE2 would refuse, or do wrongly, hours later."""
    from sensetrack.isce2 import read_topsapp

    settings = read_topsapp(file).to_dict()
    if json:
        echo_json(settings)
    elif not quiet:
        for key, value in settings.items():
            if value not in (None, (), []):
                echo(f"{key.replace('_', ' '):22} {value}")
    return 0


@isce2.command
def run(
    folder: Folder,
    /,
    *,
    timeout: Annotated[float | None, Parameter(help="Hours it may take. [default: as long as it takes]")] = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Run topsApp.py in a folder with the ISCE2 of this machine, going on after the last step that was finished."""
    from sensetrack.isce2 import run_topsapp

    with progress("topsApp", quiet=quiet) as advance:
        done = run_topsapp(
            folder, timeout=None if timeout is None else 3600 * timeout, workers=workers, advance=advance
        )
    if not quiet:
        echo("nothing was left to do" if done is None else f"done in {done.seconds / 60:.1f} min; see {done.log}")
    return 0


@isce2.command
def clean(
    folder: Folder,
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what would be removed.")] = False,
    inputs: Annotated[
        bool, Parameter(negative="", help="Remove the products of the earlier date as well, wherever they lie.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Remove what a finished run has made on the way; settings, logs and offsets stay, and inputs unless told."""
    from sensetrack.isce2 import clean as remove

    for path in remove(folder, dry_run=dry_run, inputs=inputs):
        if not quiet:
            echo(f"{'would remove' if dry_run else 'removed'} {path}")
    return 0
