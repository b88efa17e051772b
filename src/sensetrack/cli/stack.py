"""`sensetrack stack`: many pairs in, series of dates and one velocity out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from sensetrack.cli.common import (
    SHARED,
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
from sensetrack.cli.track import read_setting

HOW = Group("How pairs are stacked", sort_key=1)
MAP = Group("Map", sort_key=2)


def stack(
    pairs: Annotated[
        list[str],
        Parameter(
            negative="",
            help="Folders that track or slc has written, folders of such folders, or the folder of a study.",
        ),
    ],
    /,
    *,
    output: Output,
    seasonal: Annotated[
        bool | None, Parameter(negative="", group=HOW, help="The motion has a season of one year, too.")
    ] = None,
    acceleration: Annotated[
        bool | None, Parameter(negative="", group=HOW, help="The velocity changes evenly, too.")
    ] = None,
    image_noise: Annotated[
        str | None,
        Parameter(
            group=HOW,
            help="Noise that all pairs of an image share: one, per_date, none, or a number in m (px). [default: one]",
        ),
    ] = None,
    drop_poor: Annotated[
        bool | None, Parameter(group=HOW, help="Leave out pairs that look cloudy. [default: --drop-poor]")
    ] = None,
    stable_ground: Annotated[
        str | None,
        Parameter(
            group=HOW,
            help="Polygons (file or file|layer) or mask of ground that did not move: the median of each pair over it "
            "is removed. [default: nothing is removed, because track does]",
        ),
    ] = None,
    unstable_ground: Annotated[
        str | None, Parameter(group=HOW, help="The same the other way round: what may move; all else is stable.")
    ] = None,
    points: Annotated[
        str | None,
        Parameter(
            group=HOW,
            allow_leading_hyphen=True,
            help="Places whose series are told: file of points, or name:x,y; name:x,y. [default: a few are chosen]",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            group=HOW,
            negative="",
            help="Any other setting: key=value, such as inversion.loss=huber or thresholds.repeats=2.",
        ),
    ] = None,
    crs: Annotated[str | None, Parameter(group=MAP, help="CRS of the map. [default: that of the pairs]")] = None,
    posting: Annotated[
        float | None,
        Parameter(group=MAP, help="Distance between posts, in units of the CRS. [default: that of the pairs]"),
    ] = None,
    bounds: Annotated[
        str | None,
        Parameter(
            group=MAP, allow_leading_hyphen=True, help="What is stacked: xmin,ymin,xmax,ymax in the CRS of the map."
        ),
    ] = None,
    format_: Annotated[
        str | None,
        Parameter(
            name="--format",
            help="What to write: cog, netcdf, zarr, ticoi, itslive, mintpy, csv, gpkg, or several as a,b. "
            "[default: cog,netcdf,csv]",
        ),
    ] = None,
    pictures: Annotated[bool | None, Parameter(help="Draw pictures. [default: --pictures]")] = None,
    max_memory: Annotated[
        str | None,
        Parameter(group=SHARED, help="Memory that pairs and dates may take, such as 4GB; more is an error. [8GB]"),
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML or JSON with any of these settings; stack.json repeats a stack.")
    ] = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Turn many pairs into series of dates and one velocity, each with its standard error.

    Writes velocity.tif (vx, vy, speed and their sigma; m/day), quality.tif, series.nc (displacement of every date),
    tables and pictures of some points (series, inverse velocity, limits that are passed), network.png, velocity.png
    and stack.json. Pairs that others contradict, or that look cloudy, are left out, and stack.json says which and why.
    """
    from sensetrack.ot.parameters import merged
    from sensetrack.workflow.stack_config import StackConfig
    from sensetrack.workflow.stacking import run_stack

    values: dict[str, Any] = {
        "motion": {"seasonal": seasonal, "acceleration": acceleration},
        "image_noise": image_noise,
        "drop_poor": drop_poor,
        "stable_ground": stable_ground,
        "unstable_ground": unstable_ground,
        "points": points,
        "crs": crs,
        "posting": posting,
        "bounds": bounds,
        "formats": format_,
        "pictures": pictures,
        "max_memory": max_memory,
    }
    given = merged(tree_of(set_ or []), values)
    settings = StackConfig.from_file(config, **given) if config else StackConfig.from_dict(given)
    with progress("stacking", quiet=quiet) as advance:
        record = run_stack(pairs, output, settings, overwrite=overwrite, workers=workers, advance=advance)
    if json:
        echo_json(record)
    elif not quiet:
        _summary(record, output)
    return 0


def tree_of(settings: list[str]) -> dict[str, Any]:
    """Return ``a.b=value`` texts as a tree."""
    from sensetrack.ot.parameters import put

    out: dict[str, Any] = {}
    for text in settings:
        put(out, *read_setting(text))
    return out


def _summary(record: dict[str, Any], output: Path) -> None:
    numbers = record["statistics"]
    unit = numbers["unit"]
    echo(
        f"{numbers['pairs']} pair{'s'[: numbers['pairs'] != 1]} of {numbers['dates']} dates, "
        f"{numbers['pairs_left_out']} left out; "
        f"{numbers['posts']} posts, {100 * numbers['known_share']:.1f} % with a velocity"
    )
    if numbers["dates_without_pairs"]:
        echo(f"without a pair: {', '.join(numbers['dates_without_pairs'])}")
    names = dict(zip(record["components"], ("x", "y"), strict=True)) if record["unit"] == "m" else None
    if numbers["median_velocity"][0] is not None:
        shown = [f"v{names[one]}" if names else f"v_{one[2:]}" for one in record["components"]]
        told = zip(shown, numbers["median_velocity"], numbers["median_velocity_sigma"], strict=True)
        text = ", ".join(f"{name} {value:+.4g} ± {sigma:.2g}" for name, value, sigma in told)
        echo(f"median velocity {text} {unit}; largest speed {numbers['largest_speed']:.4g} {unit}")
    noise = {name: value for name, value in record["image_noise"].items() if not isinstance(value, list)}
    if noise:
        echo("noise of images " + ", ".join(f"{name} {value:.3g} {record['unit']}" for name, value in noise.items()))
    for point in record["points"]:
        limit = f", above {point['above'][-1]} at the last date" if point["above"] else ""
        ends = f", inverse velocity meets 0 on {point['failure']['moment'][:10]}" if "failure" in point else ""
        echo(f"{point['name']:15} {point['speed']:.4g} {unit}{limit}{ends}")
    echo(f"written to {output} in {record['seconds']['total']:.1f} s")
