"""The manifest of a Sentinel-1 product: which satellite, when, on which orbit."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import MetadataError, NameMismatchWarning, one_line
from sensetrack.notices import warn
from sensetrack.sentinel.s1_names import NAME, last, require_known
from sensetrack.sentinel.s1_types import S1Info

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sensetrack.sentinel.s1_xml import Node


def read_manifest(manifest: Node, path: Path, name: str) -> S1Info:
    """Return what the manifest says.

    Parameters
    ----------
    manifest : Node
    path : Path
        The product, as messages call it.
    name : str
        What the product is called, where it says so; the resolution of a GRD and the last four digits stand only there.

    Raises
    ------
    MetadataError
        A tag is missing or cannot be understood.
    ProductNameError
        It is of a satellite, a mode or a product that is not read.
    """
    family, number = manifest.text(".//{*}platform/{*}familyName"), manifest.text(".//{*}platform/{*}number")
    if family.upper() != "SENTINEL-1":
        raise MetadataError(f"familyName must be SENTINEL-1, instead got {one_line(family)!r}", path=manifest.path)
    platform, mode = f"S1{number.upper()}", manifest.text(".//{*}instrumentMode/{*}mode").upper()
    product = manifest.text(".//{*}standAloneProductInformation/{*}productType").upper()
    require_known(platform, mode, product, path)
    orbit = manifest.child(".//{*}orbitReference")
    period = manifest.child(".//{*}acquisitionPeriod")
    found = NAME.search(name)
    return S1Info(
        path=path,
        name=re.sub(r"(\.zip|\.SAFE)+$", "", name, flags=re.IGNORECASE),
        platform=platform,
        mode=mode,
        product=product,
        resolution="_" if found is None or product == "SLC" else found["resolution"],
        level="1",
        product_class=manifest.text(".//{*}productClass", "S"),
        polarisations=_polarisations(manifest),
        start=period.time("{*}startTime"),
        stop=period.time("{*}stopTime"),
        orbit_pass=_direction(orbit),
        relative_orbit=_first(orbit, "relativeOrbitNumber"),
        absolute_orbit=_first(orbit, "orbitNumber"),
        node_time=orbit.time(".//{*}ascendingNodeTime"),
        datatake=manifest.whole(".//{*}missionDataTakeID"),
        ipf=_ipf(manifest),
        slices=_slices(manifest),
        footprint=_footprint(manifest),
        unique="" if found is None else found["unique"],
    )


def _polarisations(manifest: Node) -> tuple[str, ...]:
    tags = manifest.all(".//{*}transmitterReceiverPolarisation")
    found = tuple(dict.fromkeys((tag.element.text or "").strip().upper() for tag in tags))
    if not found or not set(found) <= {"VV", "VH", "HH", "HV"}:
        message = f"transmitterReceiverPolarisation must be VV, VH, HH or HV, instead got {', '.join(found) or 'none'}"
        raise MetadataError(message, path=manifest.path)
    return found


def _direction(orbit: Node) -> str:
    text = orbit.text(".//{*}pass").lower()
    if text not in ("ascending", "descending"):
        message = f"pass must be ASCENDING or DESCENDING, instead got {one_line(text)!r}"
        raise MetadataError(message, path=orbit.path)
    return text


def _first(orbit: Node, tag: str) -> int:
    """Return the number of the orbit in which the product begins."""
    return orbit.whole(f"{{*}}{tag}[@type='start']")


def _ipf(manifest: Node) -> str:
    names = [tag.element for tag in manifest.all(".//{*}software")]
    return next((e.get("version", "") for e in names if "IPF" in e.get("name", "")), "")


def _slices(manifest: Node) -> tuple[int, int] | None:
    if manifest.text(".//{*}sliceProductFlag", "false").lower() != "true":
        return None
    return manifest.whole(".//{*}sliceNumber"), manifest.whole(".//{*}totalSlices")


def _footprint(manifest: Node) -> tuple[tuple[float, float], ...]:
    text = manifest.text(".//{*}footPrint/{*}coordinates", "")
    if not text:
        return ()
    try:
        lat, lon = np.array([pair.split(",") for pair in text.split()], np.float64).T
    except ValueError as error:
        raise MetadataError("coordinates of footPrint must be pairs of numbers", path=manifest.path) from error
    lon = np.unwrap(lon, period=360)
    lon -= 360 * np.round((lon.mean() - (lon.mean() + 180) % 360 + 180) / 360)
    return tuple((float(x), float(y)) for x, y in zip(lon, lat, strict=True))


def compare_name(info: S1Info, path: str) -> None:
    """Warn where the name of a product says something else than its manifest, which counts."""
    found = NAME.search(last(path))
    if found is None:
        return
    said = found.groupdict()
    true = {
        "platform": info.platform,
        "mode": said["mode"] if info.mode == "SM" and re.fullmatch("S[1-6]", said["mode"]) else info.mode,
        "product": info.product,
        "product_class": info.product_class,
        # A single cross-polarisation is called by itself.
        "polarisation": said["polarisation"] if info.polarisations == (said["polarisation"],) else info.POLARIZATION,
        "start": _in_name(info.start, said["start"]),
        "stop": _in_name(info.stop, said["stop"]),
        "absolute_orbit": f"{info.absolute_orbit:06d}",
        "datatake": info.DATAID,
    }
    unlike = [f"{key} {said[key]} (manifest: {value})" for key, value in true.items() if said[key] != value]
    if unlike:
        text = f"{one_line(path)}: its name says {', '.join(unlike)}; the manifest counts"
        warn(text, NameMismatchWarning, stacklevel=4)


def _in_name(time: datetime, said: str) -> str:
    """Return a time as a name should have it: as it does where the two are close enough."""
    near = (f"{time + timedelta(seconds=seconds):%Y%m%dT%H%M%S}" for seconds in (-1, 0, 1))
    return said if said in near else f"{time:%Y%m%dT%H%M%S}"
