"""The results of a stack as files: maps, cubes and tables."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, EngineNotFoundError
from sensetrack.files.cog import write_cog
from sensetrack.products.layers import Layer
from sensetrack.products.tables import write_table
from sensetrack.products.timeseries import PairCube, SeriesCube, write_pair_cube, write_series
from sensetrack.products.timeseries_points import PointSeries, points_of, write_points_csv, write_points_gpkg
from sensetrack.workflow.stack_pictures import PICTURES, VELOCITY
from sensetrack.workflow.stack_points import inverse_velocity_table, passing_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.stack.network import Network
    from sensetrack.workflow.stack_config import StackConfig
    from sensetrack.workflow.stack_points import Told
    from sensetrack.workflow.stacking import Component, Stacked

_ALONG_AXES = ("netcdf", "zarr", "ticoi", "itslive", "mintpy")
_IN_METRES = ("ticoi", "itslive", "mintpy")
_BY_DAY = ("mintpy", "csv", "gpkg")
_NAMES = tuple(VELOCITY)

STACK_FILES = (
    *(f"{name}{suffix}" for name in ("velocity", "motion", "quality") for suffix in (".tif", ".qml")),
    "series.nc",
    "pairs.nc",
    "itslive.nc",
    *(f"timeseries_{name}.h5" for name in _NAMES),
    *(f"points_{name}{suffix}" for name in _NAMES for suffix in (".csv", ".gpkg")),
    "inverse_velocity.csv",
    "warning.csv",
    "series.zarr/",
    *PICTURES,
    "stack.json",
)
"""Every file that may be written."""


def check_formats(config: StackConfig, grid: Grid, unit: str, network: Network) -> None:
    """Raise ConfigError where a format cannot hold these dates on this grid, before anything is computed."""
    if "zarr" in config.formats and importlib.util.find_spec("zarr") is None:
        raise EngineNotFoundError("formats: zarr is not installed", advice='pip install "sensetrack[zarr]"')
    days = np.datetime_as_string(network.dates, "D")
    turned = False
    if grid.georeferenced:
        t = grid.transform
        turned = abs(t.b) * grid.shape[0] > 1e-6 * abs(t.a) or abs(t.d) * grid.shape[1] > 1e-6 * abs(t.e)
    for name in config.formats:
        if unit == "px" and name in _IN_METRES:
            message = f"formats: {name} holds metres, and the pairs have no georeference"
            raise ConfigError(message, advice="leave it out")
        if turned and name in _ALONG_AXES:
            message = f"formats: {name} needs rows that run along the axes of the CRS, and those of the pairs do not"
            raise ConfigError(message, advice="give a posting or leave it out")
        if name in _BY_DAY and len(set(days)) < len(days):
            twice = next(day for k, day in enumerate(days) if day in days[:k])
            message = f"formats: {name} names dates by their day, and {twice} is there twice"
            raise ConfigError(message, advice="leave it, or one of them, out")


def write_stack(part: Path, stacked: Stacked, told: Told | None, record: dict[str, Any]) -> None:
    """Write the results in every format that was asked for."""
    formats = stacked.config.formats
    software = f"sensetrack {record['versions']['sensetrack']}"
    if "cog" in formats:
        _write_maps(part, stacked, software, record)
    if "netcdf" in formats:
        write_series(part / "series.nc", series_cube(stacked), software=software)
    if "zarr" in formats:
        from sensetrack.products.timeseries import write_series_zarr

        write_series_zarr(part / "series.zarr", series_cube(stacked), software=software)
    if "ticoi" in formats or "itslive" in formats:
        cube = pair_cube(stacked)
        if "ticoi" in formats:
            write_pair_cube(part / "pairs.nc", cube, names="ticoi", software=software)
        if "itslive" in formats:
            write_pair_cube(part / "itslive.nc", cube, names="itslive", software=software)
    if "mintpy" in formats:
        _write_mintpy(part, stacked)
    if told is not None:
        _write_points(part, stacked, told)


def _write_maps(part: Path, stacked: Stacked, software: str, record: dict[str, Any]) -> None:
    from sensetrack.pictures.qgis import write_styles
    from sensetrack.pictures.ramps import SHARE, SIGNED

    tags = {
        "SOFTWARE": software,
        "DATES": [record["dates"][0], record["dates"][-1]],
        "PAIRS": sum(not one["left_out"] for one in record["pairs"]),
        "MOTION": record["configuration"]["motion"],
    }
    layers = stack_layers(stacked)
    for layer in layers:
        grid = stacked.pairs.grid
        write_cog(part / layer.file, layer.bands, grid, tags=tags | {"NOTE": layer.note}, nodata=float("nan"))
    looks = {"quality.tif": ("coherence", SHARE)}
    looks |= {layer.file: (layer.bands[0][0], SIGNED) for layer in layers if layer.file == "motion.tif"}
    write_styles(part, layers, looks)


def stack_layers(stacked: Stacked) -> list[Layer]:
    """Lay the maps out over files; (rows, cols) float32 each."""
    unit, components, speed = stacked.pairs.unit, stacked.components, stacked.speed
    named = [VELOCITY[one.name] for one in components]
    rates = [(name, f"{unit}/day", values) for name, values in zip(named, stacked.velocity, strict=True)]
    sigmas = zip(named, stacked.velocity_sigma, strict=True)
    errors = [(f"sigma_{name}", f"{unit}/day", values) for name, values in sigmas]
    place = "ground metres per day along +x and +y of the CRS" if unit == "m" else "px per day down rows, along columns"
    layers = [
        Layer(
            "velocity.tif",
            [*rates, ("speed", f"{unit}/day", speed.value), *errors, ("sigma_speed", f"{unit}/day", speed.sigma)],
            f"{place}; speed: without what noise adds to a length; sigma: standard error; NaN where unknown",
        )
    ]
    further = [band for one in components for band in _further(one, unit)]
    if further:
        note = "peak_day: days after 1 January when the displacement of the season is largest; sigma: standard error"
        layers.append(Layer("motion.tif", further, note))
    links = stacked.links
    layers.append(
        Layer(
            "quality.tif",
            [
                *((name, "1", values.astype(np.float32)) for name, values in
                  (("pairs", links.pairs), ("spare", links.spare), ("subnetworks", links.subnetworks))),
                ("coherence", "1", stacked.coherence),
                *((f"{what}_{one.name}", unit if what != "scale" else "1", values)
                  for one in components
                  for what, values in (("misfit", one.motion.misfit), ("closure", one.closure_rms),
                                       ("scale", one.scale))),
            ],
            "pairs: used; spare: beyond those that the dates need, 0 = nothing checks them; subnetworks: 1 = all dates "
            "hang together; coherence: of directions of pairs, 1 = all alike; misfit: of dates from the motion, RMS; "
            "closure: around triplets of pairs, RMS; scale: scatter of pairs over their standard errors as given",
        )
    )  # fmt: skip
    return layers


def _further(component: Component, unit: str) -> list[tuple[str, str, NDArray[np.float32]]]:
    """Return the terms of the motion beside the velocity, each with its standard error."""
    motion, name = component.motion, component.name
    bands = []
    if motion.parameters.acceleration:
        bands += [
            (f"acceleration_{name}", f"{unit}/day^2", motion.term("acceleration")),
            (f"sigma_acceleration_{name}", f"{unit}/day^2", motion.sigma("acceleration")),
        ]
    if motion.parameters.seasonal:
        amplitude, peak = season_sigma(motion)
        bands += [
            (f"amplitude_{name}", unit, motion.amplitude),
            (f"sigma_amplitude_{name}", unit, amplitude),
            (f"peak_day_{name}", "days", motion.peak_day),
            (f"sigma_peak_day_{name}", "days", peak),
        ]
    for term in motion.parameters.terms:
        if term.startswith("step_"):
            bands += [(f"{term}_{name}", unit, motion.term(term)), (f"sigma_{term}_{name}", unit, motion.sigma(term))]
    return [(label, of, np.asarray(values, np.float32)) for label, of, values in bands]


def season_sigma(motion: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return standard errors of amplitude and peak day, to first order; (rows, cols)."""
    i, j = (motion.parameters.terms.index(name) for name in ("sine", "cosine"))
    s, c = motion.values[i].astype(np.float64), motion.values[j].astype(np.float64)
    ss, cc, sc = (motion.covariance[a, b].astype(np.float64) for a, b in ((i, i), (j, j), (i, j)))
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = s * s + c * c
        along = (s * s * ss + c * c * cc + 2 * s * c * sc) / squared
        across = (c * c * ss + s * s * cc - 2 * s * c * sc) / squared**2
        turn = motion.parameters.period / (2 * np.pi)
        # Beyond a half of the round nothing is known of the day.
        day = np.minimum(turn * np.sqrt(across), motion.parameters.period / 2)
    return np.sqrt(along).astype(np.float32), day.astype(np.float32)


def series_cube(stacked: Stacked) -> SeriesCube:
    """Gather the series of dates."""
    components, unit, speed = stacked.components, stacked.pairs.unit, stacked.speed
    maps: dict[str, Any] = {}
    units: dict[str, str] = {}
    for one, sigma in zip(components, stacked.velocity_sigma, strict=True):
        name = VELOCITY[one.name]
        maps |= {name: one.motion.velocity, f"{name}_error": sigma}
        units |= {name: f"{unit}/day", f"{name}_error": f"{unit}/day"}
    maps |= {"speed": speed.value, "speed_error": speed.sigma}
    units |= dict.fromkeys(("speed", "speed_error"), f"{unit}/day")
    for one in components:
        for name, of, values in _further(one, unit):
            maps[name], units[name] = values, of
    maps |= {"pairs": stacked.links.pairs, "subnetworks": stacked.links.subnetworks, "coherence": stacked.coherence}
    moved = {one.name: one.displacement for one in components}
    errors = {one.name: one.sigma for one in components}
    return SeriesCube(stacked.network.dates, moved, errors, stacked.pairs.grid, maps, units, unit)


def pair_cube(stacked: Stacked) -> PairCube:
    """Gather the pairs that were not left out."""
    pairs, kept = stacked.pairs, stacked.kept
    moved = [one[kept] for one in pairs.moved]
    sigma = [
        np.full_like(moved[k], np.nan) if one is None else one[kept].astype(np.float32)
        for k, one in enumerate(pairs.sigma)
    ]
    for k in range(2):
        sigma[k][~np.isfinite(moved[k])] = np.nan
    dates = pairs.network.dates[pairs.network.pairs[kept]]
    return PairCube(dates, moved[0], moved[1], sigma[0], sigma[1], pairs.grid)


def _write_mintpy(part: Path, stacked: Stacked) -> None:
    from sensetrack.products.timeseries_mintpy import MintpySeries, write_mintpy

    stable = stacked.pairs.stable
    reference = None
    if stable is not None:
        known = stable & np.isfinite(stacked.speed.value)
        if known.any():
            best = np.where(known, np.hypot(*stacked.velocity_sigma), np.inf)
            row, col = np.unravel_index(int(best.argmin()), best.shape)
            reference = int(row), int(col)
    for one in stacked.components:
        series = MintpySeries(stacked.network.dates, one.displacement, stacked.pairs.grid, reference=reference)
        write_mintpy(part / f"timeseries_{one.name}.h5", series)


def _write_points(part: Path, stacked: Stacked, told: Told) -> None:
    formats, unit = stacked.config.formats, stacked.pairs.unit
    for one, sigma in zip(stacked.components, stacked.velocity_sigma, strict=True):
        if "csv" in formats:
            write_points_csv(part / f"points_{one.name}.csv", point_series(stacked, told, one, sigma))
        if "gpkg" in formats:
            write_points_gpkg(part / f"points_{one.name}.gpkg", point_series(stacked, told, one, sigma))
    if "csv" in formats:
        write_table(part / "inverse_velocity.csv", *inverse_velocity_table(told, unit, stacked.config.thresholds))
        if told.passings:
            write_table(part / "warning.csv", *passing_table(told))


def point_series(stacked: Stacked, told: Told, component: Component, sigma: NDArray[np.float32]) -> PointSeries:
    """Return the series of one component at the points."""
    return points_of(
        stacked.pairs.grid, told.posts, stacked.network.dates, component.displacement, names=told.names,
        sigma=component.sigma, velocity=component.motion.velocity, velocity_sigma=sigma, coherence=stacked.coherence,
    )  # fmt: skip
