"""Synthetic PRISMA products, for tests and for trying things out: small files with the structure of real ones.

Written from what is public about the format, not with the reader. No real product was at hand: what these files have in
common with real ones is names, types, order of axes, wavelengths and scaling; what pixels show is up to the caller.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.files.hdf5_output import write_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Scene = Callable[[Array, Array, float], Array]
    """(x, y, pixel size) -> values about 0 to 1: the mean over square pixels around places of a map, m."""

_HS, _PAN, _FINER = 30.0, 5.0, 6
_VNIR = np.concatenate([np.zeros(3), np.linspace(972.651, 402.455, 63)])
_SWIR = np.concatenate([np.linspace(2496.877, 942.963, 171), np.zeros(2)])
_RANGES = {"Vnir": (0.01, 1.21), "Swir": (-0.02, 0.93), "Pan": (0.003, 1.103)}
"""Least and largest value of level 2, of each cube its own."""
_FACTOR = 100.0
_BRIGHT = 150.0
"""Radiance of a value of 1."""


@dataclass(frozen=True)
class PrismaRecipe:
    """What a synthetic product is."""

    level: str = "L2D"
    """L1, L1G, L2B, L2C or L2D."""
    shape: tuple[int, int] = (60, 64)
    """Rows and columns of the cubes as an image; the panchromatic image has six times as many."""
    epsg: int = 32632
    centre: tuple[float, float] = (655_335.0, 5_130_465.0)
    """x and y of the centre of the upper left pixel of the cubes, m."""
    start: datetime = datetime(2020, 8, 13, 10, 30, 56, 480_000, UTC)
    azimuth: float = 193.0
    """Direction of flight, degrees from north, of the levels along the track."""
    misplaced: tuple[float, float] = (0.0, 0.0)
    """Metres east and north by which the product says its pixels are further than they are."""
    corner: Literal["centre", "corner"] = "centre"
    """What the corners of the metadata mean."""
    zeros: Literal["real", "none", "tail"] = "real"
    """Which layers hold nothing."""
    text: Literal["bytes", "str"] = "bytes"
    chunks: Literal["none", "band", "all"] = "none"
    """Stored in one piece, or in chunks of one layer or of all."""
    geolocation: bool = True
    padded: bool = True
    """Whether the swath is turned on the map of a level on a map, with nothing around it."""
    tilt: float = 0.12
    """Metres across the track by which a metre of height shifts the ground in the view of the levels along it."""
    height: float = 500.0
    """Metres at which their latitudes and longitudes are."""

    @property
    def name(self) -> str:
        """What the product is called, without suffix."""
        chain = "_OFFL" if self.level.startswith("L1") else ""
        times = "_".join(f"{t:%Y%m%d%H%M%S}" for t in (self.start, self.stop))
        return f"PRS_{self.level}_STD{chain}_{times}_0001"

    @property
    def stop(self) -> datetime:
        """Last line."""
        return self.start + timedelta(seconds=4.32)

    @property
    def on_map(self) -> bool:
        """Whether pixels lie on a map."""
        return self.level in ("L2D", "L1G")


@dataclass(frozen=True)
class Waves:
    """A scene of plane waves, whose mean over a pixel is known exactly."""

    seed: int = 0
    number: int = 40
    lengths: tuple[float, float] = (26.0, 500.0)
    shift: tuple[float, float] = (0.0, 0.0)
    """Metres east and north by which the ground has moved."""
    where: tuple[float, float] = (655_335.0, 5_130_465.0)

    @cached_property
    def _waves(self) -> tuple[Array, Array, Array, Array]:
        rng = np.random.default_rng(self.seed)
        length = np.exp(rng.uniform(np.log(self.lengths[0]), np.log(self.lengths[1]), self.number))
        angle, phase = rng.uniform(0, 2 * np.pi, (2, self.number))
        k = 2 * np.pi / length
        return k * np.cos(angle), k * np.sin(angle), phase, np.sqrt(length / self.lengths[1]) ** 0.3

    def __call__(self, x: Array, y: Array, size: float) -> Array:
        """Return values about 0.5."""
        out = np.zeros(np.shape(x))
        for kx, ky, phase, weight in zip(*self._waves, strict=True):
            blur = np.sinc(kx * size / (2 * np.pi)) * np.sinc(ky * size / (2 * np.pi))
            east, north = x - self.where[0] - self.shift[0], y - self.where[1] - self.shift[1]
            out += weight * blur * np.cos(kx * east + ky * north + phase)
        return np.asarray(0.5 + 0.09 * out / np.sqrt(np.sum(self._waves[3] ** 2) / 2))


@dataclass(frozen=True, eq=False)
class _Geometry:
    """Ground of the pixel centres of a cube, (rows, cols): true, and as the product says."""

    x: Array
    y: Array
    lat: Array
    lon: Array
    inside: NDArray[np.bool_]


@dataclass(eq=False)
class _File:
    """What is going to be written: datasets and attributes by path."""

    data: dict[str, Array] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    chunks: dict[str, tuple[int, ...]] = field(default_factory=dict)


def write_product(
    folder: Path,
    scene: Scene | None = None,
    recipe: PrismaRecipe | None = None,
    *,
    height: Callable[[Array, Array], Array] | None = None,
    clouds: NDArray[np.bool_] | None = None,
    errors: dict[str, Array] | None = None,
    zipped: bool = False,
) -> Path:
    """Write a product into a folder and return its path.

    Parameters
    ----------
    folder : Path
    scene : callable, optional
        See `Waves`.
    recipe : PrismaRecipe, optional
    height : callable, optional
        (x, y) -> metres above the ellipsoid; by default the height of the recipe everywhere. Levels along the track.
    clouds : ndarray of bool, optional
        (rows, cols) of the cubes; L1 only.
    errors : dict, optional
        Of PAN, VNIR, SWIR the matrix of errors as an image, (rows, cols); the same in all layers.
    zipped : bool
        Write the zip that products come in.
    """
    recipe, scene = recipe or PrismaRecipe(), scene or Waves()
    if recipe.level not in ("L1", "L1G", "L2B", "L2C", "L2D"):
        raise ConfigError(f"level must be L1, L1G, L2B, L2C or L2D, instead got {recipe.level}")
    file = _File()
    _root(file, recipe)
    hyper, fine = (_geometry(recipe, size, height) for size in (_HS, _PAN))
    stem = "L1" if recipe.level == "L1G" else recipe.level
    groups = f"HDFEOS/SWATHS/PRS_{stem}_HCO", f"HDFEOS/SWATHS/PRS_{stem}_PCO"
    _cubes(file, recipe, groups[0], scene(hyper.x, hyper.y, _HS), inside=hyper.inside, errors=errors or {})
    _pan(file, recipe, groups[1], scene(fine.x, fine.y, _PAN), inside=fine.inside, errors=errors or {})
    for group, geometry in zip(groups, (hyper, fine), strict=True):
        _places(file, recipe, group, geometry, hyper=group == groups[0])
    if recipe.level == "L1":
        _masks(file, recipe, groups[0], np.zeros(recipe.shape, bool) if clouds is None else clouds)
    if recipe.level == "L2C":
        for group, size in zip(groups, (_HS, _PAN), strict=True):
            file.attributes[f"{group}/Geocoding Model"] = _rpc(recipe, size)
    path = folder / f"{recipe.name}.he5"
    write_arrays(path, file.data, file.attributes, file.chunks)
    if not zipped:
        return path
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    path.unlink()
    return path.with_suffix(".zip")


def wavelengths(recipe: PrismaRecipe) -> tuple[Array, Array]:
    """Centres of the layers of VNIR and SWIR, nm; 0: holds nothing."""
    if recipe.zeros == "none":
        return np.linspace(977.37, 406.99, 66), np.linspace(2497.1, 943.36, 173)
    if recipe.zeros == "tail":
        return np.concatenate([_VNIR[3:], np.zeros(3)]), np.concatenate([np.zeros(2), _SWIR[:-2]])
    return _VNIR, _SWIR


def level_of(cube: str, layer: int) -> float:
    """Return the factor by which a layer is darker than the scene."""
    return 1.0 if cube == "Pan" else 0.35 + 0.5 * layer / (66 if cube == "Vnir" else 173)


def _said(recipe: PrismaRecipe, text: str) -> Any:
    return np.bytes_(text.encode()) if recipe.text == "bytes" else text


def _root(file: _File, recipe: PrismaRecipe) -> None:
    root: dict[str, Any] = {
        "Product_ID": _said(recipe, "PRS_SIMULATED"),
        "Product_Name": _said(recipe, f"{recipe.name}.he5"),
        "Processing_Level": _said(recipe, {"L1G": "1"}.get(recipe.level, recipe.level[1:])),
        "Product_StartTime": _said(recipe, f"{recipe.start:%Y-%m-%dT%H:%M:%S.%f}"),
        "Product_StopTime": _said(recipe, f"{recipe.stop:%Y-%m-%dT%H:%M:%S.%f}"),
        "Processor_Version": _said(recipe, "4.1-1"),
        "Sun_zenith_angle": np.float32(38.5),
        "Sun_azimuth_angle": np.float32(148.25),
        "Cloudy_pixels_percentage": np.float32(0.0),
    }
    for cube, centres in zip(("Vnir", "Swir"), wavelengths(recipe), strict=True):
        root[f"List_Cw_{cube}"] = centres.astype(np.float32)
        root[f"List_Fwhm_{cube}"] = np.where(centres > 0, 10.5, 0).astype(np.float32)
        root[f"List_Cw_{cube}_Flags"] = (centres > 0).astype(np.uint8)
    for cube, (low, high) in _RANGES.items():
        if recipe.level.startswith("L1"):
            root |= {f"ScaleFactor_{cube}": np.float32(_FACTOR), f"Offset_{cube}": np.float32(0)}
        else:
            times = _BRIGHT if recipe.level == "L2B" else 1.0
            root |= {f"L2Scale{cube}Min": np.float32(low * times), f"L2Scale{cube}Max": np.float32(high * times)}
    if recipe.on_map:
        half = 0.0 if recipe.corner == "centre" else _HS / 2
        left, top = (float(c + m) for c, m in zip(recipe.centre, recipe.misplaced, strict=True))
        right, low = left + _HS * (recipe.shape[1] - 1), top - _HS * (recipe.shape[0] - 1)
        root["Epsg_Code"] = np.uint32(recipe.epsg)
        root["Projection_Name"] = _said(recipe, "UTM")
        for side, x in (("L", left - half), ("R", right + half)):
            for edge, y in (("U", top + half), ("L", low - half)):
                root[f"Product_{edge}{side}corner_easting"] = np.float64(x)
                root[f"Product_{edge}{side}corner_northing"] = np.float64(y)
    file.attributes[""] = root


def _centres(recipe: PrismaRecipe, size: float) -> tuple[Array, Array]:
    """Row and column of the pixel centres of a cube in pixels of 30 m."""
    finer = round(_HS / size)
    rows, cols = (np.arange(n * finer) for n in recipe.shape)
    row, col = np.meshgrid((rows + 0.5) / finer - 0.5, (cols + 0.5) / finer - 0.5, indexing="ij")
    return row, col


def _on_ground(recipe: PrismaRecipe, row: Array, col: Array) -> tuple[Array, Array]:
    """Ground, at the height of the recipe, of places in the image of the cubes."""
    if recipe.on_map:
        return recipe.centre[0] + _HS * col, recipe.centre[1] - _HS * row
    down = np.radians(recipe.azimuth)
    right = down - np.pi / 2
    bow = 9.0 * ((col - recipe.shape[1] / 2) / recipe.shape[1]) ** 2  # lines of a pushbroom scanner are not straight
    along, across = _HS * row + bow, _HS * col
    return (
        recipe.centre[0] + along * np.sin(down) + across * np.sin(right),
        recipe.centre[1] + along * np.cos(down) + across * np.cos(right),
    )


def _to_lonlat(recipe: PrismaRecipe, x: Array, y: Array) -> tuple[Array, Array]:
    import pyproj

    lon, lat = pyproj.Transformer.from_crs(recipe.epsg, 4326, always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def _geometry(recipe: PrismaRecipe, size: float, height: Callable[[Array, Array], Array] | None) -> _Geometry:
    row, col = _centres(recipe, size)
    flat = _on_ground(recipe, row, col)
    x, y = flat
    if height is not None and not recipe.on_map:
        for _ in range(12):  # what is seen at a pixel lies where the ray meets the ground
            shift = recipe.tilt * (height(x, y) - recipe.height) / _HS
            x, y = _on_ground(recipe, row, col - shift)
    lon, lat = _to_lonlat(recipe, flat[0] + recipe.misplaced[0], flat[1] + recipe.misplaced[1])
    inside = np.ones(row.shape, bool)
    if recipe.on_map and recipe.padded:
        turn, (rows, cols) = np.radians(9.0), recipe.shape
        a, b = row - (rows - 1) / 2, col - (cols - 1) / 2
        down, right = a * np.cos(turn) - b * np.sin(turn), a * np.sin(turn) + b * np.cos(turn)
        inside = (np.abs(down) < 0.43 * rows) & (np.abs(right) < 0.43 * cols)
        lat, lon = np.where(inside, lat, 0), np.where(inside, lon, 0)
    return _Geometry(x, y, lat.astype(np.float32), lon.astype(np.float32), inside)


def _number(recipe: PrismaRecipe, cube: str, value: Array, inside: NDArray[np.bool_]) -> Array:
    """Return the numbers that are stored for values of a scene."""
    if recipe.level.startswith("L1"):
        numbers, outside = value * _BRIGHT * _FACTOR, 65535 if recipe.level == "L1G" else 0
    else:
        low, high = _RANGES[cube]
        numbers, outside = (value - low) / (high - low) * 65535, 0
    return np.where(inside, np.clip(np.round(numbers), 1, 65534), outside).astype(np.uint16)


def _store(recipe: PrismaRecipe, image: Array) -> Array:
    """Turn an image, (rows, cols) or (layers, rows, cols), as the level stores it."""
    if not recipe.on_map:
        image = image[..., ::-1].swapaxes(-1, -2)
    return np.ascontiguousarray(np.moveaxis(image, 0, 1) if image.ndim == 3 else image)


def _cubes(
    file: _File, recipe: PrismaRecipe, group: str, value: Array, *, inside: NDArray[np.bool_], errors: dict[str, Array]
) -> None:
    kind = "SAT" if recipe.level.startswith("L1") else "L2"
    for cube, centres in zip(("Vnir", "Swir"), wavelengths(recipe), strict=True):
        layers = [
            _number(recipe, cube, value * level_of(cube, i), inside) if centre > 0 else np.zeros(value.shape, np.uint16)
            for i, centre in enumerate(centres)
        ]
        name = f"{group}/Data Fields/{cube.upper()}_Cube"
        stored = file.data[name] = _store(recipe, np.stack(layers))
        matrix = errors.get(cube.upper(), np.zeros(value.shape, np.uint8)).astype(np.uint8)
        wrong = f"{group}/Data Fields/{cube.upper()}_PIXEL_{kind}_ERR_MATRIX"
        file.data[wrong] = _store(recipe, np.broadcast_to(matrix, (len(layers), *matrix.shape)))
        if recipe.chunks != "none":
            depth = 1 if recipe.chunks == "band" else stored.shape[1]
            file.chunks[name] = file.chunks[wrong] = (min(17, stored.shape[0]), depth, min(23, stored.shape[2]))


def _pan(
    file: _File, recipe: PrismaRecipe, group: str, value: Array, *, inside: NDArray[np.bool_], errors: dict[str, Array]
) -> None:
    kind = "SAT" if recipe.level.startswith("L1") else "L2"
    file.data[f"{group}/Data Fields/Cube"] = _store(recipe, _number(recipe, "Pan", value, inside))
    matrix = errors.get("PAN", np.zeros(value.shape, np.uint8)).astype(np.uint8)
    file.data[f"{group}/Data Fields/PIXEL_{kind}_ERR_MATRIX"] = _store(recipe, matrix)


def _places(file: _File, recipe: PrismaRecipe, group: str, geometry: _Geometry, *, hyper: bool) -> None:
    if recipe.geolocation:
        ends = ("_VNIR", "_SWIR") if hyper and recipe.level == "L1" else ("",)
        for end in ends:
            file.data[f"{group}/Geolocation Fields/Latitude{end}"] = _store(recipe, geometry.lat)
            file.data[f"{group}/Geolocation Fields/Longitude{end}"] = _store(recipe, geometry.lon)
    if hyper and recipe.level.startswith("L2"):
        for name, angle in (("Observing_Angle", 6.8), ("Rel_Azimuth_Angle", 41.0), ("Solar_Zenith_Angle", 38.5)):
            values = np.where(geometry.inside, angle, 0).astype(np.float32)
            file.data[f"{group}/Geometric Fields/{name}"] = _store(recipe, values)


def _masks(file: _File, recipe: PrismaRecipe, group: str, clouds: NDArray[np.bool_]) -> None:
    nothing = np.zeros(recipe.shape, np.uint8)
    for name, values in (
        ("Cloud_Mask", clouds.astype(np.uint8)), ("SunGlint_Mask", nothing), ("LandCover_Mask", nothing + 4),
    ):  # fmt: skip
        file.data[f"{group}/Data Fields/{name}"] = _store(recipe, values)
    for cube, centres in zip(("Vnir", "Swir"), wavelengths(recipe), strict=True):  # of each detector; here all alike
        for name, values in (("Cw", centres), ("Fwhm", np.where(centres > 0, 10.5, 0))):
            file.data[f"KDP_AUX/{name}_{cube}_Matrix"] = np.tile(values.astype(np.float32), (recipe.shape[1], 1))


def _rpc(recipe: PrismaRecipe, size: float) -> dict[str, Any]:
    """Fit rational polynomials (their denominators are 1) to the geometry, counted as the arrays are stored."""
    finer = _HS / size
    rows, cols = (n * finer for n in recipe.shape)
    row, col, up = np.meshgrid(
        np.linspace(-2, recipe.shape[0] + 2, 12), np.linspace(-4, recipe.shape[1] + 4, 12), np.linspace(-750, 750, 6),
        indexing="ij",
    )  # fmt: skip
    x, y = _on_ground(recipe, row, col - recipe.tilt * up / _HS)
    lon, lat = _to_lonlat(recipe, x + recipe.misplaced[0], y + recipe.misplaced[1])
    height = recipe.height + up
    line, sample = (row + 0.5) * finer - 0.5, (col + 0.5) * finer - 0.5
    sample = cols - 1 - sample  # stored from the other end
    found: dict[str, Any] = {}
    scaled = []
    for name, values in (("LONG", lon), ("LAT", lat), ("HEIGHT", height)):
        middle, half = float(values.mean()), float(np.ptp(values)) / 2
        found |= {f"{name}_OFF": np.float64(middle), f"{name}_SCALE": np.float64(half)}
        scaled.append((values.ravel() - middle) / half)
    u, v, h = scaled
    one = np.ones_like(u)
    terms = np.array([
        one, u, v, h, u * v, u * h, v * h, u**2, v**2, h**2, u * v * h, u**3, u * v**2, u * h**2, u**2 * v, v**3,
        v * h**2, u**2 * h, v**2 * h, h**3,
    ]).T  # fmt: skip
    for name, values, count in (("LINE", line, rows), ("SAMP", sample, cols)):
        goal = (values.ravel() - count / 2) / (count / 2)
        found |= {f"{name}_OFF": np.float64(count / 2), f"{name}_SCALE": np.float64(count / 2)}
        found[f"{name}_NUM_COEFF"] = np.linalg.lstsq(terms, goal, rcond=None)[0]
        found[f"{name}_DEN_COEFF"] = np.eye(20)[0]
    return found
