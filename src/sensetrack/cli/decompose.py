"""`sensetrack decompose`: results that look from several sides in, motion east, north and up out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from sensetrack.cli.common import (
    Debug,
    Json,
    Output,
    Overwrite,
    Quiet,
    Verbose,
    Workers,
    echo,
    echo_json,
    progress,
)

LOOKS = Group("Looks", sort_key=1)
GROUND = Group("Ground", sort_key=2)
MAP = Group("Map", sort_key=3)


def decompose(
    *folders: Annotated[
        str, Parameter(help="Results of `slc` and of `track`, or folders of such: two at least, or one and --dem.")
    ],
    output: Output,
    quantity: Annotated[
        Literal["velocity", "displacement"] | None,
        Parameter(
            group=LOOKS,
            help="Velocities (m/day), which pairs of any span share, or displacements (m). [default: velocity]",
        ),
    ] = None,
    along_track: Annotated[
        bool | None,
        Parameter(
            group=LOOKS,
            help="Use what radars measure along their flight; --no-along-track leaves it out, where the ionosphere "
            "writes streaks. [default: used]",
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        Parameter(
            group=LOOKS, help="Standard error, m, of displacements without one. [default: such a folder is refused]"
        ),
    ] = None,
    worst: Annotated[
        float | None,
        Parameter(
            group=LOOKS,
            help="A direction counts as determined where its standard error is at most so many times that of the best "
            "one. [default: 30]",
        ),
    ] = None,
    dem: Annotated[
        str | None,
        Parameter(group=GROUND, help="File of an elevation model: the motion follows its slope. [default: none]"),
    ] = None,
    vertical: Annotated[
        Literal["ellipsoid", "egm96", "egm2008"] | None,
        Parameter(
            group=GROUND, help="What heights of --dem are above. [default: by its CRS, or by what product it is]"
        ),
    ] = None,
    surface_sigma: Annotated[
        float | None,
        Parameter(
            group=GROUND,
            help="By how much the motion may leave the ground: a standard error, m/day or m. [default: the median one "
            "of all looks]",
        ),
    ] = None,
    slope_reach: Annotated[
        float | None,
        Parameter(group=GROUND, help="Distance to all sides over which the slope is taken, m. [default: 300]"),
    ] = None,
    crs: Annotated[
        str | None,
        Parameter(group=MAP, help="CRS of the map, such as EPSG:3031. [default: of the folder with the widest posts]"),
    ] = None,
    posting: Annotated[
        float | None,
        Parameter(group=MAP, help="Distance between posts, in units of the CRS. [default: the widest of all folders]"),
    ] = None,
    bounds: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            group=MAP,
            help="What is written: xmin,ymin,xmax,ymax in the CRS of the map. [default: where two folders overlap]",
        ),
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML or JSON with any of these settings; run.json repeats a run.")
    ] = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Tell motion east, north and up apart from results that look from several sides.

    A radar measures two directions, away from itself and along its flight; an optical pair measures the two of the
    map. Two tracks, or one and an optical pair, give all three. Writes decomposed.tif (east, north, up and their
    standard errors; m/day), quality.tif (rank, condition, looks, ways, misfit, covariances), quicklook.png and
    run.json. Where the looks do not say, there is NaN.
    """
    from sensetrack.workflow.decompose_config import DecomposeConfig
    from sensetrack.workflow.decomposing import run_decompose

    values: dict[str, Any] = {
        "quantity": quantity,
        "along_track": along_track,
        "sigma": sigma,
        "worst": worst,
        "dem": dem,
        "vertical": vertical,
        "surface_sigma": surface_sigma,
        "slope_reach": slope_reach,
        "crs": crs,
        "posting": posting,
        "bounds": bounds,
    }
    settings = DecomposeConfig.from_file(config, **values) if config else DecomposeConfig.from_dict(values)
    with progress("solving", quiet=quiet) as advance:
        record = run_decompose(folders, output, settings, overwrite=overwrite, workers=workers, advance=advance)
    if json:
        echo_json(record)
    elif not quiet:
        _summary(record, output)
    return 0


def _summary(record: dict[str, Any], output: Path) -> None:
    numbers, unit = record["statistics"], record["unit"]
    for one in record["inputs"]:
        if "way" in one:
            echo(f"{Path(one['path']).name}: {one['way']}, {one['dt_days']:+.2f} days, {', '.join(one['looks'])}")
    echo(f"{numbers['measured']} posts, {100 * numbers['rank_shares'][3]:.1f} % in all three directions")
    for name in ("east", "north", "up"):
        axis = numbers[name]
        if axis["median"] is None:
            echo(f"{name:6} not known")
        else:
            echo(
                f"{name:6} median {axis['median']:+.4g}, {axis['lowest']:+.4g} to {axis['highest']:+.4g}, "
                f"standard error {axis['median_sigma']:.2g} {unit}"
            )
    echo(f"written to {output} in {record['seconds']['total']:.1f} s")
