"""`sensetrack prepare`: products in, GeoTIFFs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from sensetrack.cli.common import Debug, Json, Overwrite, Quiet, Verbose, Workers, echo, echo_json, progress
from sensetrack.errors import ConfigError

OPTICAL = Group("Sentinel-2", sort_key=2)
RADAR = Group("Sentinel-1, and engine snap", sort_key=3)
NATIVE = Group("Sentinel-1, engine native", sort_key=4)
PRISMA = Group("PRISMA", sort_key=5)
SNAP = Group("Engine snap", sort_key=6)


def prepare(
    *products: Annotated[
        str,
        Parameter(
            help="Sentinel-1 SLC or GRD, Sentinel-2 L1C or L2A: the .SAFE folder, or the zip it came in; PRISMA: the "
            ".he5 or its zip; for SNAP, what it reads."
        ),
    ],
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="A folder, where the product gives the name, or a .tif.")
    ],
    engine: Annotated[
        Literal["native", "snap"], Parameter(help="What does the work: this program, or the SNAP on this machine.")
    ] = "native",
    resolution: Annotated[
        float | None,
        Parameter(
            help="Pixel size, m; of Sentinel-2 10, 20 or 60. [default: the finest of the bands; that of the graph]"
        ),
    ] = None,
    aoi: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="Polygons (file or file|layer); what is written covers their bounds. Sentinel-1 and SNAP: also "
            "well-known text or west,south,east,north; native: also a mask.",
        ),
    ] = None,
    band: Annotated[
        str | None,
        Parameter(
            group=OPTICAL,
            help="Band, or several as B02,B03,B04: one file, one pixel size; of Sentinel-1 as VV,VH; of PRISMA PAN, "
            "VNIR40, 850nm, or VNIR, SWIR, CUBE for all. [default: B08; all polarisations; PAN]",
        ),
    ] = None,
    clouds: Annotated[
        Literal["keep", "opaque", "all"] | None,
        Parameter(
            group=OPTICAL,
            help="Clouds that are written as missing; all: thin ones and shadows too. [default: opaque]",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        Parameter(
            group=PRISMA,
            help="Image whose georeference counts, GeoTIFF or product: the grid of PRISMA is moved to where it has the "
            "same ground.",
        ),
    ] = None,
    coregister: Annotated[
        Literal["shift", "similarity", "affine"] | None,
        Parameter(group=PRISMA, help="What of the grid may change. [default: shift]"),
    ] = None,
    graph: Annotated[
        str | None,
        Parameter(
            name=["--graph", "--chain"],
            group=RADAR,
            help="What is done, such as S1_IW_GRD_DFLT (see: sensetrack graphs); SNAP: also a file of your own. "
            "[default: that of the product, without speckle filter]",
        ),
    ] = None,
    quantity: Annotated[
        Literal["sigma0", "beta0", "gamma0", "rescaled"] | None,
        Parameter(
            group=NATIVE,
            help="Backscatter coefficient; rescaled: relative power of COSMO-SkyMed. [default: sigma0 if known]",
        ),
    ] = None,
    scale: Annotated[
        Literal["linear", "db"] | None, Parameter(group=NATIVE, help="Linear, or decibels. [default: linear]")
    ] = None,
    speckle: Annotated[
        str | None,
        Parameter(group=NATIVE, help="Speckle filter in place of that of the chain, such as lee; none for none."),
    ] = None,
    method: Annotated[
        Literal["nearest", "bilinear", "cubic"] | None,
        Parameter(group=NATIVE, help="How pixels are interpolated. [default: bilinear]"),
    ] = None,
    layers: Annotated[
        str | None, Parameter(group=NATIVE, help="More bands: incidence,local_incidence,mask,height, or some of them.")
    ] = None,
    features: Annotated[
        str | None,
        Parameter(
            group=NATIVE,
            help="More bands of Sentinel-1: ratio,difference of two polarisations, and texture: variation,contrast,"
            "correlation,deviation, or some of them.",
        ),
    ] = None,
    texture_window: Annotated[
        str | None, Parameter(group=NATIVE, help="Odd rows and columns texture is measured in, px. [default: 9,9]")
    ] = None,
    orbits: Annotated[
        str | None, Parameter(group=NATIVE, help="Orbit file (EOF), or a folder of them. [default: annotated orbit]")
    ] = None,
    vertical: Annotated[
        Literal["ellipsoid", "egm96", "egm2008"] | None,
        Parameter(group=NATIVE, help="What heights of --dem are above. [default: by what it is, and said]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", group=SNAP, negative="", help="Any parameter of the graph: name=value."),
    ] = None,
    crs: Annotated[
        str | None,
        Parameter(group=RADAR, help="CRS of the result, such as EPSG:32632. [default: UTM zone of the area]"),
    ] = None,
    looks: Annotated[
        str | None,
        Parameter(
            group=RADAR,
            help="Looks in azimuth and range, such as 1,4. [default: as many as fit the pixel; those of the graph]",
        ),
    ] = None,
    dem: Annotated[
        str | None,
        Parameter(
            group=RADAR, help="File of an elevation model. [default: one height, with a warning; what the graph names]"
        ),
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

    Native, of Sentinel-1 and COSMO-SkyMed: calibrated backscatter on a map, by orbit and elevation model, in 32 bit
    floating numbers, linear; NaN where nothing was measured. Pixels lie on whole multiples of their size, so that dates
    share them.

    By SNAP: what the graph does, with the filled graph and what SNAP said beside it.
    """  # fmt: skip
    if not products:
        raise ConfigError("prepare needs at least one product")
    if engine == "native":
        _only(engine, "snap", set=set_, memory=memory, timeout=timeout, dry_run=dry_run)
        if len(products) > 1 and output.suffix.lower() in {".tif", ".tiff"}:
            raise ConfigError(f"--output must be a folder for {len(products)} products, instead got {output}")
        radar = {
            "chain": graph, "crs": crs, "looks": looks, "dem": dem, "vertical": vertical, "orbits": orbits,
            "quantity": quantity, "scale": scale, "speckle": speckle, "method": method, "layers": layers,
            "features": features, "texture_window": texture_window,
        }  # fmt: skip
        done = []
        for product in products:
            done.append(
                _native(
                    product, output, bands=band.split(",") if band else None, resolution=resolution, aoi=aoi,
                    clouds=clouds, radar=radar, reference=reference, coregister=coregister, overwrite=overwrite,
                    workers=workers, quiet=quiet or json,
                )
            )  # fmt: skip
        if json:
            echo_json(done if len(done) > 1 else done[0])
        return 0
    _only(
        engine, "native", quantity=quantity, scale=scale, speckle=speckle, method=method, layers=layers, orbits=orbits,
        vertical=vertical, features=features, texture_window=texture_window,
    )  # fmt: skip
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


def _say_moved(found: dict[str, Any] | None) -> None:
    """Say how far a product was moved onto its reference."""
    if found is not None:
        east, north = found["moved_east_m"], found["moved_north_m"]
        row, col = found["nmad_px_of_reference"]
        echo(f"moved {east:+.1f} m east, {north:+.1f} m north ({found['posts']} posts, NMAD {row}, {col} px)")


def _only(engine: str, other: str, **given: Any) -> None:
    """Refuse options that another engine has."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{name.replace('_', '-')} is for engine {other}, instead got engine {engine}")


def _native(product: str, output: Path, *, quiet: bool, **options: Any) -> dict[str, Any]:
    from sensetrack.workflow.prepare import prepare as run

    with progress("preparing", quiet=quiet) as advance:
        done = run(product, output, **options, advance=advance)
    if not quiet:
        about = done["product"]
        if about["mission"] == "PRISMA":
            echo(f"PRISMA {about['level']}, {about['acquired']}, placed by its {about['placed_by']}")
            _say_moved(done["coregistration"])
        elif "tile" in about:
            echo(f"{about['mission']} {about['level']}, tile {about['tile']}, {about['acquired']}")
        else:
            echo(f"{about['mission']} {about['mode']} {about['product_type']}, {about['chain']}, {about['acquired']}")
            echo(f"orbit {about['orbit']}; heights {about['dem']['heights']}")
        size = f"{done['rows']} x {done['columns']} px of {done['resolution']} m"
        echo(f"{size}, {100 * done['measured_share']:.1f} % measured")
        echo(f"written to {done['file']} in {done['seconds']:.1f} s")
    return done
