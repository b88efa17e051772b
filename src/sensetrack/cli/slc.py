"""`sensetrack slc`: two Sentinel-1 SLCs in, displacement and velocity out, in radar geometry and on a map."""

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
from sensetrack.cli.track import read_setting

WHAT = Group("What is measured", sort_key=1)
GROUND = Group("Heights and orbits", sort_key=2)
MATCHING = Group("Matching", sort_key=3)
TRUST = Group("What is flagged and filtered", sort_key=4)
MAP = Group("Ground and map", sort_key=5)


def slc(
    reference: Annotated[
        str,
        Parameter(
            help="The first scene: a Sentinel-1 SLC of IW or EW; .SAFE folder, the zip it came in, burst of ASF."
        ),
    ],
    secondary: Annotated[str, Parameter(help="The second scene, of the same track; may be the earlier one.")],
    /,
    *,
    output: Output,
    aoi: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            group=WHAT,
            help="Area of interest: file, file|layer, well-known text or west,south,east,north. Bursts that show "
            "nothing of it are left out. [default: all that both show]",
        ),
    ] = None,
    swaths: Annotated[
        str | None, Parameter(group=WHAT, help="Swaths, such as 2, or iw1,iw2. [default: all that both have]")
    ] = None,
    polarization: Annotated[
        str | None,
        Parameter(
            name=["--polarization", "--polarisation"], group=WHAT, help="VV, VH, HH or HV. [default: co-polarised]"
        ),
    ] = None,
    dem: Annotated[
        str | None,
        Parameter(group=GROUND, help="File of an elevation model. [default: one height, with a warning]"),
    ] = None,
    vertical: Annotated[
        Literal["ellipsoid", "egm96", "egm2008"] | None,
        Parameter(
            group=GROUND, help="What heights of --dem are above. [default: by its CRS, or by what product it is]"
        ),
    ] = None,
    height: Annotated[
        float | None,
        Parameter(
            group=GROUND,
            help="Without --dem: height of all ground above the ellipsoid, m. [default: what the reference says]",
        ),
    ] = None,
    orbits: Annotated[
        str | None,
        Parameter(group=GROUND, help="Orbit file (EOF), or a folder of them. [default: annotated orbit]"),
    ] = None,
    chip: Annotated[str | None, Parameter(group=MATCHING, help="Chip, azimuth x range, px. [default: 64x256]")] = None,
    step: Annotated[str | None, Parameter(group=MATCHING, help="Distance between posts, px. [default: 8x44]")] = None,
    search: Annotated[
        str | None,
        Parameter(
            group=MATCHING,
            help="Half width of the search, px, around where orbits and heights put still ground. [default: 10x30]",
        ),
    ] = None,
    search_days: Annotated[
        float | None,
        Parameter(
            group=MATCHING,
            help="Days that --search is for: longer pairs get as many times as much, rounded up. [default: any pair]",
        ),
    ] = None,
    coherent: Annotated[
        bool | None,
        Parameter(
            group=MATCHING,
            help="Match the phase too, chip by chip where that says more than the amplitude. [default: --coherent]",
        ),
    ] = None,
    compat: Annotated[
        Literal["isce2"] | None,
        Parameter(group=MATCHING, help="isce2: measure exactly as ampcor of ISCE2, amplitudes not oversampled."),
    ] = None,
    engine: Annotated[
        Literal["native", "isce2"] | None,
        Parameter(
            group=MATCHING,
            help="What co-registers and matches: this program, or the ISCE2 on this machine, which needs --dem and a "
            "folder of --orbits. [default: native]",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", group=MATCHING, negative="", help="Any other parameter of the matching: key=value."),
    ] = None,
    min_score: Annotated[
        float | None, Parameter(group=TRUST, help="Score, 0 to 1, below which a post is flagged. [default: none]")
    ] = None,
    snr: Annotated[
        float | None, Parameter(group=TRUST, help="SNR below which a post is flagged. [default: none]")
    ] = None,
    outlier_threshold: Annotated[
        float | None, Parameter(group=TRUST, help="Normalised median test over neighbours: limit. [default: 2]")
    ] = None,
    outlier_noise: Annotated[
        float | None, Parameter(group=TRUST, help="Scatter that test always accepts, px. [default: 0.2]")
    ] = None,
    median: Annotated[
        int | None,
        Parameter(
            group=TRUST, help="Width of a median over posts, flagged ones left out; odd. [default: 1, which is none]"
        ),
    ] = None,
    stable_ground: Annotated[
        str | None,
        Parameter(group=MAP, help="Polygons of ground that did not move: bias and errors are taken there."),
    ] = None,
    unstable_ground: Annotated[
        str | None, Parameter(group=MAP, help="The same the other way round: what may move; all else is stable.")
    ] = None,
    bias: Annotated[
        Literal["median", "plane", "none"] | None,
        Parameter(group=MAP, help="What is removed over stable ground. [default: plane]"),
    ] = None,
    assumption: Annotated[
        Literal["level", "surface"] | None,
        Parameter(
            group=MAP,
            help="What makes of two measured directions a motion east and north: the ground keeps its height, or "
            "follows the slope of --dem. [default: level]",
        ),
    ] = None,
    crs: Annotated[
        str | None,
        Parameter(group=MAP, help="CRS of the map, such as EPSG:3031. [default: UTM zone; polar beyond 80 degrees]"),
    ] = None,
    posting: Annotated[
        float | None, Parameter(group=MAP, help="Pixel of the map, m. [default: distance between posts]")
    ] = None,
    clip: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            group=MAP,
            help="What of the map is written: xmin,ymin,xmax,ymax in its CRS. [default: --aoi, or all]",
        ),
    ] = None,
    isce_layout: Annotated[
        bool | None,
        Parameter(
            group=MAP, negative="", help="Write the files of topsApp too: dense_offsets.bil and so on, in isce/."
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        Parameter(group=SHARED, help="Memory for a burst, such as 1GB; fewer workers keep within it. [default: 2GB]"),
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML or JSON with any of these settings; run.json repeats a run.")
    ] = None,
    fetch: Annotated[
        bool,
        Parameter(
            negative="",
            group=GROUND,
            help="Fetch orbit files and an elevation model (Copernicus, 30 m) where they are not given, into fetched/ "
            "beside the results; without it nothing goes to the network.",
        ),
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            negative="",
            group=SHARED,
            help="Go on, with a warning, where no orbit file fits, or heights are missing for some of the ground.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Measure how the ground moved between two Sentinel-1 SLCs of one track.

    Bursts are brought together by orbit and heights and matched in radar geometry. Writes, on a map,
    displacement.tif (dx east, dy north, magnitude; m), velocity.tif (m/day and m/yr), quality.tif, flags.tif,
    quicklook.png and run.json; and in radar/ what was measured: slant_range (away from the radar), along_track (in
    flight direction), offsets in px, quality, flags, and where each post lies. Finished bursts are kept in a hidden
    folder beside the results, so that the same command goes on where it was stopped.
    """
    from sensetrack.workflow.slc import run_slc
    from sensetrack.workflow.slc_config import SlcConfig

    values: dict[str, Any] = {
        "swaths": swaths,
        "polarization": polarization,
        "aoi": aoi,
        "dem": dem,
        "vertical": vertical,
        "height": height,
        "orbits": orbits,
        "chip": chip,
        "step": step,
        "search": search,
        "search_days": search_days,
        "coherent": coherent,
        "compat": compat,
        "engine": engine,
        "parameters": dict(read_setting(text) for text in set_ or []) or None,
        "min_score": min_score,
        "snr": snr,
        "outlier_threshold": outlier_threshold,
        "outlier_noise": outlier_noise,
        "median": median,
        "stable_ground": stable_ground,
        "unstable_ground": unstable_ground,
        "bias": bias,
        "assumption": assumption,
        "crs": crs,
        "posting": posting,
        "clip": clip,
        "isce_layout": isce_layout,
        "fetch": fetch or None,
        "force": force or None,
        "max_memory": max_memory,
    }
    settings = SlcConfig.from_file(config, **values) if config else SlcConfig.from_dict(values)
    with progress("measuring", quiet=quiet) as advance:
        record = run_slc(reference, secondary, output, settings, overwrite=overwrite, workers=workers, advance=advance)
    if json:
        echo_json(record)
    elif not quiet:
        _summary(record, output)
    return 0


def _summary(record: dict[str, Any], output: Path) -> None:
    numbers, bursts = record["statistics"], record["bursts"]
    done = f"{len(bursts)} burst{'s' if len(bursts) > 1 else ''}" if bursts else "by ISCE2"
    echo(f"{done}, {record['dt_days']:+.2f} days, {record['orbits']}")
    echo(f"{numbers['posts']} posts, {100 * numbers['good_share']:.1f} % good, "
         f"{100 * numbers['coherent_share']:.1f} % matched with their phase")  # fmt: skip
    if numbers["median_slant_range_m"] is not None:
        echo(
            "median motion   {:+.3f} m away from the radar, {:+.3f} m along the flight".format(
                numbers["median_slant_range_m"], numbers["median_along_track_m"]
            )
        )
    if numbers["median_displacement_m"][0] is not None:
        dx, dy = numbers["median_displacement_m"]
        echo(f"on the ground   dx {dx:+.2f} m, dy {dy:+.2f} m; largest {numbers['largest_magnitude_m']:.1f} m")
    echo(f"written to {output} in {record['seconds']['total']:.1f} s")
