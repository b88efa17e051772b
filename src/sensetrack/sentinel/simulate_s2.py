"""Synthetic Sentinel-2 products, for tests and for trying things out: small SAFE folders with real structure.

Names, tags and masks are those of real products of the baseline that is asked for; what the pixels show is up to the
caller. Everything is written from the format's description, not with the reader.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.files.jp2 import write_jp2
from sensetrack.files.vector import burn
from sensetrack.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_SIZES = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20)
_NODE = 5000
"""Metres between the nodes of the grids of angles."""
_SATURATED = 65535


@dataclass(frozen=True)
class S2Recipe:
    """What a synthetic product is."""

    level: str = "L1C"
    """L1C or L2A."""
    baseline: str = "05.10"
    """From 04.00 on masks are JPEG 2000 and numbers have an offset; before, masks are GML."""
    platform: str = "A"
    """Letter of the satellite."""
    tile: str = "32TQS"
    relative_orbit: int = 65
    sensed: datetime = datetime(2024, 6, 18, 10, 22, 3, 250_000, UTC)
    """When the tile was seen."""
    offset: int | None = None
    """Added to the numbers before they are divided; by default -1000 from baseline 04.00 on, else there is none."""
    quantification: int = 10_000
    corner: tuple[float, float] = (699_960.0, 5_100_000.0)
    """x and y of the upper left corner."""
    epsg: int = 32632
    outside: int = 0
    """Columns (10 m) at the left that no detector has seen: NaN in the pixels, or not."""
    footprint: tuple[tuple[float, float], ...] = ((45.0, 11.6), (45.0, 11.9), (44.8, 11.9), (44.8, 11.6))
    """Corners (latitude, longitude); a real product has them right."""

    @property
    def add_offset(self) -> int:
        """The offset that the numbers have."""
        return self.offset if self.offset is not None else (-1000 if self.baseline >= "04.00" else 0)

    @property
    def name(self) -> str:
        """What the product is called, without suffix."""
        start, made = (f"{t:%Y%m%dT%H%M%S}" for t in (self.datatake, self.sensed + timedelta(hours=3)))
        number, orbit = self.baseline.replace(".", ""), f"R{self.relative_orbit:03d}"
        return f"S2{self.platform}_MSI{self.level}_{start}_N{number}_{orbit}_T{self.tile}_{made}"

    @property
    def datatake(self) -> datetime:
        """When the strip began."""
        return self.sensed - timedelta(minutes=6, seconds=4)

    @property
    def granule(self) -> str:
        """Folder of the tile."""
        return f"GRANULE/{self.level}_T{self.tile}_A012345_{self.datatake:%Y%m%dT%H%M%S}"


def write_product(
    folder: Path,
    bands: dict[str, NDArray[Any]],
    recipe: S2Recipe | None = None,
    *,
    clouds: NDArray[np.bool_] | None = None,
    zipped: bool = False,
) -> Path:
    """Write a product into a folder and return its path.

    Parameters
    ----------
    folder : Path
    bands : dict
        Band -> reflectance, (rows, cols) in the pixels of that band; NaN = nothing measured, infinite = saturated. All
        cover the same ground, whose size is a multiple of 60 m.
    recipe : S2Recipe, optional
    clouds : ndarray of bool, optional
        (rows, cols) in pixels of 60 m, True = opaque cloud.
    zipped : bool
        Write X.SAFE.zip instead of the folder X.SAFE.
    """
    recipe = recipe or S2Recipe()
    ground = {tuple(n * _SIZES[_ORDER.index(band)] for n in pixels.shape) for band, pixels in bands.items()}
    extent = next(iter(ground), (1, 1))
    if len(ground) != 1 or any(n % 60 for n in extent):
        raise ConfigError(f"bands must cover one ground of a multiple of 60 m, instead got {sorted(ground)}")
    grids = {size: _grid(recipe, extent, size) for size in (10, 20, 60)}
    cloudy = np.zeros(grids[60].shape, bool) if clouds is None else clouds
    root = folder / f"{recipe.name}.SAFE"
    for name in ("IMG_DATA", "QI_DATA"):
        (root / recipe.granule / name).mkdir(parents=True)
    images = [_write_band(root, recipe, band, pixels, grids) for band, pixels in bands.items()]
    masks = _write_clouds(root, recipe, cloudy, grids, images)
    for band in bands:
        masks.append((_ORDER.index(band), "MSK_DETFOO", _write_detectors(root, recipe, band, grids)))
    kind = recipe.level
    _write(root, f"MTD_MSI{kind}.xml", _product_xml(recipe, images))
    _write(root, f"{recipe.granule}/MTD_TL.xml", _tile_xml(recipe, grids, masks, list(bands), float(cloudy.mean())))
    _write(root, "manifest.safe", _manifest(root, "SHA3-256" if recipe.baseline >= "03.00" else "MD5"))
    return _zip(root) if zipped else root


def _grid(recipe: S2Recipe, extent: tuple[int, ...], size: int) -> Grid:
    left, top = recipe.corner
    affine: Any = (size, 0, left, 0, -size, top)
    return Grid((extent[0] // size, extent[1] // size), affine, f"EPSG:{recipe.epsg}")  # type: ignore[arg-type]


def _write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8")


def _write_band(root: Path, recipe: S2Recipe, band: str, pixels: NDArray[Any], grids: dict[int, Grid]) -> str:
    """Write an image and return its name without suffix."""
    size = _SIZES[_ORDER.index(band)]
    numbers = np.round(np.where(np.isfinite(pixels), pixels, 0) * recipe.quantification) - recipe.add_offset
    # 0 and 65535 have a meaning of their own.
    numbers = np.where(np.isfinite(pixels), np.clip(numbers, 1, _SATURATED - 1), 0).astype(np.uint16)
    numbers[np.isposinf(pixels)] = _SATURATED
    name = f"{recipe.granule}/IMG_DATA/T{recipe.tile}_{recipe.datatake:%Y%m%dT%H%M%S}_{band}"
    if recipe.level == "L2A":
        name = name.replace("IMG_DATA/", f"IMG_DATA/R{size}m/") + f"_{size}m"
    (root / name).parent.mkdir(exist_ok=True)
    write_jp2(root / f"{name}.jp2", numbers[None], grids[size])
    return name


def _write_clouds(
    root: Path, recipe: S2Recipe, cloudy: NDArray[np.bool_], grids: dict[int, Grid], images: list[str]
) -> list[tuple[int | None, str, str]]:
    """Write the masks of clouds of a level and baseline; return (band, kind, name) of each."""
    quality = f"{recipe.granule}/QI_DATA"
    found: list[tuple[int | None, str, str]] = []
    if recipe.baseline < "04.00":
        name = f"{quality}/MSK_CLOUDS_B00.gml"
        left, top = recipe.corner
        rings = []
        for row, line in enumerate(cloudy):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
            for start, stop in edges.reshape(-1, 2):
                x, y = left + 60 * start, top - 60 * row
                right, low = left + 60 * stop, y - 60
                rings.append(("OPAQUE", "OPAQUE.0", [(x, y), (right, y), (right, low), (x, low), (x, y)]))
        _write(root, name, _gml(recipe, "MSK_CLOUDS", rings))
        found.append((None, "MSK_CLOUDS", name))
    else:
        name = f"{quality}/MSK_CLASSI_B00.jp2"
        classes = np.stack([cloudy, np.zeros_like(cloudy), np.zeros_like(cloudy)]).astype(np.uint8)
        write_jp2(root / name, classes, grids[60])
        found.append((None, "MSK_CLASSI", name))
    if recipe.level == "L2A":
        fine = cloudy.repeat(3, axis=0).repeat(3, axis=1)
        scene = f"{recipe.granule}/IMG_DATA/R20m/T{recipe.tile}_{recipe.datatake:%Y%m%dT%H%M%S}_SCL_20m"
        (root / scene).parent.mkdir(exist_ok=True)
        write_jp2(root / f"{scene}.jp2", np.where(fine, 9, 5).astype(np.uint8)[None], grids[20])
        images.append(scene)
        name = f"{quality}/MSK_CLDPRB_20m.jp2"
        write_jp2(root / name, np.where(fine, 98, 2).astype(np.uint8)[None], grids[20])
        found.append((None, "MSK_CLDPRB", name))
    return found


def _footprints(recipe: S2Recipe, grid: Grid) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Two detectors side by side, their common edge aslant; what is left of them is not seen."""
    left, bottom, right, top = grid.bounds
    edge, middle = left + 10 * recipe.outside, (left + right) / 2
    lean = (right - left) / 10
    shapes = (
        (4, [(edge, top), (middle + lean, top), (middle - lean, bottom), (edge, bottom), (edge, top)]),
        (5, [(middle + lean, top), (right, top), (right, bottom), (middle - lean, bottom), (middle + lean, top)]),
    )
    return [("DETECTOR_FOOTPRINT", f"detector_footprint-B00-{n:02d}-{i}", ring) for i, (n, ring) in enumerate(shapes)]


def _write_detectors(root: Path, recipe: S2Recipe, band: str, grids: dict[int, Grid]) -> str:
    grid = grids[_SIZES[_ORDER.index(band)]]
    name = f"{recipe.granule}/QI_DATA/MSK_DETFOO_{band}"
    parts = _footprints(recipe, grid)
    if recipe.baseline < "04.00":
        named = [(kind, identity.replace("B00", band), ring) for kind, identity, ring in parts]
        _write(root, f"{name}.gml", _gml(recipe, "MSK_DETFOO", named))
        return f"{name}.gml"
    from shapely import Polygon

    numbers = np.zeros(grid.shape, np.uint8)
    for number, (_, _, ring) in zip((4, 5), parts, strict=True):
        numbers[burn([Polygon(ring)], grid)] = number
    write_jp2(root / f"{name}.jp2", numbers[None], grid)
    return f"{name}.jp2"


def _gml(recipe: S2Recipe, kind: str, rings: list[tuple[str, str, list[tuple[float, float]]]]) -> str:
    features = "".join(
        f'<eop:MaskFeature gml:id="{identity}"><eop:maskType codeSpace="urn:gs2:S2PDGS:maskType">{of}</eop:maskType>'
        f'<eop:extentOf><gml:Polygon gml:id="{identity}.{i}"><gml:exterior><gml:LinearRing>'
        f'<gml:posList srsDimension="2">{" ".join(f"{x:.3f} {y:.3f}" for x, y in ring)}</gml:posList>'
        "</gml:LinearRing></gml:exterior></gml:Polygon></eop:extentOf></eop:MaskFeature>\n"
        for i, (of, identity, ring) in enumerate(rings)
    )
    envelope = f'<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG:8.7:{recipe.epsg}"/></gml:boundedBy>'
    members = f"{envelope}<eop:maskMembers>\n{features}</eop:maskMembers>" if rings else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" '
        f'xmlns:gml="http://www.opengis.net/gml/3.2" gml:id="{kind}"><gml:name>{kind}</gml:name>{members}</eop:Mask>\n'
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _product_xml(recipe: S2Recipe, images: list[str]) -> str:
    top = recipe.level == "L1C"
    tag, quantity = (
        ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE") if top else ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")
    )
    group = "Radiometric_Offset_List" if top else "BOA_ADD_OFFSET_VALUES_LIST"
    offsets = "".join(f'<{tag} band_id="{i}">{recipe.add_offset}</{tag}>' for i in range(len(_ORDER)))
    has_offset = recipe.offset is not None or recipe.baseline >= "04.00"
    scale = f'<{quantity} unit="none">{recipe.quantification}</{quantity}>'
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{band[0]}{band[1:].lstrip("0")}">'
        f"<RESOLUTION>{size}</RESOLUTION></Spectral_Information>"
        for i, (band, size) in enumerate(zip(_ORDER, _SIZES, strict=True))
    )
    ring = [*recipe.footprint, recipe.footprint[0]]
    special = "".join(
        f"<Special_Values><SPECIAL_VALUE_TEXT>{text}</SPECIAL_VALUE_TEXT>"
        f"<SPECIAL_VALUE_INDEX>{value}</SPECIAL_VALUE_INDEX></Special_Values>"
        for text, value in (("NODATA", 0), ("SATURATED", _SATURATED))
    )
    level = f"Level-{recipe.level[1:]}"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{_time(recipe.datatake)}</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>{_time(recipe.datatake)}</PRODUCT_STOP_TIME>
<PRODUCT_URI>{escape(recipe.name)}.SAFE</PRODUCT_URI>
<PROCESSING_LEVEL>{level}</PROCESSING_LEVEL>
<PROCESSING_BASELINE>{recipe.baseline}</PROCESSING_BASELINE>
<GENERATION_TIME>{_time(recipe.sensed + timedelta(hours=3))}</GENERATION_TIME>
<Datatake><SPACECRAFT_NAME>Sentinel-2{recipe.platform}</SPACECRAFT_NAME>
<DATATAKE_SENSING_START>{_time(recipe.datatake)}</DATATAKE_SENSING_START>
<SENSING_ORBIT_NUMBER>{recipe.relative_orbit}</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
<Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">
{"".join(f"<IMAGE_FILE>{escape(name)}</IMAGE_FILE>" for name in images)}
</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>{special}
{scale if top else f"<QUANTIFICATION_VALUES_LIST>{scale}</QUANTIFICATION_VALUES_LIST>"}
{f"<{group}>{offsets}</{group}>" if has_offset else ""}
<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info>
<n1:Geometric_Info><Product_Footprint><Product_Footprint><Global_Footprint>
<EXT_POS_LIST>{" ".join(f"{lat} {lon}" for lat, lon in ring)}</EXT_POS_LIST>
</Global_Footprint></Product_Footprint></Product_Footprint></n1:Geometric_Info>
</n1:{level}_User_Product>
"""


def _tile_xml(
    recipe: S2Recipe, grids: dict[int, Grid], masks: list[tuple[int | None, str, str]], bands: list[str], cloudy: float
) -> str:
    level = f"Level-{recipe.level[1:]}"
    tile_id = f"S2{recipe.platform}_OPER_MSI_{recipe.level}_TL_SIMU_A012345_T{recipe.tile}_N{recipe.baseline}"
    places = "".join(
        f'<Size resolution="{size}"><NROWS>{grid.shape[0]}</NROWS><NCOLS>{grid.shape[1]}</NCOLS></Size>'
        f'<Geoposition resolution="{size}"><ULX>{recipe.corner[0]:g}</ULX><ULY>{recipe.corner[1]:.0f}</ULY>'
        f"<XDIM>{size}</XDIM><YDIM>-{size}</YDIM></Geoposition>"
        for size, grid in grids.items()
    )
    nodes = tuple(n * 10 // _NODE + 2 for n in grids[10].shape)
    numbers = [_ORDER.index(band) for band in bands]
    views = "".join(
        f'<Viewing_Incidence_Angles_Grids bandId="{number}" detectorId="{detector}">'
        f"{_angles(nodes, 5.0, 104.0, seen)}</Viewing_Incidence_Angles_Grids>"
        for number in numbers
        for detector, seen in ((4, slice(None, nodes[1] // 2 + 1)), (5, slice(nodes[1] // 2, None)))
    )
    means = "".join(
        f'<Mean_Viewing_Incidence_Angle bandId="{number}"><ZENITH_ANGLE unit="deg">5.5</ZENITH_ANGLE>'
        '<AZIMUTH_ANGLE unit="deg">104.25</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>'
        for number in numbers
    )
    files = ""
    for band, kind, name in masks:
        of = "" if band is None else f' bandId="{band}"'
        files += f'<MASK_FILENAME{of} type="{kind}">{name}</MASK_FILENAME>'
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_{level}_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID>{tile_id}</TILE_ID><SENSING_TIME>{_time(recipe.sensed)}</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_CODE>EPSG:{recipe.epsg}</HORIZONTAL_CS_CODE>{places}</Tile_Geocoding>
<Tile_Angles><Sun_Angles_Grid>{_angles(nodes, 31.0, 152.0, slice(None))}</Sun_Angles_Grid>
<Mean_Sun_Angle><ZENITH_ANGLE unit="deg">31.5</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">152.25</AZIMUTH_ANGLE></Mean_Sun_Angle>
{views}<Mean_Viewing_Incidence_Angle_List>{means}</Mean_Viewing_Incidence_Angle_List></Tile_Angles></n1:Geometric_Info>
<n1:Quality_Indicators_Info><Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>{100 * cloudy:.4f}</CLOUDY_PIXEL_PERCENTAGE>
</Image_Content_QI><Pixel_Level_QI>{files}</Pixel_Level_QI></n1:Quality_Indicators_Info></n1:{level}_Tile_ID>
"""


def _angles(nodes: tuple[int, ...], zenith: float, azimuth: float, seen: slice) -> str:
    """Angles that grow by 0.1 degrees a node, zenith down the rows and azimuth along them."""
    parts = []
    for name, start, axis in (("Zenith", zenith, 0), ("Azimuth", azimuth, 1)):
        values = np.full(nodes, np.nan)
        values[:, seen] = (start + 0.1 * np.indices(nodes)[axis])[:, seen]
        rows = [" ".join("NaN" if np.isnan(value) else f"{value:.4f}" for value in row) for row in values]
        lines = "".join(f"<VALUES>{row}</VALUES>" for row in rows)
        step = f'<COL_STEP unit="m">{_NODE}</COL_STEP><ROW_STEP unit="m">{_NODE}</ROW_STEP>'
        parts.append(f"<{name}>{step}<Values_List>{lines}</Values_List></{name}>")
    return "".join(parts)


def _manifest(root: Path, kind: str) -> str:
    new = {"MD5": hashlib.md5, "SHA3-256": hashlib.sha3_256}[kind]
    objects = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        objects.append(
            f'<dataObject><byteStream size="{len(content)}">'
            f'<fileLocation locatorType="URL" href="./{path.relative_to(root).as_posix()}"/>'
            f'<checksum checksumName="{kind}">{new(content).hexdigest()}</checksum></byteStream></dataObject>\n'
        )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><dataObjectSection>
{"".join(objects)}</dataObjectSection></xfdu:XFDU>
"""


def _zip(root: Path) -> Path:
    """Pack a product as it comes from a download, and remove the folder."""
    import shutil

    path = root.with_name(f"{root.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    shutil.rmtree(root)
    return path
