"""One product through one graph: fill, run, look at the result, and put it in place."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from sensetrack.errors import ConfigError, EngineFailedError, InputError, SenseTrackError, SenseTrackWarning
from sensetrack.external import require_output, run_program
from sensetrack.files.atomic import output_folder
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.files.safe import check_file
from sensetrack.graphs import GRAPHS_WD
from sensetrack.grid import as_crs
from sensetrack.notices import warn
from sensetrack.ot.parameters import Parameters, PxPair, both, brief
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.snap_gpt.gpt import OLDEST, environment, explain, orbit_warnings, progress_of, require_gpt
from sensetrack.snap_gpt.graph import Graph
from sensetrack.snap_gpt.recipes import defaults_for, misfit, steps_to_leave_out

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_LONGEST = 180
"""Characters of a file name, less its suffix."""
_SIZE = re.compile(r"[1-9]\d{0,5}[KMG]?\Z")
_MANIFESTS = ("manifest.safe", "MTD_MSIL2A.xml", "MTD_MSIL1C.xml")
_STRIP = 512
"""Rows that are read at once when a result is looked at."""


class SnapConfig(Parameters):
    """What SNAP is to do with a product."""

    graph: str = Field(description="name of a graph (`sensetrack graphs`), or file of your own")
    aoi: Any = Field(
        None, description="area of interest: file, file|layer, GeoJSON, well-known text, or west,south,east,north"
    )
    crs: str | None = Field(None, description="CRS of the result, such as EPSG:32632; default: UTM zone of the area")
    resolution: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)] | None = Field(
        None, description="pixel of the result; default: that of the graph", json_schema_extra={"unit": "m"}
    )
    looks: PxPair | None = Field(None, description="looks in azimuth and range; default: those of the graph")
    dem: str | None = Field(None, description="file of your own elevation model; default: what the graph names")
    values: dict[str, Any] = Field(default_factory=dict, description="any parameter of the graph")
    without: tuple[str, ...] = Field((), description="operators whose steps are left out")
    memory: str | None = Field(None, description="memory of SNAP, such as 8G; default: what its options say")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="threads of SNAP; default: what its options say"
    )
    timeout: Annotated[float, Field(gt=0)] = Field(
        6 * 3600.0, description="time SNAP may take for one product", json_schema_extra={"unit": "s"}
    )

    @field_validator("looks", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return both(value)

    @field_validator("memory")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None and not _SIZE.match(value):
            raise ConfigError(f"memory must be a number with K, M or G such as 8G, instead got {brief(value)}")
        return value


@dataclass(frozen=True)
class Job:
    """A product, and the graph and values to put it through."""

    product: Path
    """What SNAP is told to read."""
    graph: Graph
    values: dict[str, str]
    """All but the output."""
    stem: str
    """Of the names of the results."""


def run_graph(
    product: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: SnapConfig,
    *,
    gpt: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Put a product through a graph with your SNAP.

    Written are ``<product>_<graph>[_<area>].tif``, the filled graph beside it as ``.graph.xml``, and what SNAP said as
    ``.gpt.log``, which stays after a failure too. The product is not changed and nothing is written beside it.

    Parameters
    ----------
    product : path-like
        File or SAFE folder of a product.
    folder : path-like
        Of the results; made where missing.
    config : SnapConfig
    gpt : path-like, optional
        Default: SNAP_HOME, the PATH, the usual places.
    dry_run : bool
        Write the filled graph and nothing else; SNAP need not be there.
    overwrite : bool
        Replace results that exist; otherwise they are an error.
    report : callable, optional
        Called with (done, 100).

    Returns
    -------
    Path
        The result; with `dry_run` the graph.

    Raises
    ------
    ConfigError
        A parameter of the graph is missing or unknown, or a result exists.
    InputError
        Product, area, elevation model or graph cannot be used.
    EngineNotFoundError
        There is no SNAP, or only an older one.
    EngineFailedError
        SNAP failed, took too long, or left no result with data.
    """
    job = plan(product, config)
    target = Path(folder).absolute()
    final = target / f"{job.stem}.tif"
    record = target / f"{job.stem}.graph.xml"
    if dry_run:
        with output_folder(target, [record.name], overwrite=overwrite, inputs=[job.product, job.graph.path]) as part:
            _write(part / record.name, _filled(job, final))
        return record
    # What a graph of your own needs is not known here.
    program, _ = require_gpt(gpt, oldest=OLDEST if job.graph.path.parent == GRAPHS_WD else (0,))
    log = target / f"{job.stem}.gpt.log"
    names = [final.name, record.name]
    with output_folder(target, names, overwrite=overwrite, inputs=[job.product, job.graph.path]) as part:
        try:
            result = _run(job, part, program, config, log=log, report=report)
        except SenseTrackError:
            raise
        except BaseException:  # interrupted: nothing is left behind
            log.unlink(missing_ok=True)
            raise
        result.replace(part / final.name)
        _write(part / record.name, _filled(job, final))
        _clear(part, names)
    return final


def plan(product: str | os.PathLike[str], config: SnapConfig) -> Job:
    """Return what `run_graph` would do: everything is read and checked, nothing is run or written."""
    graph = Graph.of(config.graph)
    graph.require_ends()
    source, name = locate(product)
    for operator, reason in steps_to_leave_out(graph.name, name).items():
        warn(f"{name}: {operator} is left out, because {reason}", SenseTrackWarning, stacklevel=3)
        graph = graph.without(operator)
    if problem := misfit(graph.name, name):
        warn(f"{name}: {problem}", SenseTrackWarning, stacklevel=3)
    for operator in config.without:
        graph = graph.without(operator)
    area = None if config.aoi is None else AOI.of(config.aoi)
    if area is None and "geoRegion" in graph.parameters and "geoRegion" not in config.values:
        graph = graph.without("Subset")
    chosen = _chosen(config, area)
    derived = defaults_for(graph.name, name) | ({} if area is None else {"mapProjection": area.utm})
    values = {key: value for key, value in derived.items() if key in graph.parameters}
    values |= chosen | {"input": str(source)}
    if "mapProjection" in graph.parameters and "mapProjection" not in values:
        raise ConfigError(f"graph {graph.name} needs a CRS", advice="give --crs, or an --aoi, whose UTM zone is used")
    graph.fill(values | {"output": ""})  # what is wrong with them is said before anything is done
    parts = [name, graph.name] + ([] if area is None else [area.name])
    return Job(source, graph, {key: str(value) for key, value in values.items()}, _safe("_".join(parts)))


def locate(product: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the file of a product that SNAP is given, and the name of the product.

    Raises
    ------
    InputError
        Not found, or a folder that holds no product.
    """
    path = Path(product)
    if path.is_dir():
        for name in _MANIFESTS:
            if (path / name).is_file():
                return check_file(path / name), _stem(path.absolute().name)
        message = f"is a folder without any of {', '.join(_MANIFESTS)}"
        raise InputError(message, path=product, advice="give the SAFE folder or the file of a product")
    found = check_file(product)
    return found, _stem(found.parent.name if found.name in _MANIFESTS else found.name)


def _stem(name: str) -> str:
    for suffix in (".zip", ".SAFE", ".h5", ".tar", ".tgz"):
        if name.casefold().endswith(suffix.casefold()):
            name = name[: -len(suffix)]
    return name


def _safe(text: str) -> str:
    """Return a name for files on any system; what was changed or cut off is told apart by a checksum."""
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("._")
    if name == text and len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{digest}"


def _chosen(config: SnapConfig, area: AOI | None) -> dict[str, Any]:
    """Values that the user has given, by the names of the parameters of a graph."""
    chosen: dict[str, Any] = {}
    if area is not None:
        chosen["geoRegion"] = area.wkt
    if config.crs is not None:
        chosen["mapProjection"] = _map(config.crs)
    if config.resolution is not None:
        chosen["pixelSpacing"] = config.resolution
    if config.looks is not None:
        chosen["nAzLooks"], chosen["nRgLooks"] = config.looks
    if config.dem is not None:
        chosen |= _dem(config.dem)
    for name in ("input", "output"):
        if name in config.values:
            raise ConfigError(f"{name} of a graph is set by the product and the output folder")
    return chosen | config.values


def _map(crs: str) -> str:
    """Spell a CRS for SNAP: by its code where it has one."""
    found = as_crs(crs)
    assert found is not None
    authority = found.to_authority(min_confidence=100)
    return ":".join(authority) if authority and authority[0] == "EPSG" else str(found.to_wkt("WKT1_GDAL"))


def _dem(path: str) -> dict[str, Any]:
    raster = open_raster(path)
    if not raster.grid.georeferenced:
        raise InputError("is no elevation model: it has no georeference", path=path)
    # Where none is declared, SNAP's own default, 0, would make holes at the height of the sea.
    nodata = -32768.0 if raster.nodata is None else float(raster.nodata)
    shown = "NaN" if np.isnan(nodata) else repr(nodata)
    return {"demName": "External DEM", "externalDEMFile": str(raster.path), "externalDEMNoDataValue": shown}


def _filled(job: Job, output: Path) -> str:
    return job.graph.fill(job.values | {"output": str(output)})


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _run(
    job: Job,
    part: Path,
    program: Path,
    config: SnapConfig,
    *,
    log: Path,
    report: Callable[[int, int], None] | None,
) -> Path:
    result = part / "result.tif"
    _write(part / "graph.xml", _filled(job, result))
    # Only words of ours: whatever the user has named stands in the graph, and no command line ever holds it.
    command = [str(program), "graph.xml", "-e"]
    if config.threads is not None:
        command += ["-q", str(config.threads)]
    if config.memory is not None:
        command += [f"-J-Xmx{config.memory}"]
    run_program(
        command, log=log, folder=part, timeout=config.timeout, environ=environment(), explain=explain,
        on_text=None if report is None else progress_of(report),
    )  # fmt: skip
    require_output(result, program="gpt", log=log)
    _require_data(result, log)
    for line in orbit_warnings(log):
        warn(f"{job.product.name}: SNAP says: {line}", SenseTrackWarning, stacklevel=3)
    return result


def _require_data(result: Path, log: Path) -> None:
    """Check that a result can be read and is not empty: SNAP ends well with an image of nothing."""
    problem = "holds no pixel with data"
    try:
        raster = open_raster(result)
        middle = raster.grid.shape[0] // 2
        starts = sorted(range(0, raster.grid.shape[0], _STRIP), key=lambda row: abs(row + _STRIP // 2 - middle))
        with raster.dataset:
            for band in range(1, raster.count + 1):
                source = BandSource(raster, band)
                for row in starts:
                    if np.isfinite(source[row : row + _STRIP, :]).any():
                        return
    except InputError as error:
        problem = f"cannot be used ({error.cause})"
    message = f"gpt ended without an error, but its output {problem}"
    raise EngineFailedError(message, code=0, log=log, advice=f"does the area of interest lie in the product? See {log}")


def _clear(part: Path, names: list[str]) -> None:
    for extra in part.iterdir():
        if extra.name not in names:
            if extra.is_dir() and not extra.is_symlink():
                shutil.rmtree(extra, ignore_errors=True)
            else:
                extra.unlink(missing_ok=True)
