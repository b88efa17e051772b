"""Synthetic Sentinel-1 products, for tests and for trying things out: SAFE folders that real software opens.

Everything is written from the format's description, not with the reader, and every pixel comes from `sar.simulate`:
what is on the ground, how it moved, and how the satellite saw it are known exactly. A pair, twelve days apart, of a
slide that moved 30 m to the south-west and 10 m down::

    from pathlib import Path
    import numpy as np
    from sensetrack.sar.simulate import Scene
    from sensetrack.sentinel.simulate_s1 import S1Recipe, plan, write_pair

    def displacement(lon, lat):
        size = np.exp(-(((lon - 8.0) / 0.004) ** 2) - ((lat - 46.4) / 0.003) ** 2)
        return -21 * size, -21 * size, -10 * size

    scene = Scene(
        height=lambda lon, lat: 1200 + 25e3 * (lat - 46.4),
        displacement=displacement,
        coherence=0.8,
    )
    first = plan(S1Recipe(product="GRD", place=(8.0, 46.4), lines=300, samples=300))
    reference, secondary = write_pair(Path("out"), scene, first)

`S1Recipe` says what is made: SLC or GRD, pass, subswaths, bursts, size, noise, polarisations, and how old the
processor is. `plan_of` takes orbit, times, Doppler and bursts from the annotation of a real SLC instead.
"""

from __future__ import annotations

import binascii
import hashlib
import shutil
import tempfile
import zipfile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.files.plain_tiff import PlainTiff
from sensetrack.sar.simulate import Ground, detected, quantised, slc
from sensetrack.sentinel.simulate_s1_copy import plan_of
from sensetrack.sentinel.simulate_s1_plan import LIGHT, S1Plan, S1Recipe, SwathPlan, plan
from sensetrack.sentinel.simulate_s1_xml import HEAD, Part, annotation, calibration, geolocation, incidence, noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from sensetrack.sar.simulate import Frame, Scene

    Floats = NDArray[np.float64]

__all__ = ["S1Plan", "S1Recipe", "later", "plan", "plan_of", "write_pair", "write_product"]

_CROSS = -7.0
"""Backscatter of VH and HV against that of the scene, dB."""
_NAMESPACES = (
    'xmlns:gml="http://www.opengis.net/gml" xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
    'xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:s1="http://www.esa.int/safe/sentinel-1.0/sentinel-1" '
    'xmlns:s1sarl1="http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1"'
)


class _Job(NamedTuple):
    """One of the products of a pair, or the only one."""

    scene: Scene
    plans: tuple[S1Plan, ...]
    number: int
    """Of the product: 0 is before the displacement, 1 after it."""
    seed: int
    mapper: Callable[..., Iterable[Any]]


def later(first: S1Plan, *, days: float = 12.0, east: float = 0.0, late: float = 0.0) -> S1Plan:
    """Return the plan of the same scene on a later day, for plans that are made up.

    Parameters
    ----------
    first : S1Plan
    days : float
        Of the orbit's cycle: twelve, or six for the other satellite.
    east : float
        Metres by which the orbit then lies further east, at the equator: most of it is baseline.
    late : float
        Seconds by which its bursts begin later.
    """
    recipe = first.recipe
    orbits = round(days / 12 * 175)
    return plan(
        replace(
            recipe, start=recipe.start + timedelta(days=days), east=recipe.east + east, late=recipe.late + late,
            absolute_orbit=recipe.absolute_orbit + orbits, datatake=recipe.datatake + 8 * orbits,
        )
    )  # fmt: skip


def write_pair(
    folder: Path,
    scene: Scene,
    first: S1Plan | None = None,
    second: S1Plan | None = None,
    *,
    seed: int = 7,
    zipped: bool = False,
    mapper: Callable[..., Iterable[Any]] = map,
) -> tuple[Path, Path]:
    """Write two products of a scene, before and after its displacement, and return their paths.

    Parameters
    ----------
    folder : Path
    scene : Scene
    first, second : S1Plan, optional
        By default an SLC that is made up, and twelve days later.
    seed : int
        Of everything random.
    zipped : bool
        Write X.SAFE.zip instead of the folder X.SAFE.
    mapper : callable
        As ``map``: draws the bursts, which wait for nothing but each other's place in the file.
    """
    first = first or plan()
    second = second or later(first)
    if [(s.name, len(s.times)) for s in first.swaths] != [(s.name, len(s.times)) for s in second.swaths]:
        raise ConfigError("two plans of a pair must have the same swaths and bursts")
    one, two = (_write(folder, _Job(scene, (first, second), number, seed, mapper)) for number in (0, 1))
    return (_zip(one), _zip(two)) if zipped else (one, two)


def write_product(
    folder: Path,
    scene: Scene,
    of: S1Plan | None = None,
    *,
    seed: int = 7,
    zipped: bool = False,
    mapper: Callable[..., Iterable[Any]] = map,
) -> Path:
    """Write one product of a scene before it moved, and return its path; arguments as for `write_pair`."""
    root = _write(folder, _Job(scene, (of or plan(),), 0, seed, mapper))
    return _zip(root) if zipped else root


def _write(folder: Path, job: _Job) -> Path:
    this = job.plans[job.number]
    recipe = this.recipe
    parts: list[Part] = []
    # Cross-polarised images come first.
    for polarisation in sorted(recipe.polarisations, key=lambda name: name[0] == name[1]):
        parts += [Part(this, swath, polarisation, len(parts) + 1 + k) for k, swath in enumerate(this.swaths)]
    letters = f"{'D' if len(recipe.polarisations) > 1 else 'S'}{recipe.polarisations[0][0]}"
    times = (min(part.start for part in parts), max(part.stop for part in parts))
    kind = f"{recipe.product}{'H' if recipe.product == 'GRD' else '_'}"
    period = "_".join(f"{time:%Y%m%dT%H%M%S}" for time in times)
    name = f"S1{recipe.platform}_IW_{kind}_1S{letters}_{period}_{recipe.absolute_orbit:06d}_{recipe.datatake:06X}"
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=folder))
    try:
        for place in ("annotation/calibration", "measurement"):
            (work / place).mkdir(parents=True)
        ring: list[tuple[float, float]] = []
        for part in parts:
            ring += _write_part(work, part, job)
        text = _manifest(work, this, parts, _corners(ring))
        _text(work / "manifest.safe", text)
        root = folder / f"{name}_{binascii.crc_hqx(text.encode(), 0xFFFF):04X}.SAFE"
        if root.exists():
            raise ConfigError("exists already", path=root, advice="choose another folder")
        work.chmod(0o755)
        return work.rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_part(work: Path, part: Part, job: _Job) -> list[tuple[float, float]]:
    """Write the files of an image; return (longitude, latitude) of its grid."""
    this, swath = part.plan, part.swath
    grid, ties = geolocation(part, job.scene.heights)
    height = float(np.mean([tie[4] for tie in ties]))
    pixels = np.unique(np.append(np.arange(0, swath.samples, 40), swath.samples - 1))
    lines, factor = _noise_lines(swath)
    power = _noise_range(this, swath, pixels)
    ranges = _ranges(this, swath)
    angles = incidence(this, swath.middle, ranges[pixels], height)
    loud = this.recipe.noise > -np.inf

    def thermal(frame: Frame, burst: int, time: Floats, distance: Floats) -> Floats:
        """Noise as the tables have it: linear between their nodes."""
        line = (time - frame.first_time) / frame.line_interval + burst * swath.lines
        pixel = np.interp(distance, ranges, np.arange(swath.samples))
        return np.asarray(np.interp(line, lines, factor) * np.interp(pixel, pixels, power))

    def draw(burst: int) -> NDArray[Any]:
        return _draw(part, job, burst, thermal if loud else None)

    pixel: Any = "uint16" if this.recipe.product == "GRD" else "cint16"
    with PlainTiff(work / f"measurement/{part.name}.tiff", (swath.rows, swath.samples), pixel, ties) as file:
        for image in job.mapper(draw, range(len(swath.times))):
            file.write(image)
        start = file.start
    _text(work / f"annotation/{part.name}.xml", annotation(part, grid, height, start))
    tables = work / "annotation/calibration"
    _text(tables / f"calibration-{part.name}.xml", calibration(part, pixels, angles))
    _text(tables / f"noise-{part.name}.xml", noise(part, pixels, power if loud else 0 * power, lines, factor))
    ends = {tie[0] for tie in (ties[0], ties[-1])}, {tie[1] for tie in (ties[0], ties[-1])}
    return [(tie[2], tie[3]) for tie in ties if tie[0] in ends[0] and tie[1] in ends[1]]


def _draw(part: Part, job: _Job, burst: int, thermal: Callable[..., Floats] | None) -> NDArray[Any]:
    """Return the pixels of a burst, or of a GRD, as they are written."""
    this, swath = part.plan, part.swath
    which = this.swaths.index(swath)
    frames = [one.frame(one.swaths[which], burst) for one in job.plans]
    cross = part.polarisation[0] != part.polarisation[1]
    gain = 10 ** (_CROSS / 10) if cross else 1.0
    scene = replace(job.scene, sigma0=lambda lon, lat, angle: gain * job.scene.backscatter(lon, lat, angle))
    ground = Ground(scene, frames[0], tuple(frames[1:]), (job.seed, which, burst, int(cross)))
    frame = frames[job.number]
    options: dict[str, Any] = {"amplitude": this.recipe.calibration, "moved": job.number > 0, "draw": job.number}
    if thermal is not None:
        options["noise"] = partial(thermal, frame, burst)
    if this.recipe.product == "GRD":
        intensity = detected(frame, ground, this.slant_ranges(swath), **options)
        return np.clip(np.rint(np.sqrt(intensity)), 0, 65535).astype(np.uint16)
    image = quantised(slc(frame, ground, **options))
    top, bottom, left, right = swath.valid[burst]
    measured = np.zeros(image.shape[:2], bool)
    measured[top : bottom + 1, left : right + 1] = True
    image[~measured] = 0
    return image


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _ranges(this: S1Plan, swath: SwathPlan) -> Floats:
    """Return the slant range of each sample, m; of a GRD at mid time."""
    if this.recipe.product == "GRD":
        return np.asarray(this.slant_ranges(swath)[swath.lines // 2])
    return np.asarray(LIGHT / 2 * (swath.range_time + np.arange(swath.samples) / swath.range.rate))


def _noise_range(this: S1Plan, swath: SwathPlan, pixels: NDArray[np.int64]) -> Floats:
    """Return the power of the noise along the range: weakest at mid swath, where the antenna is best."""
    x = 2 * pixels / (swath.samples - 1) - 1
    level = 10 ** (max(this.recipe.noise, -300.0) / 10)
    return np.asarray(this.recipe.calibration**2 * level * (1 + 0.5 * x**2))


def _noise_lines(swath: SwathPlan) -> tuple[NDArray[np.int64], Floats]:
    """Return lines and the factor of the noise there: it grows towards the ends of each burst."""
    inside = np.unique(np.append(np.arange(0, swath.lines, 10), swath.lines - 1))
    y = 2 * inside / (swath.lines - 1) - 1
    count = len(swath.times)
    return (inside + swath.lines * np.arange(count)[:, None]).ravel(), np.tile(1 + 0.15 * y**2, count)


def _corners(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the outline of places, (longitude, latitude)."""
    from scipy.spatial import ConvexHull

    places = np.array(points)
    places[:, 0] = np.unwrap(places[:, 0], period=360)
    return [(float(x), float(y)) for x, y in places[ConvexHull(places).vertices]]


def _representation(name: str) -> str:
    for start, kind in (
        ("annotation/calibration/c", "Calibration"), ("annotation/calibration/n", "Noise"), ("a", "Product"),
    ):  # fmt: skip
        if name.startswith(start):
            return f"s1Level1{kind}Schema"
    return "s1Level1MeasurementSchema"


def _manifest(work: Path, this: S1Plan, parts: list[Part], ring: list[tuple[float, float]]) -> str:
    """Return the manifest of the files that are there."""
    objects = []
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        name = path.relative_to(work).as_posix()
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
        mime = "text/xml" if path.suffix == ".xml" else "application/octet-stream"
        objects.append(
            f'<dataObject ID="{path.stem.replace("-", "")}" repID="{_representation(name)}">'
            f'<byteStream mimeType="{mime}" size="{path.stat().st_size}">'
            f'<fileLocation locatorType="URL" href="./{name}"/><checksum checksumName="MD5">{checksum}</checksum>'
            "</byteStream></dataObject>\n"
        )
    sections = "".join(
        f'<metadataObject ID="{name}" classification="DESCRIPTION" category="DMD">'
        f'<metadataWrap mimeType="text/xml" vocabularyName="SAFE"><xmlData>{body}</xmlData></metadataWrap>'
        "</metadataObject>\n"
        for name, body in _sections(this, parts, ring).items()
    )
    recipe = this.recipe
    kind = f"{recipe.product.lower()}/standard/iw{'d' if len(recipe.polarisations) > 1 else 's'}p"
    return (
        f'{HEAD}<xfdu:XFDU {_NAMESPACES} version="esa/safe/sentinel-1.0/sentinel-1/sar/level-1/{kind}">\n'
        "<informationPackageMap>"
        f'<xfdu:contentUnit textInfo="Sentinel-1 IW Level-1 {recipe.product} Product"/></informationPackageMap>\n'
        f"<metadataSection>\n{sections}</metadataSection>\n"
        f"<dataObjectSection>\n{''.join(objects)}</dataObjectSection>\n</xfdu:XFDU>\n"
    )


def _sections(this: S1Plan, parts: list[Part], ring: list[tuple[float, float]]) -> dict[str, str]:
    recipe = this.recipe
    start, stop = min(part.start for part in parts), max(part.stop for part in parts)
    swaths = "".join(f"<s1sarl1:swath>{name}</s1sarl1:swath>" for name in dict.fromkeys(p.swath.name for p in parts))
    tags = "".join(
        f"<s1sarl1:transmitterReceiverPolarisation>{name}</s1sarl1:transmitterReceiverPolarisation>"
        for name in recipe.polarisations
    )
    numbers = "".join(
        f'<safe:{tag} type="{end}">{number}</safe:{tag}>'
        for tag, number in (("orbitNumber", recipe.absolute_orbit), ("relativeOrbitNumber", recipe.relative_orbit))
        for end in ("start", "stop")
    )
    anx = [(time - this.node_time).total_seconds() * 1000 for time in (start, stop)]
    return {
        "processing": (
            f'<safe:processing name="{recipe.product} Post Processing"><safe:facility name="sensetrack simulator">'
            f'<safe:software name="Sentinel-1 IPF" version="{recipe.ipf}"/></safe:facility></safe:processing>'
        ),
        "platform": (
            "<safe:platform><safe:nssdcIdentifier>2014-016A</safe:nssdcIdentifier>"
            f"<safe:familyName>SENTINEL-1</safe:familyName><safe:number>{recipe.platform}</safe:number>"
            '<safe:instrument><safe:familyName abbreviation="SAR">Synthetic Aperture Radar</safe:familyName>'
            f"<safe:extension><s1sarl1:instrumentMode><s1sarl1:mode>IW</s1sarl1:mode>{swaths}"
            "</s1sarl1:instrumentMode></safe:extension></safe:instrument></safe:platform>"
        ),
        "measurementOrbitReference": (
            f"<safe:orbitReference>{numbers}<safe:extension><s1:orbitProperties>"
            f"<s1:pass>{'ASCENDING' if recipe.ascending else 'DESCENDING'}</s1:pass>"
            f"<s1:ascendingNodeTime>{this.node_time:%Y-%m-%dT%H:%M:%S.%f}</s1:ascendingNodeTime>"
            "</s1:orbitProperties></safe:extension></safe:orbitReference>"
        ),
        "generalProductInformation": (
            f"<s1sarl1:standAloneProductInformation><s1sarl1:missionDataTakeID>{recipe.datatake}"
            f"</s1sarl1:missionDataTakeID>{tags}<s1sarl1:productClass>S</s1sarl1:productClass>"
            f"<s1sarl1:productComposition>Individual</s1sarl1:productComposition>"
            f"<s1sarl1:productType>{recipe.product}</s1sarl1:productType>"
            "<s1sarl1:sliceProductFlag>false</s1sarl1:sliceProductFlag></s1sarl1:standAloneProductInformation>"
        ),
        "acquisitionPeriod": (
            f"<safe:acquisitionPeriod><safe:startTime>{start:%Y-%m-%dT%H:%M:%S.%f}</safe:startTime>"
            f"<safe:stopTime>{stop:%Y-%m-%dT%H:%M:%S.%f}</safe:stopTime><safe:extension><s1:timeANX>"
            f"<s1:startTimeANX>{anx[0]:.6e}</s1:startTimeANX><s1:stopTimeANX>{anx[1]:.6e}</s1:stopTimeANX>"
            "</s1:timeANX></safe:extension></safe:acquisitionPeriod>"
        ),
        "measurementFrameSet": (
            '<safe:frameSet><safe:frame><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
            f"<gml:coordinates>{' '.join(f'{lat:.6f},{lon:.6f}' for lon, lat in ring)}</gml:coordinates>"
            "</safe:footPrint></safe:frame></safe:frameSet>"
        ),
    }


def _zip(root: Path) -> Path:
    """Pack a product as it comes from a download, and remove the folder."""
    path = root.with_name(f"{root.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    shutil.rmtree(root)
    return path
