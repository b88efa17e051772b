"""Small Sentinel-1 products, written from the description of the format and not with the reader."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

START = datetime(2023, 9, 4, 6, 37, 30, 213_065, UTC)
NODE = datetime(2023, 9, 4, 5, 56, 46, 992_390, UTC)
PIXELS = "0 20 40"


@dataclass(frozen=True)
class Recipe:
    """What a product is. The numbers differ from swath to swath, so that a mix-up shows."""

    platform: str = "S1A"
    mode: str = "IW"
    product: str = "SLC"
    swaths: tuple[str, ...] = ("IW1", "IW2")
    polarisations: tuple[str, ...] = ("VV", "VH")
    bursts: int = 2
    lines: int = 12
    """Of a burst, or of an image without bursts."""
    samples: int = 41
    start: datetime = START
    orbit_source: str = "Auxiliary"
    noise: str = "vectors"
    """vectors, table (before 2018), zero (the oldest), none."""
    burst_ids: bool = True
    fm_polynomial: bool = True
    relative_orbit: int = 52
    orbit_pass: str = "DESCENDING"
    letters: str = "DV"
    extra: dict[str, str] = field(default_factory=dict)
    """Texts replaced in every XML file."""

    @property
    def name(self) -> str:
        resolution = "_" if self.product == "SLC" else "H"
        times = f"{self.start:%Y%m%dT%H%M%S}_{self.start + timedelta(seconds=20):%Y%m%dT%H%M%S}"
        mode = self.swaths[0] if self.mode == "SM" else self.mode
        return f"{self.platform}_{mode}_{self.product}{resolution}_1S{self.letters}_{times}_050174_0609E3_DAA1"

    def file(self, swath: str, polarisation: str) -> str:
        kind = f"{self.platform}-{swath}-{self.product}-{polarisation}".lower()
        return f"{kind}-20230904t063731-20230904t063756-050174-0609e3-004"

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [(swath, pol) for swath in self.swaths for pol in self.polarisations]

    @property
    def tops(self) -> bool:
        return self.product == "SLC" and self.mode != "SM"

    @property
    def height(self) -> int:
        return self.lines * (self.bursts if self.tops else 1)


def iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}"


ATI = 2.055556299999998e-03
CYCLE = 2.758273
PREAMBLE = 2.299849


def burst_time(recipe: Recipe, number: int) -> datetime:
    return recipe.start + timedelta(seconds=1.0 + number * 10 * ATI)


def anx(recipe: Recipe, number: int) -> float:
    """Time of a burst since the ascending node: in the middle of cycle 100 + number of the track."""
    before = (recipe.relative_orbit - 1) * 12 * 86_400 / 175
    return PREAMBLE + (99 + number + 0.5) * CYCLE - before - 0.5 * recipe.lines * ATI


def orbit(recipe: Recipe) -> str:
    """A circle, 700 km up, in a frame that turns with the Earth: the numbers only have to be consistent."""
    radius, rate = 7.07e6, 2 * np.pi / 5925
    text = ""
    for k in range(-6, 8):
        angle = rate * 10 * k
        where = radius * np.array([np.cos(angle), 0.1 * np.sin(angle), np.sqrt(0.99) * np.sin(angle)])
        speed = radius * rate * np.array([-np.sin(angle), 0.1 * np.cos(angle), np.sqrt(0.99) * np.cos(angle)])
        parts = [
            f"<{name}>" + "".join(f"<{a}>{v:.9e}</{a}>" for a, v in zip("xyz", vector, strict=True)) + f"</{name}>"
            for name, vector in (("position", where), ("velocity", speed))
        ]
        time = iso(recipe.start + timedelta(seconds=10 * k))
        text += f"<orbit><time>{time}</time><frame>Earth Fixed</frame>{''.join(parts)}</orbit>"
    return f"<orbitList count='14'>{text}</orbitList>"


def header(recipe: Recipe, swath: str, polarisation: str) -> str:
    return (
        f"<adsHeader><missionId>{recipe.platform}</missionId><productType>{recipe.product}</productType>"
        f"<polarisation>{polarisation}</polarisation><mode>{swath if recipe.mode == 'SM' else recipe.mode}</mode>"
        f"<swath>{swath}</swath><absoluteOrbitNumber>50174</absoluteOrbitNumber><imageNumber>004</imageNumber></adsHeader>"
    )


def number(swath: str) -> int:
    return int(swath[-1]) if swath[-1].isdigit() else 0


def polynomials(recipe: Recipe) -> tuple[str, str]:
    doppler = rates = ""
    for k in range(3):
        time = iso(recipe.start + timedelta(seconds=1.0 + 0.02 * k))
        doppler += (
            f"<dcEstimate><azimuthTime>{time}</azimuthTime><t0>5.3e-03</t0><geometryDcPolynomial count='2'>1 2"
            f"</geometryDcPolynomial><dataDcPolynomial count='3'>{10 + k} -1e4 1e7</dataDcPolynomial></dcEstimate>"
        )
        c = (-2300.0 - k, 4.5e5, -7.8e7)
        coefficients = (
            f"<azimuthFmRatePolynomial count='3'>{c[0]} {c[1]} {c[2]}</azimuthFmRatePolynomial>"
            if recipe.fm_polynomial
            else "".join(f"<c{i}>{value}</c{i}>" for i, value in enumerate(c))
        )
        rates += f"<azimuthFmRate><azimuthTime>{time}</azimuthTime><t0>5.4e-03</t0>{coefficients}</azimuthFmRate>"
    return (
        f"<dcEstimateList count='3'>{doppler}</dcEstimateList>",
        f"<azimuthFmRateList count='3'>{rates}</azimuthFmRateList>",
    )


def bursts(recipe: Recipe) -> str:
    if not recipe.tops:
        return (
            "<swathTiming><linesPerBurst>0</linesPerBurst><samplesPerBurst>0</samplesPerBurst><burstList count='0'/>"
            "</swathTiming>"
        )
    text = ""
    for k in range(recipe.bursts):
        first = " ".join(["-1"] + ["3"] * (recipe.lines - 1))
        last = " ".join(["-1"] + [f"{recipe.samples - 2}"] * (recipe.lines - 1))
        named = f"<burstId absolute='1'>{100 + k}</burstId>" if recipe.burst_ids else ""
        text += (
            f"<burst><azimuthTime>{iso(burst_time(recipe, k))}</azimuthTime>"
            f"<azimuthAnxTime>{anx(recipe, k):.9e}</azimuthAnxTime>"
            f"<byteOffset>{k}</byteOffset><firstValidSample count='{recipe.lines}'>{first}</firstValidSample>"
            f"<lastValidSample count='{recipe.lines}'>{last}</lastValidSample>{named}</burst>"
        )
    return (
        f"<swathTiming><linesPerBurst>{recipe.lines}</linesPerBurst><samplesPerBurst>{recipe.samples}</samplesPerBurst>"
        f"<burstList count='{recipe.bursts}'>{text}</burstList></swathTiming>"
    )


def geolocation(recipe: Recipe, swath: str) -> str:
    text = ""
    for i, line in enumerate((0, recipe.height - 1)):
        for j, pixel in enumerate((0, 20, 40)):
            text += (
                "<geolocationGridPoint>"
                f"<azimuthTime>{iso(recipe.start + timedelta(seconds=1 + line * ATI))}</azimuthTime>"
                f"<slantRangeTime>{5.3e-3 + pixel * 1.55e-8}</slantRangeTime><line>{line}</line><pixel>{pixel}</pixel>"
                f"<latitude>{31 + i}</latitude><longitude>{-8 - j}</longitude><height>{100 * i}</height>"
                f"<incidenceAngle>{30 + j + number(swath)}</incidenceAngle><elevationAngle>27</elevationAngle>"
                "</geolocationGridPoint>"
            )
    return f"<geolocationGrid><geolocationGridPointList count='6'>{text}</geolocationGridPointList></geolocationGrid>"


def conversion(recipe: Recipe) -> str:
    if recipe.product == "SLC":
        return "<coordinateConversion><coordinateConversionList count='0'/></coordinateConversion>"
    text = "".join(
        f"<coordinateConversion><azimuthTime>{iso(recipe.start + timedelta(seconds=k))}</azimuthTime>"
        f"<slantRangeTime>5.3e-3</slantRangeTime><sr0>{8e5 + k}</sr0>"
        "<srgrCoefficients count='2'>0 1.9</srgrCoefficients>"
        f"<gr0>0</gr0><grsrCoefficients count='3'>{8e5 + k} 0.52 1e-7</grsrCoefficients></coordinateConversion>"
        for k in range(2)
    )
    listed = f"<coordinateConversionList count='2'>{text}</coordinateConversionList>"
    return f"<coordinateConversion>{listed}</coordinateConversion>"


def annotation(recipe: Recipe, swath: str, polarisation: str) -> str:
    doppler, rates = polynomials(recipe)
    ground = recipe.product == "GRD"
    focus = "".join(
        f"<{kind}Processing><windowType>Hamming</windowType><windowCoefficient>0.75</windowCoefficient><totalBandwidth>{b}"
        f"</totalBandwidth><processingBandwidth>{b}</processingBandwidth><lookBandwidth>{b}</lookBandwidth>"
        f"<numberOfLooks>1</numberOfLooks></{kind}Processing>"
        for kind, b in (("range", 5.65e7), ("azimuth", 327.0))
    )
    stop = iso(recipe.start + timedelta(seconds=1 + recipe.height * ATI))
    # The beam of the antenna is described by lists of angles: one for each time.
    antenna = (
        "<antennaPattern><antennaPatternList count='1'><antennaPattern>"
        f"<incidenceAngle count='2'>{40 + number(swath)} 50</incidenceAngle>"
        "</antennaPattern></antennaPatternList></antennaPattern>"
    )
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><product>{header(recipe, swath, polarisation)}"
        f"<generalAnnotation><productInformation><pass>Descending</pass><platformHeading>-167.25</platformHeading>"
        f"<projection>{'Ground' if ground else 'Slant'} Range</projection><rangeSamplingRate>6.434523812571428e+07"
        f"</rangeSamplingRate><radarFrequency>5.405000454334350e+09</radarFrequency><azimuthSteeringRate>1.59"
        f"</azimuthSteeringRate></productInformation>{orbit(recipe)}{rates}</generalAnnotation>"
        f"<imageAnnotation><imageInformation><productFirstLineUtcTime>{iso(recipe.start + timedelta(seconds=1))}"
        f"</productFirstLineUtcTime><productLastLineUtcTime>{stop}</productLastLineUtcTime>"
        f"<slantRangeTime>{5.3e-3 + 1e-4 * number(swath)}</slantRangeTime>"
        f"<rangePixelSpacing>{10 if ground else 2.329562}</rangePixelSpacing>"
        f"<azimuthPixelSpacing>{10 if ground else 13.98}</azimuthPixelSpacing><azimuthTimeInterval>{ATI}"
        f"</azimuthTimeInterval><numberOfSamples>{recipe.samples}</numberOfSamples><numberOfLines>{recipe.height}"
        f"</numberOfLines><incidenceAngleMidSwath>{33 + number(swath)}</incidenceAngleMidSwath></imageInformation>"
        f"<processingInformation><orbitSource>{recipe.orbit_source}</orbitSource><swathProcParamsList count='1'>"
        f"<swathProcParams><swath>{swath}</swath>{focus}</swathProcParams></swathProcParamsList></processingInformation>"
        f"</imageAnnotation><dopplerCentroid>{doppler}</dopplerCentroid>{antenna}{bursts(recipe)}"
        f"{geolocation(recipe, swath)}{conversion(recipe)}</product>"
    )


def calibration(recipe: Recipe, swath: str, polarisation: str) -> str:
    k = 1 + number(swath) + 10 * (polarisation == "VH")
    vectors = "".join(
        f"<calibrationVector><azimuthTime>{iso(recipe.start)}</azimuthTime><line>{line}</line>"
        f"<pixel count='3'>{PIXELS}</pixel>"
        f"<sigmaNought count='3'>{k}00 {k}10 {k}20</sigmaNought><betaNought count='3'>237 237 237</betaNought>"
        f"<gamma count='3'>30 31 32</gamma><dn count='3'>237 237 237</dn></calibrationVector>"
        for line in (-4, 8, recipe.height + 3)
    )
    return (
        f"<calibration>{header(recipe, swath, polarisation)}<calibrationVectorList count='3'>{vectors}"
        "</calibrationVectorList></calibration>"
    )


def noise(recipe: Recipe, swath: str, polarisation: str) -> str:
    head = f"<noise>{header(recipe, swath, polarisation)}"
    if recipe.noise in ("table", "zero"):
        values = ("0 0 0", "0 0") if recipe.noise == "zero" else ("300 200 100", "280 80")
        pixels = (PIXELS, "0 40")  # lengths differ
        vectors = "".join(
            f"<noiseVector><line>{line}</line><pixel count='3'>{where}</pixel><noiseLut count='3'>{what}</noiseLut>"
            "</noiseVector>"
            for line, where, what in zip((0, 20), pixels, values, strict=True)
        )
        return f"{head}<noiseVectorList count='2'>{vectors}</noiseVectorList></noise>"
    vectors = "".join(
        f"<noiseRangeVector><line>{line}</line><pixel count='3'>{PIXELS}</pixel>"
        f"<noiseRangeLut count='3'>{300 + line} 200 100</noiseRangeLut></noiseRangeVector>"
        for line in (-12, 0, 12)
    )
    part = (
        f"<noiseAzimuthVector><swath>{swath}</swath><firstAzimuthLine>0</firstAzimuthLine><firstRangeSample>0</firstRangeSample>"
        f"<lastAzimuthLine>{recipe.height - 1}</lastAzimuthLine><lastRangeSample>{recipe.samples - 1}</lastRangeSample>"
        "<line count='3'>0 10 20</line><noiseAzimuthLut count='3'>1.2 1.0 1.4</noiseAzimuthLut></noiseAzimuthVector>"
    )
    return (
        f"{head}<noiseRangeVectorList count='3'>{vectors}</noiseRangeVectorList>"
        f"<noiseAzimuthVectorList count='1'>{part}</noiseAzimuthVectorList></noise>"
    )


def pixels(recipe: Recipe, swath: str, polarisation: str) -> np.ndarray:
    """Digital numbers: real and imaginary part, or amplitude, tell line, sample, swath and polarisation."""
    rows, cols = np.mgrid[: recipe.height, : recipe.samples]
    base = 1000 * number(swath) + 5000 * (polarisation in ("VH", "HV"))
    if recipe.product == "SLC":
        return (rows + base + 1j * -cols).astype(np.complex64)
    return (100 * rows + cols + base).astype(np.uint16)


def manifest(recipe: Recipe, files: dict[str, bytes]) -> str:
    objects = "".join(
        f"<dataObject><byteStream mimeType='x' size='{len(content)}'><fileLocation locatorType='URL' href='./{name}'/>"
        f"<checksum checksumName='MD5'>{hashlib.md5(content).hexdigest()}</checksum></byteStream></dataObject>"
        for name, content in files.items()
    )
    polarised = "".join(
        f"<s1sarl1:transmitterReceiverPolarisation>{p}</s1sarl1:transmitterReceiverPolarisation>"
        for p in recipe.polarisations
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:gml="http://www.opengis.net/gml" xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:s1="http://www.esa.int/s1"
 xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:s1sarl1="http://www.esa.int/safe/s1sarl1"><metadataSection>
<safe:processing name="SLC Post Processing"><safe:facility>
<safe:software name="Sentinel-1 IPF" version="003.61"/></safe:facility>
</safe:processing>
<safe:platform><safe:familyName>SENTINEL-1</safe:familyName><safe:number>{recipe.platform[2]}</safe:number><safe:instrument>
<safe:familyName abbreviation="SAR">Synthetic Aperture Radar</safe:familyName><safe:extension><s1sarl1:instrumentMode>
<s1sarl1:mode>{recipe.mode}</s1sarl1:mode></s1sarl1:instrumentMode></safe:extension></safe:instrument></safe:platform>
<safe:orbitReference><safe:orbitNumber type="start">50174</safe:orbitNumber>
<safe:orbitNumber type="stop">50175</safe:orbitNumber>
<safe:relativeOrbitNumber type="start">{recipe.relative_orbit}</safe:relativeOrbitNumber>
<safe:extension><s1:orbitProperties>
<s1:pass>{recipe.orbit_pass}</s1:pass><s1:ascendingNodeTime>{iso(NODE)}</s1:ascendingNodeTime></s1:orbitProperties>
</safe:extension></safe:orbitReference>
<s1sarl1:standAloneProductInformation><s1sarl1:missionDataTakeID>395747</s1sarl1:missionDataTakeID>{polarised}
<s1sarl1:productClass>S</s1sarl1:productClass><s1sarl1:productType>{recipe.product}</s1sarl1:productType>
<s1sarl1:sliceProductFlag>true</s1sarl1:sliceProductFlag><s1sarl1:sliceNumber>28</s1sarl1:sliceNumber>
<s1sarl1:totalSlices>30</s1sarl1:totalSlices></s1sarl1:standAloneProductInformation>
<safe:acquisitionPeriod><safe:startTime>{iso(recipe.start)}</safe:startTime>
<safe:stopTime>{iso(recipe.start + timedelta(seconds=20))}</safe:stopTime></safe:acquisitionPeriod>
<safe:footPrint srsName="x">
<gml:coordinates>-16.0,179.5 -16.2,-179.8 -15.1,-179.6 -14.9,179.7</gml:coordinates></safe:footPrint>
</metadataSection><dataObjectSection>{objects}</dataObjectSection></xfdu:XFDU>"""


def write_tiff(path: Path, values: np.ndarray) -> None:
    kind = "complex_int16" if values.dtype.kind == "c" else values.dtype.name
    profile = {"driver": "GTiff", "count": 1, "dtype": kind, "height": values.shape[0], "width": values.shape[1]}
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, blockysize=1) as file:
            file.write(values[None])


def write_safe(
    folder: Path, recipe: Recipe | None = None, *, zipped: bool = False, root: bool = True, name: str = ""
) -> Path:
    """Write a product as a folder or a zip."""
    recipe = recipe or Recipe()
    safe = folder / f"{name or recipe.name}.SAFE"
    for part in ("annotation/calibration", "measurement"):
        (safe / part).mkdir(parents=True)
    for swath, polarisation in recipe.keys:
        stem = recipe.file(swath, polarisation)
        documents = {
            f"annotation/{stem}.xml": annotation,
            f"annotation/calibration/calibration-{stem}.xml": calibration,
            f"annotation/calibration/noise-{stem}.xml": noise,
        }
        for place, write in documents.items():
            if write is noise and recipe.noise == "none":
                continue
            text = write(recipe, swath, polarisation)
            for old, new in recipe.extra.items():
                text = text.replace(old, new)
            (safe / place).write_text(text)
        write_tiff(safe / f"measurement/{stem}.tiff", pixels(recipe, swath, polarisation))
    list_again(safe, recipe)
    if not zipped:
        return safe
    path = folder / f"{name or recipe.name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(safe.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder if root else safe))
    return path


def list_again(safe: Path, recipe: Recipe) -> None:
    """Write the manifest, with the checksums of what is there."""
    files = {f.relative_to(safe).as_posix(): f.read_bytes() for f in sorted(safe.rglob("*")) if f.is_file()}
    files.pop("manifest.safe", None)
    (safe / "manifest.safe").write_text(manifest(recipe, files))


def write_burst(folder: Path, recipe: Recipe, burst: int, *, xml: str = "") -> Path:
    """Write one burst of IW2 VV as ASF cuts it: a GeoTIFF, and XML with all documents of the product."""

    def content(kind, write, swath, pol):
        text = write(recipe, swath, pol)
        inner = text[text.index("<adsHeader>") : text.rindex("</")]
        return f"<{kind}><swath>{swath}</swath><polarisation>{pol}</polarisation><content>{inner}</content></{kind}>"

    parts = "".join(
        content(kind, write, swath, pol)
        for swath, pol in recipe.keys
        for kind, write in (("product", annotation), ("calibration", calibration), ("noise", noise))
    )
    inner = manifest(recipe, {}).partition("?>")[2]
    stem = f"S1_{100 + burst:06d}_IW2_20230904T063731_VV_DAA1-BURST"
    (folder / (xml or f"{stem}.xml")).write_text(
        f"<burst><metadata>{parts}</metadata><manifest>{inner}</manifest></burst>"
    )
    own = slice(burst * recipe.lines, (burst + 1) * recipe.lines)
    write_tiff(folder / f"{stem}.tiff", pixels(recipe, "IW2", "VV")[own])
    return folder / f"{stem}.tiff"


def write_eof(
    folder: Path, kind: str = "POEORB", *, platform: str = "S1A", made: str = "20230924T080652",
    start: datetime = START - timedelta(hours=3), stop: datetime = START + timedelta(hours=3),
    step: float = 10.0, shift: float = 0.0, zipped: bool = False, extra: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write an orbit file whose state vectors are those of `orbit`, `shift` metres further out in x."""
    radius, rate = 7.07e6, 2 * np.pi / 5925
    vectors = ""
    for k in range(-30, 31):
        angle = rate * step * k
        x, y, z = radius * np.array([np.cos(angle), 0.1 * np.sin(angle), np.sqrt(0.99) * np.sin(angle)])
        u, v, w = radius * rate * np.array([-np.sin(angle), 0.1 * np.cos(angle), np.sqrt(0.99) * np.cos(angle)])
        vectors += (
            f"<OSV><TAI>TAI=x</TAI><UTC>UTC={iso(START + timedelta(seconds=step * k))}</UTC>"
            "<Absolute_Orbit>+50174</Absolute_Orbit>"
            f"<X unit='m'>{x + shift:.6f}</X><Y unit='m'>{y:.6f}</Y><Z unit='m'>{z:.6f}</Z><VX unit='m/s'>{u:.6f}</VX>"
            f"<VY unit='m/s'>{v:.6f}</VY><VZ unit='m/s'>{w:.6f}</VZ><Quality>NOMINAL</Quality></OSV>"
        )
    name = f"{platform}_OPER_AUX_{kind}_OPOD_{made}_V{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}.EOF"
    text = (
        f"<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><File_Name>{name[:-4]}</File_Name>"
        f"<Mission>Sentinel-{platform[1:]}</Mission><File_Type>AUX_{kind}</File_Type></Fixed_Header><Variable_Header>"
        "<Ref_Frame>EARTH_FIXED</Ref_Frame><Time_Reference>UTC</Time_Reference></Variable_Header></Earth_Explorer_Header>"
        f"<Data_Block type='xml'><List_of_OSVs count='61'>{vectors}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
    )
    for old, new in (extra or {}).items():
        assert old in text
        text = text.replace(old, new)
    if not zipped:
        (folder / name).write_text(text)
        return folder / name
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return folder / f"{name}.zip"
