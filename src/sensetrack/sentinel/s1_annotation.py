"""The annotation of a Sentinel-1 swath: timing, geometry, orbit, bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from sensetrack.errors import InputError, MetadataError, one_line
from sensetrack.sar.orbit import Orbit
from sensetrack.sar.radargrid import SPEED_OF_LIGHT, GroundRange, RadarGrid
from sensetrack.sar.tops import Burst, RangePolynomial, nearest, steering_rate
from sensetrack.sentinel.s1_types import Focusing, GeolocationGrid, SwathInfo

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.sentinel.s1_types import S1Info
    from sensetrack.sentinel.s1_xml import Node

_IMAGE = "imageAnnotation/imageInformation"
_RADAR = "generalAnnotation/productInformation"
_RELATIVE_ORBITS = 175
ORBIT_PERIOD = 12 * 86_400 / _RELATIVE_ORBITS
"""Seconds: a cycle of 12 days has 175 orbits."""
BURST_CYCLE = {"IW": (2.299849, 2.758273), "EW": (2.299970, 3.038376)}
"""Seconds from the equator to burst 1 of track 1, and from burst to burst."""
_GRID = {
    "lines": "line", "pixels": "pixel", "range_times": "slantRangeTime", "latitude": "latitude",
    "longitude": "longitude", "height": "height", "incidence": "incidenceAngle", "elevation": "elevationAngle",
}  # fmt: skip


def read_swath(annotation: Node, key: str, product: S1Info) -> SwathInfo:
    """Return what the top of an annotation says, held against the manifest of its product.

    Raises
    ------
    MetadataError
        A tag is missing or cannot be understood.
    InputError
        The annotation is that of another product or swath.
    """
    header = annotation.child("adsHeader")
    swath, polarisation = header.text("swath").upper(), header.text("polarisation").upper()
    true = {
        "missionId": product.platform,
        "mode": product.mode,
        "productType": product.product,
        "absoluteOrbitNumber": f"{product.absolute_orbit}",
        "swath": key.partition("/")[0].upper(),
        "polarisation": key.partition("/")[2].upper(),
    }
    for tag, value in true.items():
        said = header.text(tag).upper()
        # The mode of a stripmap annotation is its beam; a product may begin in one orbit and end in the next.
        beam = tag == "mode" and product.mode == "SM"
        later = tag == "absoluteOrbitNumber" and said == f"{product.absolute_orbit + 1}"
        if said != value and not beam and not later:
            message = f"{tag} must be that of its product, {value}, instead got {one_line(said)}"
            raise InputError(message, path=annotation.path, advice="download it again")
    focus = _processing(annotation, swath)
    return SwathInfo(
        name=key,
        swath=swath,
        polarisation=polarisation,
        platform=product.platform,
        mode=product.mode,
        product=product.product,
        start=annotation.time(f"{_IMAGE}/productFirstLineUtcTime"),
        stop=annotation.time(f"{_IMAGE}/productLastLineUtcTime"),
        lines=_size(annotation, f"{_IMAGE}/numberOfLines"),
        samples=_size(annotation, f"{_IMAGE}/numberOfSamples"),
        projection=_projection(annotation),
        range_spacing=annotation.above(f"{_IMAGE}/rangePixelSpacing"),
        azimuth_spacing=annotation.above(f"{_IMAGE}/azimuthPixelSpacing"),
        line_interval=annotation.above(f"{_IMAGE}/azimuthTimeInterval"),
        range_time=annotation.above(f"{_IMAGE}/slantRangeTime"),
        range_sampling_rate=annotation.above(f"{_RADAR}/rangeSamplingRate"),
        radar_frequency=annotation.above(f"{_RADAR}/radarFrequency"),
        steering_rate=float(np.radians(annotation.number(f"{_RADAR}/azimuthSteeringRate", "0"))),
        heading=float(np.radians(annotation.number(f"{_RADAR}/platformHeading"))),
        incidence=float(np.radians(annotation.above(f"{_IMAGE}/incidenceAngleMidSwath"))),
        orbit_source=annotation.text("imageAnnotation/processingInformation/orbitSource", "unknown"),
        lines_per_burst=annotation.whole("swathTiming/linesPerBurst", "0"),
        samples_per_burst=annotation.whole("swathTiming/samplesPerBurst", "0"),
        range_focusing=focus[0],
        azimuth_focusing=focus[1],
    )


def require_swath(document: Node, key: str) -> Node:
    """Return a table of calibration or noise, which must be that of a swath, such as iw1/vv, where it says of which.

    Raises
    ------
    InputError
        It is that of another one.
    """
    header = document.maybe("adsHeader")
    if header is not None:
        said = "/".join(header.text(tag, "").lower() for tag in ("swath", "polarisation"))
        if said != key:
            message = f"must be of swath {key}, as its name says, instead got {one_line(said)}"
            raise InputError(message, path=document.path, advice="download it again")
    return document


def _size(annotation: Node, where: str) -> int:
    size = annotation.whole(where)
    if not 0 < size < 2**31:
        name = where.rpartition("/")[2]
        raise MetadataError(f"{name} must be a number of pixels, instead got {size}", path=annotation.path)
    return size


def _projection(annotation: Node) -> Literal["slant", "ground"]:
    text = annotation.text(f"{_RADAR}/projection").lower()
    if text.startswith("slant"):
        return "slant"
    if text.startswith("ground"):
        return "ground"
    message = f"projection must be Slant Range or Ground Range, instead got {one_line(text)!r}"
    raise MetadataError(message, path=annotation.path)


def _processing(annotation: Node, swath: str) -> tuple[Focusing | None, Focusing | None]:
    listed = annotation.all("imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    own = [found for found in listed if found.text("swath", "").upper() == swath] or listed[:1]
    if not own:
        return None, None
    both = [own[0].maybe(f"{kind}Processing") for kind in ("range", "azimuth")]
    return tuple(None if found is None else _focusing(found) for found in both)  # type: ignore[return-value]


def _focusing(found: Node) -> Focusing:
    return Focusing(
        found.text("windowType", "").capitalize(),
        found.number("windowCoefficient", "1"),
        found.above("totalBandwidth"),
        found.above("processingBandwidth"),
        found.above("lookBandwidth"),
        found.whole("numberOfLooks", "1"),
    )


def read_orbit_of(annotation: Node, info: SwathInfo, epoch: datetime) -> Orbit:
    """Return the orbit that is annotated.

    Raises
    ------
    MetadataError
        State vectors are missing, unreadable, or not fixed to the Earth.
    """
    vectors = annotation.all("generalAnnotation/orbitList/orbit")
    for vector in vectors:
        frame = vector.text("frame", "Earth Fixed")
        if frame.lower() != "earth fixed":
            message = f"frame of an orbit must be Earth Fixed, instead got {one_line(frame)!r}"
            raise MetadataError(message, path=annotation.path)
    try:
        return Orbit(
            epoch,
            np.array([vector.seconds("time", epoch) for vector in vectors]),
            np.array([[vector.number(f"position/{axis}") for axis in "xyz"] for vector in vectors]).reshape(-1, 3),
            np.array([[vector.number(f"velocity/{axis}") for axis in "xyz"] for vector in vectors]).reshape(-1, 3),
            "annotation",
            "auxiliary" if info.orbit_source == "Auxiliary" else "downlink",
        )
    except InputError as error:
        if isinstance(error, MetadataError):
            raise
        raise MetadataError(f"orbitList: {error.cause}", path=annotation.path) from error


def read_geolocation(annotation: Node, epoch: datetime, first_line: int = 0) -> GeolocationGrid:
    """Return the grid of geolocation.

    Raises
    ------
    MetadataError
        A number is missing or unreadable, or the points are not those of a grid.
    """
    points = annotation.all("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    values = {name: np.array([point.number(tag) for point in points]) for name, tag in _GRID.items()}
    values["times"] = np.array([point.seconds("azimuthTime", epoch) for point in points])
    columns = int((values["lines"] == values["lines"][0]).sum()) if points else 0
    if not columns or len(points) % columns or np.ptp(values["pixels"].reshape(-1, columns), axis=0).any():
        message = f"geolocationGridPointList must hold a grid of points, instead got {len(points)} that are none"
        raise MetadataError(message, path=annotation.path, advice="download it again")
    shaped = {name: numbers.reshape(-1, columns) for name, numbers in values.items()}
    shaped["lines"] = shaped["lines"] - first_line
    for name in ("incidence", "elevation"):
        shaped[name] = np.radians(shaped[name])
    return GeolocationGrid(**shaped)


def read_polynomials(
    annotation: Node, epoch: datetime
) -> tuple[tuple[RangePolynomial, ...], tuple[RangePolynomial, ...]]:
    """Return Doppler centroids (Hz) and azimuth FM rates (Hz/s), each ordered in time.

    A Doppler centroid is the one that was measured in the data, or, where there is none, the geometric one.
    """
    doppler = [
        RangePolynomial(
            record.seconds("azimuthTime", epoch),
            record.number("t0"),
            record.numbers("dataDcPolynomial" if record.text("dataDcPolynomial", "") else "geometryDcPolynomial"),
        )
        for record in annotation.all("dopplerCentroid/dcEstimateList/dcEstimate")
    ]
    rates = [
        RangePolynomial(record.seconds("azimuthTime", epoch), record.number("t0"), _rate(record))
        for record in annotation.all("generalAnnotation/azimuthFmRateList/azimuthFmRate")
    ]
    return tuple(sorted(doppler, key=_time)), tuple(sorted(rates, key=_time))


def _time(record: RangePolynomial) -> float:
    return record.time


def _rate(record: Node) -> NDArray[np.float64]:
    """Coefficients of an FM rate: a list, or one tag for each in products before 2015."""
    if record.maybe("azimuthFmRatePolynomial") is not None:
        return record.numbers("azimuthFmRatePolynomial")
    return np.array([record.number(tag) for tag in ("c0", "c1", "c2")])


def read_ground_range(annotation: Node, info: SwathInfo, epoch: datetime) -> GroundRange | None:
    """Return how samples of a product in ground range go with slant range; None in slant range."""
    if info.projection == "slant":
        return None
    where = "coordinateConversion/coordinateConversionList/coordinateConversion"
    records = sorted(annotation.all(where), key=lambda record: record.seconds("azimuthTime", epoch))
    if not records:
        raise MetadataError("coordinateConversionList is empty, although the product is in ground range",
                            path=annotation.path, advice="download it again")  # fmt: skip
    inverse = all(record.text("grsrCoefficients", "") for record in records)
    try:
        return GroundRange(
            np.array([record.seconds("azimuthTime", epoch) for record in records]),
            np.array([record.number("sr0") for record in records]),
            _stacked([record.numbers("srgrCoefficients") for record in records]),
            _stacked([record.numbers("grsrCoefficients") for record in records]) if inverse else None,
            info.range_spacing,
            np.array([record.number("gr0", "0") for record in records]),
        )
    except InputError as error:
        error.path = error.path or annotation.path
        raise


def _stacked(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Put polynomials of different degrees into one array."""
    out = np.zeros((len(rows), max(row.size for row in rows)))
    for filled, row in zip(out, rows, strict=True):
        filled[: row.size] = row
    return out


def radar_grid_of(annotation: Node, info: SwathInfo, orbit: Orbit, epoch: datetime) -> RadarGrid:
    """Return where the pixels of a swath are; those of a TOPS SLC after its bursts are merged.

    Raises
    ------
    InputError
        The orbit does not cover the image.
    """
    times = [burst.seconds("azimuthTime", epoch) for burst in _bursts(annotation)]
    first, lines = annotation.seconds(f"{_IMAGE}/productFirstLineUtcTime", epoch), info.lines
    if times and info.product == "SLC":
        first = times[0]
        lines = round((times[-1] - first) / info.line_interval) + info.lines_per_burst
    try:
        grid = RadarGrid(
            lines=lines,
            samples=info.samples,
            epoch=epoch,
            first_time=first,
            line_interval=info.line_interval,
            near_range=0.5 * SPEED_OF_LIGHT * info.range_time,
            range_spacing=0.5 * SPEED_OF_LIGHT / info.range_sampling_rate if info.projection == "slant" else np.nan,
            look=1,
            wavelength=SPEED_OF_LIGHT / info.radar_frequency,
            orbit=orbit,
            ground=read_ground_range(annotation, info, epoch),
        )
        return grid.with_orbit(orbit)
    except InputError as error:
        error.path = error.path or annotation.path
        raise


def _bursts(annotation: Node) -> list[Node]:
    return annotation.all("swathTiming/burstList/burst")


def read_bursts(
    annotation: Node,
    info: SwathInfo,
    product: S1Info,
    orbit: Orbit,
    polynomials: tuple[tuple[RangePolynomial, ...], tuple[RangePolynomial, ...]],
) -> tuple[Burst, ...]:
    """Return the bursts of a TOPS SLC, in the order of the file; none for other products.

    `polynomials` are those of `read_polynomials`.

    Raises
    ------
    MetadataError
        Something of a burst is missing, unreadable, or does not fit the image.
    """
    if info.product != "SLC":
        return ()
    found, bursts = _bursts(annotation), []
    doppler, rates = polynomials
    lines, epoch = info.lines_per_burst, orbit.epoch
    if found and (lines < 1 or lines * len(found) != info.lines or info.samples_per_burst != info.samples):
        message = (
            f"{len(found)} bursts of {lines} x {info.samples_per_burst} must make the image, "
            f"{info.lines} x {info.samples}, which they do not"
        )
        raise MetadataError(message, path=annotation.path)
    for number, burst in enumerate(found):
        time = burst.seconds("azimuthTime", epoch)
        middle = time + 0.5 * (lines - 1) * info.line_interval
        speed = float(np.linalg.norm(orbit.state(middle)[1]))
        try:
            bursts.append(
                Burst(
                    line=number * lines,
                    time=time,
                    line_interval=info.line_interval,
                    range_time=info.range_time,
                    sample_interval=1 / info.range_sampling_rate,
                    first_valid=_edge(burst, "firstValidSample", lines),
                    last_valid=_edge(burst, "lastValidSample", lines),
                    samples=info.samples,
                    doppler=nearest(doppler, middle),
                    fm_rate=nearest(rates, middle),
                    steering=steering_rate(speed, info.radar_frequency, info.steering_rate),
                    burst_id=_burst_id(burst, info, product),
                    anx_time=burst.number("azimuthAnxTime"),
                )
            )
        except MetadataError as error:
            error.path = error.path or annotation.path
            raise
    return tuple(bursts)


def _edge(burst: Node, tag: str, lines: int) -> NDArray[np.int64]:
    values = burst.numbers(tag)
    if values.size != lines:
        message = f"{tag} must have {lines} values, one per line of a burst, instead got {values.size}"
        raise MetadataError(message, path=burst.path)
    return values.astype(np.int64)


def _burst_id(burst: Node, info: SwathInfo, product: S1Info) -> int | None:
    """Return the number of a burst on its track: annotated, or, before 2021, from the time since the equator."""
    if burst.text("burstId", ""):
        return burst.whole("burstId")
    return burst_id_at(
        burst.number("azimuthAnxTime") + 0.5 * info.lines_per_burst * info.line_interval,
        product.relative_orbit,
        info.mode,
    )


def burst_id_at(anx_time: float, relative_orbit: int, mode: str) -> int | None:
    """Return the number of a burst on its track.

    Parameters
    ----------
    anx_time : float
        Azimuth time of the middle of the burst, s since the ascending node.
    relative_orbit : int
    mode : str
        None is known for modes other than IW and EW.
    """
    if mode not in BURST_CYCLE:
        return None
    before, cycle = BURST_CYCLE[mode]
    return 1 + int(np.floor((anx_time + (relative_orbit - 1) * ORBIT_PERIOD - before) / cycle))
