"""What is known of a window of a map at its nodes: where the radar saw them, and how it looked at the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.geometry import geo2rdr_xyz, to_ecef
from sensetrack.sar.lattice import Parabolas, height_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.sar.radargrid import RadarGrid


@dataclass(frozen=True, eq=False)
class Nodes:
    """What is known at the nodes of a window."""

    radar: RadarGrid
    node: int
    middle: float
    half: float
    xyz: NDArray[np.float64]
    """(3 heights, node rows, node columns, 3), m: at the lower end, the middle and the upper end."""
    time: NDArray[np.float64]
    """(3, node rows, node columns), s."""
    distance: NDArray[np.float64]
    """(3, node rows, node columns), slant range, m."""

    @classmethod
    def of(
        cls, radar: RadarGrid, node: int, place: tuple[NDArray[np.float64], NDArray[np.float64]], height: NDArray[Any]
    ) -> Nodes:
        """Look for nodes at longitudes and latitudes, radians, at three heights around those of the window."""
        middle, half = height_interval(height)
        lon, lat = place
        xyz = np.stack([to_ecef(lon, lat, np.full_like(lon, h)) for h in (middle - half, middle, middle + half)])
        time, distance = geo2rdr_xyz(radar, xyz)
        return cls(radar, node, middle, half, xyz, time, distance)

    def parabolas(self, names: Sequence[str]) -> Parabolas:
        """Return line, sample, look, incidence, facing, facing_row, facing_col, those asked for."""
        values = np.stack([getattr(self, f"_{name}")() for name in names])
        return Parabolas.through(values, self.node, self.middle, self.half)

    def _line(self) -> NDArray[np.float64]:
        return self.radar.line(self.time)

    def _sample(self) -> NDArray[np.float64]:
        return self.radar.sample(self.distance, self.time)

    def _sight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return unit vectors from the satellite to the ground, and places of the satellite, m."""
        position, _ = self.radar.orbit.state(self.time)
        sight = self.xyz - position
        return sight / np.linalg.norm(sight, axis=-1, keepdims=True), np.asarray(position)

    def _up(self) -> NDArray[np.float64]:
        up = self.xyz[2] - self.xyz[0]
        return np.asarray(up / np.linalg.norm(up, axis=-1, keepdims=True))

    def _look(self) -> NDArray[np.float64]:
        sight, position = self._sight()
        down = -position / np.linalg.norm(position, axis=-1, keepdims=True)
        return np.arccos(np.clip(_dot(sight, down), -1, 1))

    def _incidence(self) -> NDArray[np.float64]:
        sight, _ = self._sight()
        return np.arccos(np.clip(-_dot(sight, self._up()), -1, 1))

    def _tangents(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the steps on the ground, m, of one row and of one column, at every node."""
        row, col = (np.gradient(self.xyz[1], axis=axis) / self.node for axis in (0, 1))
        return row, col

    # With the steps b of a row and a of a column and the height h, the ground has the normal
    # (b + h_b up) x (a + h_a up) up to its sign, and what is seen of it is that against the line of sight.
    def _facing(self) -> NDArray[np.float64]:
        row, col = self._tangents()
        return self._towards(np.cross(row, col))

    def _facing_row(self) -> NDArray[np.float64]:
        return self._towards(np.cross(self._up(), self._tangents()[1]))

    def _facing_col(self) -> NDArray[np.float64]:
        return self._towards(np.cross(self._tangents()[0], self._up()))

    def _towards(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        sight, _ = self._sight()
        row, col = self._tangents()
        sign = np.sign(_dot(np.cross(row, col), self._up()))
        return -_dot(sight, normal) * sign

    def local_incidence(self, values: dict[str, NDArray[np.float64]], height: NDArray[np.float64]) -> NDArray[Any]:
        """Angle between the line of sight and the normal of the ground, radians; above 90 degrees: turned away."""
        by_row, by_col = np.gradient(height)
        seen = values["facing"] + by_row * values["facing_row"] + by_col * values["facing_col"]
        middle = tuple(size // 2 for size in self.xyz.shape[1:3])
        row, col = (step[middle] for step in self._tangents())
        up = self._up()[middle]
        flat, of_row, of_col = np.cross(row, col), np.cross(up, col), np.cross(row, up)
        square = flat @ flat + 2 * by_row * (flat @ of_row) + 2 * by_col * (flat @ of_col)
        square = square + by_row**2 * (of_row @ of_row) + by_col**2 * (of_col @ of_col)
        square += 2 * by_row * by_col * (of_row @ of_col)
        return np.asarray(np.arccos(np.clip(seen / np.sqrt(square), -1, 1)))

    def away(self) -> tuple[float, float]:
        """Rows and columns in which range grows while azimuth time stays, in the middle of the window."""
        line, place = self._line()[1], self._sample()[1]
        known = [np.nanmedian(part) for part in (*np.gradient(line), *np.gradient(place))]
        if not np.isfinite(known).all():
            return 0.0, 1.0
        line_row, line_col, place_row, place_col = known
        # Perpendicular to the gradient of time, on the side where range grows.
        row, col = -line_col, line_row
        sign = 1.0 if row * place_row + col * place_col > 0 else -1.0
        return sign * float(row), sign * float(col)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((a * b).sum(axis=-1))
