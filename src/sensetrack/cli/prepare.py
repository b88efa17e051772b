"""`sensetrack prepare`: products in, GeoTIFFs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from sensetrack.cli.common import Debug, Json, Overwrite, Quiet, Verbose, Workers, echo, echo_json, progress
from sensetrack.errors import ConfigError

NATIVE = Group("Engine native", sort_key=2)
SNAP = Group("Engine snap", sort_key=3)


def prepare(
    *products: Annotated[
        str, Parameter(help="Sentinel-2 L1C or L2A: the .SAFE folder, or the zip it came in; for SNAP, what it reads.")
    ],
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="A folder, where the product gives the name, or a .tif.")
    ],
    engine: Annotated[
        Literal["native", "snap"], Parameter(help="What does the work: this program, or the SNAP on this machine.")
    ] = "native",
    resolution: Annotated[
        float | None,
        Parameter(help="Pixel size, m; native: 10, 20 or 60. [default: the finest of the bands; that of the graph]"),
    ] = None,
    aoi: Annotated[
        str | None,
        Parameter(
            help="Polygons (file or file|layer); what is written covers their bounds. SNAP: also well-known "
            "text or west,south,east,north; native: also a mask."
        ),
    ] = None,
    band: Annotated[
        str,
        Parameter(group=NATIVE, help="Band, or several as B02,B03,B04: one file, one pixel size."),
    ] = "B08",
    clouds: Annotated[
        Literal["keep", "opaque", "all"],
        Parameter(group=NATIVE, help="Clouds that are written as missing; all: thin ones and shadows too."),
    ] = "opaque",
    graph: Annotated[
        str | None, Parameter(group=SNAP, help="Name of a graph (see: sensetrack graphs), or file of your own.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", group=SNAP, negative="", help="Any parameter of the graph: name=value."),
    ] = None,
    crs: Annotated[
        str | None,
        Parameter(group=SNAP, help="CRS of the result, such as EPSG:32632. [default: UTM zone of the area]"),
    ] = None,
    looks: Annotated[
        str | None, Parameter(group=SNAP, help="Looks in azimuth and range, such as 1,4. [default: those of the graph]")
    ] = None,
    dem: Annotated[
        str | None, Parameter(group=SNAP, help="File of an elevation model. [default: what the graph names]")
    ] = None,
    memory: Annotated[str | None, Parameter(group=SNAP, help="Memory SNAP may take, such as 8G.")] = None,
    timeout: Annotated[
        float | None, Parameter(group=SNAP, help="Seconds SNAP may take for a product. [default: 21600]")
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            group=SNAP, negative="", show_default=False, help="Write the graph SNAP would be given; run nothing."
        ),
    ] = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001  read before the commands are known
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Write products as GeoTIFFs that can be tracked.

    Native, of Sentinel-2: reflectance on the map grid it is delivered on, as 32 bit floating numbers; NaN where nothing
    was measured, where the sensor was saturated, outside of the footprints of its detectors, and under clouds. The
    offset of processing baselines from 04.00 on is taken from the metadata.

    By SNAP: what the graph does, with the filled graph and what SNAP said beside it.
    """  # fmt: skip
    if not products:
        raise ConfigError("prepare needs at least one product")
    if engine == "native":
        _only(
            engine,
            graph=graph,
            set=set_,
            crs=crs,
            looks=looks,
            dem=dem,
            memory=memory,
            timeout=timeout,
            dry_run=dry_run,
        )
        if resolution not in (None, 10, 20, 60):
            raise ConfigError(f"--resolution must be 10, 20 or 60 m, instead got {resolution:g}")
        if len(products) > 1 and output.suffix.lower() in {".tif", ".tiff"}:
            raise ConfigError(f"--output must be a folder for {len(products)} products, instead got {output}")
        done = []
        for product in products:
            done.append(
                _native(
                    product, output, bands=band.split(","), resolution=resolution and int(resolution), aoi=aoi,
                    clouds=clouds, overwrite=overwrite, workers=workers, quiet=quiet or json,
                )
            )  # fmt: skip
        if json:
            echo_json(done if len(done) > 1 else done[0])
        return 0
    from sensetrack.cli.snap import prepare_with_snap

    written = prepare_with_snap(
        products, output, graph=graph, settings=set_ or (), dry_run=dry_run, overwrite=overwrite, quiet=quiet, aoi=aoi,
        crs=crs, resolution=resolution, looks=looks, dem=dem, memory=memory, timeout=timeout, threads=workers,
    )  # fmt: skip
    if json:
        echo_json([str(path) for path in written])
    elif not quiet:
        for path in written:
            echo(f"written to {path}")
    return 0


def _only(engine: str, **given: Any) -> None:
    """Refuse options that another engine has."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{name.replace('_', '-')} is for engine snap, instead got engine {engine}")


def _native(product: str, output: Path, *, quiet: bool, **options: Any) -> dict[str, Any]:
    from sensetrack.workflow.prepare import prepare as run

    with progress("preparing", quiet=quiet) as advance:
        done = run(product, output, **options, advance=advance)
    if not quiet:
        about = done["product"]
        echo(f"{about['mission']} {about['level']}, tile {about['tile']}, {about['acquired']}")
        size = f"{done['rows']} x {done['columns']} px of {done['resolution']} m"
        echo(f"{size}, {100 * done['measured_share']:.1f} % measured")
        echo(f"written to {done['file']} in {done['seconds']:.1f} s")
    return done
