"""Attributes of simulated products, typed from public descriptions of real ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.cosmo.simulate import CosmoPlan
    from sensetrack.sar.simulate import Frame

    Floats = NDArray[np.float64]

_LIGHT = 299_792_458.0
_MODES = {
    ("CSK", "stripmap"): "HIMAGE",
    ("CSK", "pingpong"): "PINGPONG",
    ("CSK", "scansar"): "WIDEREGION",
    ("CSG", "stripmap"): "STRIPMAP",
    ("CSG", "pingpong"): "PINGPONG",
    ("CSG", "scansar"): "SCANSAR-1",
}


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}000"


def root_attributes(plan: CosmoPlan) -> dict[str, Any]:
    """Return the attributes of the root."""
    from sensetrack.cosmo import simulate as constants

    frame, csk = plan.frame, plan.generation == "CSK"
    stop = plan.start + timedelta(seconds=(plan.lines - 1) / plan.prf)
    middle = constants.corner(
        plan, frame, (frame.first_time + frame.last_time) / 2, (frame.near_range + frame.far_range) / 2
    )
    found: dict[str, Any] = {
        "Mission ID": plan.generation,
        "Satellite ID": "CSKS1" if csk else "SSAR1",
        "Product Type": f"{plan.level}_B",
        "Acquisition Mode": _MODES[plan.generation, plan.mode],
        "Multi-Beam ID": "H4-09" if csk else "STR-009",
        "Look Side": plan.look.upper(),
        "Orbit Direction": "ASCENDING" if plan.ascending else "DESCENDING",
        "Orbit Number": np.uint32(13415),
        "Reference UTC": _utc(plan.epoch),
        "Scene Sensing Start UTC": _utc(plan.start),
        "Scene Sensing Stop UTC": _utc(stop),
        "Product Generation UTC": _utc(plan.start + timedelta(hours=5)),
        "Processing Centre": "SIMULATED",
        "L0 Software Version": "SIMULATED",
        "L1A Software Version": "SIMULATED",
        "State Vectors Times": plan.orbit.times,
        "ECEF Satellite Position": plan.orbit.position,
        "ECEF Satellite Velocity": plan.orbit.velocity,
        "ECEF Satellite Acceleration": plan.orbit.acceleration(plan.orbit.times),
        "Radar Frequency": 9.6e9,
        "Radar Wavelength": constants.WAVELENGTH,
        "Light Speed": _LIGHT,
        "Satellite Height": 625222.5,
        "Antenna Length": 5.6,
        "Ellipsoid Designator": "WGS84",
        "Projection ID": "SLANT RANGE/AZIMUTH" if plan.level == "SCS" else "GROUND RANGE/AZIMUTH",
        "Lines Order": "EARLY-LATE",
        "Columns Order": "NEAR-FAR",
        "Range Focusing Weighting Function": "HAMMING",
        "Range Focusing Weighting Coefficient": 0.75,
        "Azimuth Focusing Weighting Function": "HAMMING",
        "Azimuth Focusing Weighting Coefficient": 0.75,
        "Range Processing Number of Looks": np.uint8(1),
        "Azimuth Processing Number of Looks": np.uint8(1),
        "Range Spreading Loss Compensation Geometry": "ELLIPSOID",
        "Incidence Angle Compensation Geometry": "ELLIPSOID",
        "Range Antenna Pattern Compensation Geometry": "ELLIPSOID",
        "Reference Slant Range": constants.REFERENCE_RANGE,
        "Reference Slant Range Exponent": 1.0,
        "Reference Incidence Angle": constants.REFERENCE_ANGLE,
        "Calibration Constant Compensation Flag": np.uint8(0 if csk else 77),
        "Scene Centre Geodetic Coordinates": middle,
        "Centre Geodetic Coordinates": middle,
        "Ground Range Geometric Resolution": 3.0,
        "Azimuth Geometric Resolution": 3.0,
        "Subswaths Number": np.uint8(plan.subswaths),
        "Azimuth Polynomial Reference Time": frame.first_time,
        "Range Polynomial Reference Time": 2 * frame.near_range / _LIGHT,
        "Doppler Ambiguity Estimation Method": "NONE",
    }
    if csk:
        polynomials = (
            "Centroid vs Azimuth Time Polynomial",
            "Centroid vs Range Time Polynomial",
            "Doppler Rate vs Azimuth Time Polynomial",
            "Doppler Rate vs Range Time Polynomial",
        )
        found |= {
            "Product Filename": f"{plan.name}.h5",
            "Number of State Vectors": np.uint16(plan.orbit.times.size),
            "Rescaling Factor": constants.RESCALING,
        }
        found |= {name: np.r_[-4582.0 if "Rate" in name else 0.0, np.zeros(5)] for name in polynomials}
        found |= {f"Estimated {key}": value for key, value in _corners(plan, frame, frame.ends).items()}
    else:
        found["Polarization"] = plan.polarisations[0]
    if plan.level == "DGM":
        forward, back, seen = plan.slant_ranges()
        found |= {
            "Ground Projection Polynomial Reference Range": float(seen[0] - forward[0]),
            "Ground to Slant Polynomial": forward,
            "Slant to Ground Polynomial": back,
        }
    return found


def swath_attributes(plan: CosmoPlan, polarisation: str) -> dict[str, Any]:
    """Return the attributes of S01, S02 ..."""
    from sensetrack.cosmo import simulate as constants

    found: dict[str, Any] = {
        "PRF": plan.prf,
        "Sampling Rate": plan.sampling,
        "Range Chirp Length": 4e-5,
        "Range Chirp Rate": -1.6314697265625e12,
        "Range Chirp Samples": np.uint32(4500),
        "Range Focusing Bandwidth": 0.85 * plan.sampling,
        "Azimuth Focusing Bandwidth": 0.8 * plan.prf,
        "Azimuth Focusing Transition Bandwidth": 0.0,
        "Calibration Constant": constants.CONSTANT,
        "Rank": np.uint8(6),
        "Echo Sampling Window Length": np.uint32(15000),
        "Reference Dechirping Time": 0.0,
    }
    if plan.generation == "CSK":
        return found | {"Polarisation": polarisation}
    polynomials = ("Doppler Centroid vs Range Time Polynomial", "Doppler Centroid vs Azimuth Time Polynomial - RAW")
    rates = ("Doppler Rate vs Range Time Polynomial", "Doppler Rate vs Azimuth Time Polynomial")
    found |= {name: np.zeros(6) for name in polynomials} | {name: np.r_[-4582.0, np.zeros(5)] for name in rates}
    found |= {
        "Azimuth Polynomial Reference Time": plan.first_time,
        "Azimuth Polynomial Reference Time - ZD": plan.first_time,
        "Range Polynomial Reference Time": 2 * plan.near_range / _LIGHT,
        "Polarisation": polarisation,
    }
    return found


def image_attributes(plan: CosmoPlan, frame: Frame, seen: Floats | None = None) -> dict[str, Any]:
    """Return the attributes of an image; `seen` are the slant ranges of the columns of a DGM."""
    from sensetrack.cosmo import simulate as constants

    near, far = frame.ends if seen is None else (float(seen[0]), float(seen[-1]))
    (near_angle, near_look), (far_angle, far_look) = (constants.angles(plan, frame, end) for end in (near, far))
    found: dict[str, Any] = {
        "Line Spacing": constants.ground_speed(plan, frame) * frame.line_interval,
        "Column Spacing": frame.range_spacing if seen is None else plan.spacing,
        "Line Time Interval": frame.line_interval,
        "Column Time Interval": 2 * frame.range_spacing / _LIGHT if seen is None else 0.0,
        "Zero Doppler Azimuth First Time": frame.first_time,
        "Zero Doppler Azimuth Last Time": frame.last_time,
        "Zero Doppler Range First Time": 2 * near / _LIGHT,
        "Zero Doppler Range Last Time": 2 * far / _LIGHT,
        "Near Incidence Angle": near_angle,
        "Far Incidence Angle": far_angle,
        "Near Look Angle": near_look,
        "Far Look Angle": far_look,
        "Equivalent Number of Looks": 1.0,
        "Image Min": 0.0,
    }
    found |= _corners(plan, frame, (near, far))
    found["Centre Geodetic Coordinates"] = constants.corner(
        plan, frame, (frame.first_time + frame.last_time) / 2, (near + far) / 2
    )
    if plan.generation == "CSG":
        found["Rescaling Factor"] = constants.RESCALING
    return found


def _corners(plan: CosmoPlan, frame: Frame, ends: tuple[float, float]) -> dict[str, Any]:
    from sensetrack.cosmo import simulate as constants

    return {
        f"{row} {side} Geodetic Coordinates": constants.corner(plan, frame, time, distance)
        for row, time in (("Top", frame.first_time), ("Bottom", frame.last_time))
        for side, distance in (("Left", ends[0]), ("Right", ends[1]))
    }
