"""`sensetrack track`: two files in, a displacement product out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
from sensetrack.errors import ConfigError

MATCHING = Group("Matching", sort_key=1)
GROUND = Group("Ground and time", sort_key=2)
FILTER = "preprocess."
"""What a key of --set begins with that is a parameter of the filter."""
RADAR = Group("Sentinel-1 products", sort_key=3)
TRUST = Group("What is flagged", sort_key=4)

Pair = Annotated[str | None, Parameter(group=MATCHING)]


def track(
    reference: Annotated[
        str,
        Parameter(
            help="The first scene: GeoTIFF, JPEG, PNG, JPEG 2000, product of Sentinel-1 or -2, COSMO-SkyMed, PRISMA."
        ),
    ],
    secondary: Annotated[str, Parameter(help="The second scene; moved onto the grid of the first where needed.")],
    /,
    *,
    output: Output,
    algorithm: Annotated[
        str | None, Parameter(group=MATCHING, help="See `sensetrack algorithms`. [default: ncc]")
    ] = None,
    chip: Annotated[
        str | None,
        Parameter(group=MATCHING, help="Chip size, px: 64, or rows x columns as 256x64. [ncc: 64]"),
    ] = None,
    step: Annotated[str | None, Parameter(group=MATCHING, help="Distance between posts, px. [ncc: 16]")] = None,
    search: Annotated[str | None, Parameter(group=MATCHING, help="Half width of the search, px. [ncc: 16]")] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            group=MATCHING,
            negative="",
            help="Any parameter of the algorithm: key=value; of the filter: preprocess.key=value.",
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Filter before matching, or none; see `sensetrack preprocessors`. [default: equalize]",
        ),
    ] = None,
    band: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Band of both images: from 1, a name such as B04, or grey: luminance of the first three. "
            "[default: 1; B08 of Sentinel-2; VV or HH of Sentinel-1]",
        ),
    ] = None,
    clouds: Annotated[
        Literal["keep", "opaque", "all"] | None,
        Parameter(
            group=MATCHING,
            help="Clouds of a Sentinel-2 product that count as missing; all: thin ones and shadows too. "
            "[default: opaque]",
        ),
    ] = None,
    nodata: Annotated[
        float | None, Parameter(group=MATCHING, help="Value without measurement; overrides the files.")
    ] = None,
    coregister: Annotated[
        Literal["none", "shift", "similarity", "affine"] | None,
        Parameter(
            group=MATCHING, help="Bring the secondary onto the reference by what both show, first. [default: none]"
        ),
    ] = None,
    gross: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Whole-image shift to search around: auto, none, or rows,columns in px. [default: auto]",
        ),
    ] = None,
    prior: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Raster to search around: d_row, d_col (px), dx, dy (m) or vx, vy (m/day), such as an earlier "
            "offsets.tif or velocity.tif.",
        ),
    ] = None,
    search_limit: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Raster of how far from there each offset lies: half widths with bands like those of --prior, or one "
            "band for both directions.",
        ),
    ] = None,
    warp: Annotated[
        bool | None,
        Parameter(group=MATCHING, help="Resample a secondary on another grid; --no-warp makes that an error."),
    ] = None,
    chain: Annotated[
        str | None,
        Parameter(
            name=["--chain", "--graph"],
            group=RADAR,
            help="Chain that brings products to one map, such as S1_IW_SLC_DFLT. [default: that of the product, "
            "without speckle filter]",
        ),
    ] = None,
    dem: Annotated[
        str | None, Parameter(group=RADAR, help="File of an elevation model. [default: one height, with a warning]")
    ] = None,
    vertical: Annotated[
        Literal["ellipsoid", "egm96", "egm2008"] | None,
        Parameter(group=RADAR, help="What heights of --dem are above. [default: by what it is, and said]"),
    ] = None,
    orbits: Annotated[
        str | None, Parameter(group=RADAR, help="Orbit file (EOF), or a folder of them. [default: annotated orbit]")
    ] = None,
    crs: Annotated[str | None, Parameter(group=RADAR, help="CRS of the map. [default: UTM zone]")] = None,
    resolution: Annotated[
        float | None, Parameter(group=RADAR, help="Pixel of the map, m. [default: GRD 10, SLC 15]")
    ] = None,
    stable_ground: Annotated[
        str | None,
        Parameter(
            group=GROUND,
            help="Polygons (file or file|layer) or mask of ground that did not move: bias and error are taken there.",
        ),
    ] = None,
    unstable_ground: Annotated[
        str | None,
        Parameter(group=GROUND, help="The same the other way round: what may move; all else is stable."),
    ] = None,
    bias: Annotated[
        Literal["median", "plane", "none"] | None,
        Parameter(group=GROUND, help="What is removed over stable ground. [default: median]"),
    ] = None,
    aoi: Annotated[str | None, Parameter(group=GROUND, help="Polygons or mask of the area of interest.")] = None,
    reference_date: Annotated[
        str | None, Parameter(group=GROUND, help="When the reference was taken, ISO 8601, UTC; for velocity.")
    ] = None,
    secondary_date: Annotated[
        str | None, Parameter(group=GROUND, help="When the secondary was taken, ISO 8601, UTC.")
    ] = None,
    min_score: Annotated[
        float | None,
        Parameter(
            group=TRUST,
            help="Score below which a post is flagged. [ncc: 0.3, pcc: 0.3, farneback: 0.6, ilk: 0.7, tvl1: 0.85]",
        ),
    ] = None,
    min_peak_ratio: Annotated[
        float | None,
        Parameter(group=TRUST, help="Peak ratio below which a post is flagged. [default: 1, none]"),
    ] = None,
    outlier_threshold: Annotated[
        float | None, Parameter(group=TRUST, help="Limit of the normalised median test. [default: 2]")
    ] = None,
    outlier_noise: Annotated[
        float | None,
        Parameter(group=TRUST, help="Scatter among neighbours always accepted, px. [default: 0.2]"),
    ] = None,
    max_pixels: Annotated[
        int | None,
        Parameter(group=TRUST, help="Largest common grid that is accepted, px. [default: 1000000000]"),
    ] = None,
    format_: Annotated[
        str | None,
        Parameter(
            name="--format", help="What to write: cog, netcdf, gpkg, shp, png, or several as a,b. [default: cog]"
        ),
    ] = None,
    quicklook: Annotated[
        bool | None, Parameter(help="Draw quicklook.png; --no-quicklook saves a third of a second.")
    ] = None,
    max_memory: Annotated[
        str | None,
        Parameter(
            group=SHARED, help="Memory for tiles and posts, such as 500MB; fewer workers keep within it. [default: 2GB]"
        ),
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML or JSON with any of these settings; run.json repeats a run.")
    ] = None,
    force: Annotated[
        bool,
        Parameter(negative="", group=SHARED, help="Pair products of different tiles or orbits, with a warning."),
    ] = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Measure how the ground moved between two scenes and write the whole product.

    Writes displacement.tif (dx east, dy north, magnitude; m), offsets.tif (d_row, d_col; px), quality.tif,
    flags.tif, quicklook.png and run.json, and velocity.tif (m/day) where both dates are known. With --format
    also, or instead of the .tif: displacement.nc, offsets.gpkg, offsets.shp, pictures of the motion.
    """
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.pipeline import run_track

    parameters: dict[str, Any] = {
        name: value for name, value in (("chip", chip), ("step", step), ("search", search)) if value is not None
    }
    parameters |= dict(read_setting(text) for text in set_ or [])
    of_filter = {key: parameters.pop(key) for key in list(parameters) if key.startswith(FILTER)}
    values: dict[str, Any] = {
        "algorithm": algorithm,
        "parameters": parameters or None,
        "preprocess": preprocess,
        "preprocess_parameters": {key.removeprefix(FILTER): value for key, value in of_filter.items()} or None,
        "band": band,
        "clouds": clouds,
        "chain": chain,
        "dem": dem,
        "vertical": vertical,
        "orbits": orbits,
        "crs": crs,
        "resolution": resolution,
        "force": force or None,
        "nodata": nodata,
        "coregister": coregister,
        "gross": gross if gross in (None, "auto", "none") else tuple(str(gross).split(",")),
        "prior": prior,
        "search_limit": search_limit,
        "warp": warp,
        "stable_ground": stable_ground,
        "unstable_ground": unstable_ground,
        "bias": bias,
        "aoi": aoi,
        "reference_date": reference_date,
        "secondary_date": secondary_date,
        "min_score": min_score,
        "min_peak_ratio": min_peak_ratio,
        "outlier_threshold": outlier_threshold,
        "outlier_noise": outlier_noise,
        "max_pixels": max_pixels,
        "max_memory": max_memory,
        "formats": format_,
        "quicklook": quicklook,
    }
    settings = TrackConfig.from_file(config, **values) if config else TrackConfig.from_dict(values)
    with progress("matching", quiet=quiet) as advance:
        record = run_track(
            reference, secondary, output, settings, overwrite=overwrite, workers=workers, advance=advance
        )
    if json:
        echo_json(record)
    elif not quiet:
        _summary(record, output)
    return 0


def read_setting(text: str) -> tuple[str, Any]:
    """Read ``key=value``; the value is what YAML makes of it."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        message = f"--set must be key=value, instead got {text!r}"
        raise ConfigError(message)
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a date that does not exist
        message = f"--set {key.strip()} cannot be read, instead got {value!r}"
        raise ConfigError(message) from error


def _summary(record: dict[str, Any], output: Path) -> None:
    numbers = record["statistics"]
    echo(f"{numbers['posts']} posts, {100 * numbers['good_share']:.1f} % good")
    if numbers["median_magnitude_px"] is not None:
        row, col = numbers["median_offset_px"]
        echo(f"median offset   {row:+.2f} rows, {col:+.2f} columns px ({numbers['median_magnitude_px']:.2f} px long)")
    if numbers.get("median_displacement_m", [None])[0] is not None:
        dx, dy = numbers["median_displacement_m"]
        echo(f"median motion   dx {dx:+.2f} m, dy {dy:+.2f} m; largest {numbers['largest_magnitude_m']:.1f} m")
    if record["coregistration"]:
        echo(
            "co-registration turned {rotation:+.3f} deg, scale {scale:.5f}, shift {shift[0]:+.2f} rows, "
            "{shift[1]:+.2f} columns px; residual NMAD {nmad[0]:.3f}, {nmad[1]:.3f} px".format_map(
                record["coregistration"]
            )
        )
    if record["bias"]:
        bias = record["bias"]
        echo(
            "stable ground   NMAD {:.3f}, {:.3f} px before, {:.3f}, {:.3f} px after ({} posts)".format(
                *bias["nmad_before"], *bias["nmad_after"], bias["posts"]
            )
        )
    echo(f"written to {output} in {record['seconds']['total']:.1f} s")
