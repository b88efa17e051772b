"""`sensetrack fetch`: scenes, orbits and elevation models from the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from sensetrack.cli.common import Debug, Json, Output, Overwrite, Quiet, Verbose, echo, echo_json, progress
from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from sensetrack.workflow.fetch import Findings

fetch = App(name="fetch", help_format="plaintext")

Area = Annotated[
    str | None,
    Parameter(help="Polygons (file or file|layer), well-known text, GeoJSON, or west,south,east,north in degrees."),
]
TokenFile = Annotated[
    Path | None,
    Parameter(
        help="Text file with a token of NASA Earthdata. [default: the variable EARTHDATA_TOKEN, else "
        "EARTHDATA_USERNAME and EARTHDATA_PASSWORD, the keyring, ~/.netrc]"
    ),
]


@fetch.command
def scenes(
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Folder for the scenes. [default: none, they are listed only]"),
    ] = None,
    aoi: Area = None,
    kind: Annotated[
        Literal["slc", "grd", "burst", "s2"],
        Parameter(help="Sentinel-1 SLC or GRD, single bursts, or a band of Sentinel-2 L2A (no account needed)."),
    ] = "slc",
    start: Annotated[str | None, Parameter(help="Earliest time, such as 2024-01-01; UTC.")] = None,
    end: Annotated[str | None, Parameter(help="Latest time; UTC.")] = None,
    frames: Annotated[str | None, Parameter(help="ESA frame numbers, such as 830,834.")] = None,
    track: Annotated[int | None, Parameter(help="Relative orbit, 1 to 175.")] = None,
    orbit: Annotated[int | None, Parameter(help="Absolute orbit.")] = None,
    direction: Annotated[
        Literal["ascending", "descending"] | None, Parameter(help="Of the orbit. [default: both]")
    ] = None,
    polarization: Annotated[
        str | None,
        Parameter(name=["--polarization", "--polarisation"], help="VV, VH, HH or HV, which scenes must have."),
    ] = None,
    platforms: Annotated[str | None, Parameter(help="Any of S1A,S1B,S1C,S1D. [default: all]")] = None,
    band: Annotated[str | None, Parameter(help="Sentinel-2: the band. [default: B08]")] = None,
    tile: Annotated[str | None, Parameter(help="Sentinel-2: the tile, such as 32TLR. [default: all]")] = None,
    max_clouds: Annotated[float | None, Parameter(help="Sentinel-2: clouds at most, %. [default: 20]")] = None,
    count: Annotated[
        int | None,
        Parameter(help="How many passes are wanted; scenes of one pass count once. [default: all]"),
    ] = None,
    latest: Annotated[
        bool, Parameter(negative="", help="The latest ones; otherwise the earliest after the start.")
    ] = False,
    apart: Annotated[int, Parameter(help="Passes from one scene of a pair to the other; 1: neighbours.")] = 1,
    max_days: Annotated[float | None, Parameter(help="Pairs further apart are left out, days.")] = None,
    token_file: TokenFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """List scenes and the pairs that they make; with --output, fetch them, going on where it was broken off."""
    from sensetrack.workflow.fetch import fetch_scenes, find_scenes

    radar = {
        "frames": frames, "track": track, "orbit": orbit, "direction": direction, "polarisation": polarization,
        "platforms": platforms,
    }  # fmt: skip
    optical = {"band": band, "tile": tile, "max_clouds": max_clouds}
    query = _query(kind, {"start": start, "end": end}, radar, optical)
    found = find_scenes(
        query, aoi, count=count, which="latest" if latest else "earliest", apart=apart, max_days=max_days
    )
    if json:
        echo_json(found.as_dict())
    elif not quiet:
        _list(found)
    if output is not None:
        with progress("Fetching scenes", quiet=quiet) as advance:
            fetch_scenes(found, output, token_file=token_file, advance=advance)
    return 0


def _query(kind: str, period: dict[str, Any], radar: dict[str, Any], optical: dict[str, Any]) -> Any:
    from sensetrack.acquire.optical import OpticalQuery
    from sensetrack.acquire.scenes import SceneQuery

    mine, other = (optical, radar) if kind == "s2" else (radar, optical)
    strange = [name for name, value in other.items() if value is not None]
    if strange:
        whose = "Sentinel-1" if kind == "s2" else "Sentinel-2"
        raise ConfigError(f"--{strange[0].replace('_', '-')} is about {whose}", advice=f"leave it out of --kind {kind}")
    given = {name: value for name, value in (period | mine).items() if value is not None}
    return OpticalQuery.from_dict(given) if kind == "s2" else SceneQuery.from_dict({"kind": kind} | given)


def _list(found: Findings) -> None:
    for scene in found.scenes:
        size = "" if scene.size is None else f"{scene.size / 1e9:6.2f} GB"
        place = f"track {scene.track}" + ("" if scene.frame is None else f" frame {scene.frame}")
        echo(f"{scene.start:%Y-%m-%d %H:%M:%S}  {scene.platform}  {place:22} {size:>9}  {scene.name}")
    left = len(found.found) - len(found.wanted)
    kept = f", the {found.which} of {len(found.found)}" if left else ""
    echo(f"{len(found.wanted)} passes{kept}, {len(found.scenes)} scenes, {found.size / 1e9:.1f} GB")
    for pair in found.pairs:
        echo(f"pair {pair.name}  {pair.days:6.1f} days")


@fetch.command
def orbits(
    *products: Annotated[str, Parameter(help="Sentinel-1 products, or only their names.")],
    output: Output,
    quiet: Quiet = False,  # noqa: ARG001
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Fetch the precise orbit of each product, the restituted one where that is not there yet; no account needed."""
    from sensetrack.workflow.fetch import fetch_orbits

    if not products:
        raise ConfigError("must be given the products whose orbits are wanted")
    for path in fetch_orbits(products, output):
        echo(str(path))
    return 0


@fetch.command
def dem(
    *,
    aoi: Annotated[str, Parameter(help="Polygons, well-known text, GeoJSON, or west,south,east,north in degrees.")],
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The GeoTIFF that is written.")],
    model: Annotated[
        Literal["glo_30", "glo_90", "nasadem", "srtm_v3", "3dep"],
        Parameter(help="Copernicus 30 m or 90 m, NASADEM, SRTM (both with an account of NASA Earthdata), 3DEP (USA)."),
    ] = "glo_30",
    margin: Annotated[float, Parameter(help="Added on each side of the area, degrees.")] = 0.1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,  # noqa: ARG001
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Fetch an elevation model; its heights are made to count from the ellipsoid, and the file says so."""
    from sensetrack.acquire.dem import DemQuery
    from sensetrack.workflow.fetch import fetch_elevation

    fetch_elevation(DemQuery.from_dict({"model": model, "margin": margin}), aoi, output, overwrite=overwrite)
    echo(str(output))
    return 0
