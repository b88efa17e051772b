"""
A first displacement map
========================

Two simulated images of a landslide, 30 days apart: find how the ground moved, and compare it with the truth.
"""

# %%
# The simulator draws a valley flank before and after a landslide. Sun, clouds and noise differ between the
# images, so the match is not a trivial one.

from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
from affine import Affine

from sensetrack import Image, ImagePair, TrackConfig, track
from sensetrack.ot.simulate import mountain_pair

truth = mountain_pair((560, 640), peak=(5.0, 3.0))
where = Affine(10, 0, 600_000, 0, -10, 4_950_000)
reference = Image(truth.reference, where, "EPSG:32632", acquired=datetime(2024, 6, 1, tzinfo=UTC))
secondary = Image(truth.secondary, where, "EPSG:32632", acquired=datetime(2024, 7, 1, tzinfo=UTC))

fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
for ax, image, name in zip(axes, (reference, secondary), ("reference", "secondary"), strict=True):
    ax.imshow(image.image, cmap="gray", vmin=0, vmax=0.6)
    ax.set(title=name, xlabel="column", ylabel="row")

# %%
# Match chips of 32 px every 8 px, within 8 px of where they were; flag what is doubtful; subtract what moves
# everywhere alike, measured on the stable ground.


def at_posts(field, pixels):
    """Values of the pixels in which the posts of a field lie."""
    rows, cols = (
        int(first) + step * np.arange(n)
        for first, step, n in zip(field.start, field.step, field.grid.shape, strict=True)
    )
    return pixels[np.ix_(rows, cols)]


config = TrackConfig(parameters={"chip": 32, "step": 8, "search": 8})
result = track(ImagePair(reference, secondary), config, stable=lambda field: at_posts(field, truth.stable) * 1.0)
moved = result.displacement

print(f"good posts: {moved.good.mean():.0%}")
print("NMAD on stable ground: {:.3f} px along rows, {:.3f} px along columns".format(*result.bias.nmad_after))
print(f"fastest: {np.nanmax(np.where(moved.good, np.hypot(*moved.velocity), np.nan)):.2f} m/day")

# %%
# ``dx`` is positive to the east and ``dy`` to the north. Posts with a flag are left out; most are under the
# the cloud and outside the swaths.

true_dx, true_dy = result.offsets.to_map(at_posts(result.offsets, truth.d_row), at_posts(result.offsets, truth.d_col))
left, bottom, right, top = moved.grid.bounds
where_shown = {"extent": (left / 1000, right / 1000, bottom / 1000, top / 1000)}
limit = float(np.hypot(true_dx, true_dy).max())

fig, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
shown = {
    "found": np.where(moved.good, moved.magnitude, np.nan),
    "truth": np.hypot(true_dx, true_dy),
    "found - truth": np.where(moved.good, np.hypot(moved.dx - true_dx, moved.dy - true_dy), np.nan),
}
for ax, (name, values) in zip(axes, shown.items(), strict=True):
    picture = ax.imshow(values, cmap="viridis", vmin=0, vmax=limit, **where_shown)
    ax.set(title=name, xlabel="easting, km")
axes[0].set_ylabel("northing, km")
fig.colorbar(picture, ax=axes, label="displacement, m", shrink=0.85)

x, y = moved.grid.xy(*np.indices(moved.grid.shape))
pick = np.s_[::3, ::3]
arrows = moved.good & (moved.magnitude > 5)
axes[0].quiver(
    (x / 1000)[pick], (y / 1000)[pick],
    np.where(arrows, moved.dx, np.nan)[pick], np.where(arrows, moved.dy, np.nan)[pick],
    color="white", scale=600, width=0.004,
)  # fmt: skip
plt.show()

# %%
# Most of what is left comes from the sun, which stood elsewhere in the second image: shadows moved on ground
# that did not. It is larger along the edge of the landslide, where the motion changes within a chip.

error = shown["found - truth"][moved.good]
print(f"median error {np.median(error):.2f} m (pixels are 10 m), 95 % below {np.percentile(error, 95):.2f} m")
