"""The XML of images of synthetic Sentinel-1 products: annotation, calibration and noise, in the tags of real ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.sar.scatterers import axes, from_earth
from sensetrack.sentinel.simulate_s1_plan import FREQUENCY, LIGHT, heading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.sentinel.simulate_s1_plan import S1Plan, SwathPlan

    Floats = NDArray[np.float64]

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Part(NamedTuple):
    """One image of a product: a swath in one polarisation."""

    plan: S1Plan
    swath: SwathPlan
    polarisation: str
    number: int
    """Of the image in its product, from 1."""

    @property
    def start(self) -> datetime:
        """Time of the first line."""
        return self.plan.epoch + timedelta(seconds=self.swath.times[0])

    @property
    def stop(self) -> datetime:
        """Time of the last line."""
        last = self.swath.times[-1] + (self.swath.lines - 1) * self.swath.line_interval
        return self.plan.epoch + timedelta(seconds=last)

    @property
    def name(self) -> str:
        """What its files are called, without suffix."""
        recipe = self.plan.recipe
        kind = f"{self.swath.name}-{recipe.product}-{self.polarisation}".lower()
        times = "-".join(f"{time:%Y%m%dt%H%M%S}" for time in (self.start, self.stop))
        orbit = f"{recipe.absolute_orbit:06d}-{recipe.datatake:06x}"
        return f"s1{recipe.platform.lower()}-{kind}-{times}-{orbit}-{self.number:03d}"

    def time(self, seconds: float) -> str:
        """Return a time as it is annotated."""
        return f"{self.plan.epoch + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}"

    @property
    def header(self) -> str:
        """What every file says at its top."""
        recipe = self.plan.recipe
        times = "".join(
            f"<{tag}>{time:%Y-%m-%dT%H:%M:%S.%f}</{tag}>"
            for tag, time in (("startTime", self.start), ("stopTime", self.stop))
        )
        return (
            f"<adsHeader><missionId>S1{recipe.platform}</missionId><productType>{recipe.product}</productType>"
            f"<polarisation>{self.polarisation}</polarisation><mode>IW</mode><swath>{self.swath.name}</swath>{times}"
            f"<absoluteOrbitNumber>{recipe.absolute_orbit}</absoluteOrbitNumber>"
            f"<missionDataTakeId>{recipe.datatake}</missionDataTakeId>"
            f"<imageNumber>{self.number:03d}</imageNumber></adsHeader>\n"
        )


def _numbers(values: Iterable[float], form: str = ".15e") -> str:
    return " ".join(f"{value:{form}}" for value in values)


def _list(tag: str, items: list[str], inner: str) -> str:
    body = "".join(f"<{inner}>{item}</{inner}>\n" for item in items)
    return f'<{tag} count="{len(items)}">{body}</{tag}>\n'


def _tags(**values: Any) -> str:
    return "".join(
        f"<{tag}>{f'{value:.15e}' if isinstance(value, float) else value}</{tag}>" for tag, value in values.items()
    )


def annotation(part: Part, geolocation: str, height: float, first_byte: int) -> str:
    """Return the annotation of an image.

    Parameters
    ----------
    part : Part
    geolocation : str
        See `geolocation`.
    height : float
        Mean height of the ground, m.
    first_byte : int
        Where the pixels begin in the measurement.
    """
    sections = (
        part.header,
        _general(part, height),
        _image(part, height),
        _list("dcEstimateList", _doppler(part), "dcEstimate").join(("<dopplerCentroid>", "</dopplerCentroid>\n")),
        '<antennaPattern><antennaPatternList count="0"/></antennaPattern>\n',
        _timing(part, first_byte),
        f"<geolocationGrid>{geolocation}</geolocationGrid>\n",
        f"<coordinateConversion>{_conversions(part)}</coordinateConversion>\n",
        f"<swathMerging>{_merging(part)}</swathMerging>\n",
    )
    return f"{HEAD}<product>\n{''.join(sections)}</product>\n"


def _general(part: Part, height: float) -> str:
    plan, swath = part.plan, part.swath
    direction = "Ascending" if plan.recipe.ascending else "Descending"
    information = _tags(
        **{"pass": direction}, timelinessCategory="NRT-3h", platformHeading=heading(plan.track, swath.middle),
        projection="Ground Range" if plan.recipe.product == "GRD" else "Slant Range",
        rangeSamplingRate=float(swath.range.rate), radarFrequency=FREQUENCY,
        azimuthSteeringRate=float(swath.steering or 1.590368784),
    )  # fmt: skip
    start = part.time(swath.times[0])
    downlink = _tags(swath="IW1" if swath.name == "IW" else swath.name, azimuthTime=start, prf=swath.prf)
    vectors = [
        f"<time>{part.time(t)}</time><frame>Earth Fixed</frame>"
        f"<position>{_xyz(p)}</position><velocity>{_xyz(v)}</velocity>"
        for t, p, v in zip(plan.orbit.times, plan.orbit.position, plan.orbit.velocity, strict=True)
    ]
    rates = []
    for time, t0, coefficients in swath.fm_rates:
        record = _tags(azimuthTime=part.time(time), t0=t0)
        if plan.recipe.ipf < "002.43":
            record += "".join(f"<c{k}>{value:.15e}</c{k}>" for k, value in enumerate(coefficients))
        else:
            polynomial = _numbers(coefficients)
            record += f'<azimuthFmRatePolynomial count="{len(coefficients)}">{polynomial}</azimuthFmRatePolynomial>'
        rates.append(record)
    body = (
        f"<productInformation>{information}</productInformation>\n"
        + _list("downlinkInformationList", [downlink], "downlinkInformation")
        + _list("orbitList", vectors, "orbit")
        + _list("terrainHeightList", [_tags(azimuthTime=start, value=float(height))], "terrainHeight")
        + _list("azimuthFmRateList", rates, "azimuthFmRate")
    )
    return f"<generalAnnotation>\n{body}</generalAnnotation>\n"


def _xyz(vector: Floats) -> str:
    return "".join(f"<{axis}>{value:.15e}</{axis}>" for axis, value in zip("xyz", vector, strict=True))


def _image(part: Part, height: float) -> str:
    plan, swath, recipe = part.plan, part.swath, part.plan.recipe
    grd = recipe.product == "GRD"
    frame = plan.frame(swath)
    middle = swath.middle
    middle_range = np.array((frame.near_range + frame.far_range) / 2)
    place = plan.track.ground(middle, middle_range, height)
    lon, lat, _ = from_earth(place)
    speed = float(plan.track.ground_speed(place, np.array(middle), axes(lon, lat)[2]))
    information = _tags(
        productFirstLineUtcTime=f"{part.start:%Y-%m-%dT%H:%M:%S.%f}",
        productLastLineUtcTime=f"{part.stop:%Y-%m-%dT%H:%M:%S.%f}",
        ascendingNodeTime=f"{plan.node_time:%Y-%m-%dT%H:%M:%S.%f}", productComposition="Individual", sliceNumber=0,
        slantRangeTime=swath.range_time, pixelValue="Detected" if grd else "Complex",
        outputPixels="16 bit Unsigned Integer" if grd else "16 bit Signed Integer",
        rangePixelSpacing=plan.ground_spacing if grd else LIGHT / 2 / swath.range.rate,
        azimuthPixelSpacing=speed * swath.line_interval, azimuthTimeInterval=swath.line_interval,
        azimuthFrequency=1 / swath.line_interval, numberOfSamples=swath.samples, numberOfLines=swath.rows,
        incidenceAngleMidSwath=float(incidence(plan, middle, middle_range, height)),
    )  # fmt: skip
    bands = [
        _band("range", swath.range, swath.looks),
        _band("azimuth", swath.azimuth, ()),
        _tags(processorScalingFactor=1.0),
    ]
    names = ("IW1", "IW2", "IW3") if grd else (swath.name,)
    parameters = [f"<swath>{name}</swath>{''.join(bands)}" for name in names]
    processing = _tags(
        rangeSpreadingLossCompensationApplied="true", srgrConversionApplied=str(grd).lower(),
        detectionPerformed=str(grd).lower(), thermalNoiseCorrectionPerformed="false",
    )  # fmt: skip
    processing += _list("swathProcParamsList", parameters, "swathProcParams") + _tags(
        ellipsoidName="WGS84", ellipsoidSemiMajorAxis=6378137.0, ellipsoidSemiMinorAxis=6356752.314245,
        bistaticDelayCorrectionApplied="true", orbitSource="Auxiliary",
    )  # fmt: skip
    return (
        f"<imageAnnotation>\n<imageInformation>{information}</imageInformation>\n"
        f"<processingInformation>{processing}</processingInformation>\n</imageAnnotation>\n"
    )


def _band(axis: str, band: Any, looks: tuple[Any, ...]) -> str:
    one = looks[0] if looks else band
    overlap = one.width - (looks[1].centre - looks[0].centre) if looks else 0.0
    body = _tags(
        windowType="Hamming", windowCoefficient=float(one.hamming), totalBandwidth=float(band.width),
        processingBandwidth=float(band.width), lookBandwidth=float(one.width), numberOfLooks=max(len(looks), 1),
        lookOverlap=float(overlap),
    )  # fmt: skip
    return f"<{axis}Processing>{body}</{axis}Processing>"


def _doppler(part: Part) -> list[str]:
    out = []
    for time, t0, coefficients in part.swath.doppler:
        polynomial = _numbers(coefficients)
        # The geometric centroid differs from the measured one, as in nature.
        geometric = _numbers([coefficients[0] / 2, 0.0, 0.0])
        out.append(
            _tags(azimuthTime=part.time(time), t0=t0)
            + f'<geometryDcPolynomial count="3">{geometric}</geometryDcPolynomial>'
            + f'<dataDcPolynomial count="{len(coefficients)}">{polynomial}</dataDcPolynomial>'
            + _tags(dataDcRmsError=5.0)
        )
    return out


def _timing(part: Part, first_byte: int) -> str:
    plan, swath = part.plan, part.swath
    if plan.recipe.product == "GRD":
        return (
            "<swathTiming><linesPerBurst>0</linesPerBurst><samplesPerBurst>0</samplesPerBurst>"
            '<burstList count="0"/></swathTiming>\n'
        )
    bursts = []
    node = (plan.epoch - plan.node_time).total_seconds()
    for k, (time, (top, bottom, left, right)) in enumerate(zip(swath.times, swath.valid, strict=True)):
        line = np.arange(swath.lines)
        good = (line >= top) & (line <= bottom)
        ends = (" ".join(map(str, np.where(good, end, -1))) for end in (left, right))
        record = _tags(
            azimuthTime=part.time(time), azimuthAnxTime=time + node,
            sensingTime=part.time(time + 0.38 * swath.lines * swath.line_interval),
            byteOffset=first_byte + k * swath.lines * swath.samples * 4,
        )  # fmt: skip
        for tag, text in zip(("firstValidSample", "lastValidSample"), ends, strict=True):
            record += f'<{tag} count="{swath.lines}">{text}</{tag}>'
        if plan.recipe.ipf >= "003.40" and swath.burst_ids:
            absolute = 375887 * 7 + swath.burst_ids[k]
            record += f'<burstId absolute="{absolute}">{swath.burst_ids[k]}</burstId>'
        bursts.append(record)
    return (
        f"<swathTiming><linesPerBurst>{swath.lines}</linesPerBurst><samplesPerBurst>{swath.samples}</samplesPerBurst>"
        f"{_list('burstList', bursts, 'burst')}</swathTiming>\n"
    )


def _conversions(part: Part) -> str:
    if part.plan.recipe.product != "GRD":
        return '<coordinateConversionList count="0"/>'
    records = []
    for one in part.plan.conversions(part.swath):
        record = _tags(azimuthTime=part.time(one.time), slantRangeTime=part.swath.range_time, sr0=one.origin)
        record += f'<srgrCoefficients count="{one.to_ground.size}">{_numbers(one.to_ground)}</srgrCoefficients>'
        record += _tags(gr0=0.0)
        record += f'<grsrCoefficients count="{one.to_slant.size}">{_numbers(one.to_slant)}</grsrCoefficients>'
        records.append(record)
    return _list("coordinateConversionList", records, "coordinateConversion")


def _merging(part: Part) -> str:
    swath = part.swath
    if part.plan.recipe.product != "GRD":
        return '<swathMergeList count="0"/>'
    edges = [round(k * swath.samples / 3) for k in range(4)]
    merged = []
    for name, left, right in zip(("IW1", "IW2", "IW3"), edges[:-1], edges[1:], strict=True):
        bounds = _tags(
            firstAzimuthLine=0, firstRangeSample=left, lastAzimuthLine=swath.lines - 1, lastRangeSample=right - 1
        )
        merged.append(f"<swath>{name}</swath>{_list('swathBoundsList', [bounds], 'swathBounds')}")
    return _list("swathMergeList", merged, "swathMerge")


def incidence(plan: S1Plan, time: float, slant_range: Floats, height: float) -> Floats:
    """Return the angle between the line of sight and the vertical, degrees."""
    places = plan.track.ground(time, slant_range, height)
    lon, lat, _ = from_earth(places)
    line = plan.track(time) - places
    cosine = np.sum(line * axes(lon, lat)[2], axis=-1) / np.linalg.norm(line, axis=-1)
    return np.asarray(np.degrees(np.arccos(cosine))).squeeze()


def geolocation(part: Part, heights: Callable[[Floats, Floats], Floats]) -> tuple[str, tuple[tuple[float, ...], ...]]:
    """Return the grid of geolocation, and its points as (column, row, lon, lat, height).

    `heights` takes degrees.
    """
    plan, swath = part.plan, part.swath
    frame = plan.frame(swath)
    pixels = np.unique(np.linspace(0, swath.samples - 1, 21).round()).astype(int)
    if plan.recipe.product == "GRD":
        lines = np.unique(np.linspace(0, swath.lines - 1, 10).round()).astype(int)
        times = swath.times[0] + lines * swath.line_interval
        ranges = plan.slant_ranges(swath)[np.ix_(lines, pixels)]
    else:
        lines = np.array([k * swath.lines for k in range(len(swath.times))] + [swath.rows - 1])
        times = np.array([*swath.times, swath.times[-1] + (swath.lines - 1) * swath.line_interval])
        ranges = np.broadcast_to(frame.near_range + pixels * frame.range_spacing, (lines.size, pixels.size))
    height = np.zeros(ranges.shape)
    for _ in range(6):  # of heights that change slowly this is the surface; of others a place near by, as at ESA
        places = plan.track.ground(times[:, None], ranges, height)
        lon, lat, known = from_earth(places)
        height = heights(lon, lat)
    line = plan.track(times)[:, None] - places
    distance = np.linalg.norm(line, axis=-1)
    angle = np.degrees(np.arccos(np.sum(line * axes(lon, lat)[2], axis=-1) / distance))
    nadir = np.broadcast_to(plan.track(times)[:, None], line.shape)
    look = np.degrees(np.arccos(np.sum(line * nadir, axis=-1) / distance / np.linalg.norm(nadir, axis=-1)))
    points, ties = [], []
    for i, j in np.ndindex(ranges.shape):
        points.append(
            _tags(
                azimuthTime=part.time(float(times[i])), slantRangeTime=float(2 * ranges[i, j] / LIGHT), line=lines[i],
                pixel=pixels[j], latitude=float(lat[i, j]), longitude=float(lon[i, j]), height=float(known[i, j]),
                incidenceAngle=float(angle[i, j]), elevationAngle=float(look[i, j]),
            )
        )  # fmt: skip
        ties.append((float(pixels[j]), float(lines[i]), float(lon[i, j]), float(lat[i, j]), float(known[i, j])))
    return _list("geolocationGridPointList", points, "geolocationGridPoint"), tuple(ties)


def calibration(part: Part, pixels: NDArray[np.int64], angles: Floats) -> str:
    """Return the calibration: `angles` are the incidence angles of the pixels, degrees."""
    swath, beta = part.swath, part.plan.recipe.calibration
    theta = np.radians(angles)
    values = {
        "sigmaNought": beta / np.sqrt(np.sin(theta)),
        "betaNought": np.full(theta.shape, beta),
        "gamma": beta / np.sqrt(np.tan(theta)),
        "dn": np.full(theta.shape, beta),
    }
    vectors = []
    last = swath.times[-1] - swath.times[0] + swath.lines * swath.line_interval
    # Vectors are each second and know nothing of bursts; the first lies before the image.
    for second in np.arange(-1.0, np.ceil(last) + 1):
        line = round(second / swath.line_interval)
        record = _tags(azimuthTime=part.time(swath.times[0] + second), line=line)
        record += f'<pixel count="{pixels.size}">{" ".join(map(str, pixels))}</pixel>'
        for tag, numbers in values.items():
            record += f'<{tag} count="{pixels.size}">{_numbers(numbers, ".9e")}</{tag}>'
        vectors.append(record)
    constant = f"<calibrationInformation>{_tags(absoluteCalibrationConstant=1.0)}</calibrationInformation>\n"
    body = part.header + constant + _list("calibrationVectorList", vectors, "calibrationVector")
    return f"{HEAD}<calibration>\n{body}</calibration>\n"


def noise(part: Part, pixels: NDArray[np.int64], power: Floats, lines: NDArray[np.int64], factor: Floats) -> str:
    """Return the noise: power along the range at `pixels`, and a factor along the azimuth at `lines`."""
    swath, old = part.swath, part.plan.recipe.ipf < "002.90"
    tag = "noise" if old else "noiseRange"
    vectors = []
    # Without azimuth vectors the factor is in the vectors, line by line.
    for line, scale in zip(lines, factor, strict=True) if old else [(0, 1.0), (swath.rows - 1, 1.0)]:
        record = _tags(azimuthTime=part.time(swath.times[0] + int(line) * swath.line_interval), line=int(line))
        record += f'<pixel count="{pixels.size}">{" ".join(map(str, pixels))}</pixel>'
        record += f'<{tag}Lut count="{pixels.size}">{_numbers(power * scale, ".9e")}</{tag}Lut>'
        vectors.append(record)
    body = part.header + _list(f"{tag}VectorList", vectors, f"{tag}Vector")
    if not old:
        record = _tags(
            swath="IW1" if swath.name == "IW" else swath.name, firstAzimuthLine=0, firstRangeSample=0,
            lastAzimuthLine=swath.rows - 1, lastRangeSample=swath.samples - 1,
        )  # fmt: skip
        record += f'<line count="{lines.size}">{" ".join(map(str, lines))}</line>'
        record += f'<noiseAzimuthLut count="{lines.size}">{_numbers(factor, ".9e")}</noiseAzimuthLut>'
        body += _list("noiseAzimuthVectorList", [record], "noiseAzimuthVector")
    return f"{HEAD}<noise>\n{body}</noise>\n"
