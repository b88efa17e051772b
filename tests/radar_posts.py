"""Posts of radar images whose ground moves as is known, and the offsets that it shows by geometry alone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField
from sensetrack.sar.ellipsoid import axes
from sensetrack.sar.geometry import from_ecef, geo2rdr, rdr2geo, to_ecef
from sensetrack.sar.heights import HeightField
from sensetrack.sar.radar_field import RadarField

DT = timedelta(days=12)
STEP = 8, 44
CHIP = 64, 256


def posts_of(radar, *, step=STEP, chip=CHIP, first=(100, 300), shape=(9, 13), d_row=None, d_col=None, covariance=None):
    """Posts whose first chip begins at a pixel; offsets of 0 by default."""
    start = first[0] + chip[0] / 2, first[1] + chip[1] / 2
    nothing = np.zeros(shape, np.float32)
    field = OffsetField(
        nothing if d_row is None else np.asarray(d_row, np.float32),
        nothing if d_col is None else np.asarray(d_col, np.float32),
        np.zeros(shape, np.uint16), Grid(shape), step=step, start=start, covariance=covariance,
    )  # fmt: skip
    return RadarField(field, radar, np.ones(shape, bool), DT)


def moved(places, motion):
    """Places (lon, lat, height) after a motion east, north, up in m, in the axes of the place before."""
    step = np.einsum("...ij,...i->...j", axes(places[0], places[1]), np.stack(np.broadcast_arrays(*motion), axis=-1))
    return from_ecef(to_ecef(*places) + step)


def seen_again(posts, surface, motion, height=None):
    """The same posts with the offsets of a motion (east, north, up); `height` says where places end up."""
    radar = posts.radar
    time, far = radar.time(posts.lines)[:, None], radar.slant_range(posts.samples)[None]
    places = rdr2geo(radar, time, far, surface)
    lon, lat, up = moved(places[:3], motion)
    up = up if height is None else height(lon, lat, places)
    found = geo2rdr(radar, lon, lat, up)
    d_row = (found.time - time) / radar.line_interval
    d_col = (found.slant_range - far) / radar.range_spacing
    field = posts.field
    return posts.with_field(
        OffsetField(d_row.astype(np.float32), d_col.astype(np.float32), field.flags, field.grid, step=field.step,
                    start=field.start, covariance=field.covariance)
    )  # fmt: skip


def at_their_height(lon, lat, places):
    """Places stay at the height that they had."""
    return places.height


def tilted(radar, east=0.11, north=-0.07, height=650.0):
    """A plane that rises to the east and north, m per m, around the middle of an image."""
    middle = rdr2geo(radar, radar.middle_time, radar.slant_range(radar.samples / 2), height)
    d = 60.0 / 6.37e6
    d_lon = d / np.cos(middle.lat)
    i, j = np.mgrid[-900:901, -1400:1401] * 60.0
    # Rows go south.
    heights = height + east * j - north * i
    return HeightField(heights.astype(np.float32), middle.lon - 1400 * d_lon, middle.lat + 900 * d, d_lon, -d)


class Known:
    """A field of heights as a surface that is asked for ranges of longitude and latitude."""

    posting = 60.0

    def __init__(self, field):
        self.whole = field

    def field(self, west, south, east, north):
        return self.whole
