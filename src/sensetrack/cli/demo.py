"""`sensetrack demo`: the main job on a landslide whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Overwrite, Quiet, Verbose, Workers, echo, echo_json, progress


def demo(
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="Folder of the results; made where missing.")
    ] = Path("sensetrack-demo"),
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Render a mountain scene with a landslide, track it as a user would, and print the error.

    Needs no data and no network. Writes the two scenes and the truth to OUTPUT/scene and the whole product to
    OUTPUT; start with quicklook.png.
    """
    from dataclasses import asdict

    from sensetrack.workflow.demo import run_demo

    with progress("matching", quiet=quiet) as advance:
        result = run_demo(output, overwrite=overwrite, workers=workers, advance=advance)
    if json:
        echo_json(asdict(result))
        return 0
    echo(
        f"{result.posts} posts, {100 * result.good_share:.1f} % good; under the cloud {100 * result.cloud_share:.1f} %"
    )
    echo(f"largest displacement on the map: {result.largest_m:.0f} m")
    echo(f"{'error against the truth, px':28} {'posts':>6} {'median row':>11} {'col':>7} {'NMAD row':>9} {'col':>7}")
    for where, posts, row, col, nmad_row, nmad_col in result.rows:
        echo(f"  {where:26} {posts:6d} {row:+11.3f} {col:+7.3f} {nmad_row:9.3f} {nmad_col:7.3f}")
    echo(f"written to {output} in {result.seconds:.1f} s; look at {output / 'quicklook.png'}")
    return 0
