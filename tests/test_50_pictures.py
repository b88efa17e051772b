"""The quick-look: a picture for every field, however odd."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from affine import Affine
from matplotlib.image import imread

from sensetrack.grid import Grid
from sensetrack.ot.interfaces import Flag, OffsetField
from sensetrack.pictures.quicklook import draw_quicklook

NORTH_UP = Affine(10, 0, 600_000, 0, -10, 4_950_000)
TURNED = Affine.translation(600_000, 4_950_000) @ Affine.rotation(35) @ Affine.scale(10, -20)


def field(shape=(40, 50), step=(8, 8), affine=NORTH_UP, peak=(5.0, 3.0), flags=None) -> OffsetField:
    row, col = np.indices(shape)
    bump = np.exp(-(((row + 0.5) / shape[0] - 0.45) ** 2 + ((col + 0.5) / shape[1] - 0.55) ** 2) / 0.05)
    noise = np.random.default_rng(0).normal(0, 0.03, (2, *shape)) * (peak != (0.0, 0.0))
    image = (shape[0] * step[0], shape[1] * step[1])
    grid = Grid(image, affine, affine and "EPSG:32632").posts((step[0] / 2, step[1] / 2), step, shape)
    flags = np.zeros(shape, np.uint16) if flags is None else flags
    d_row, d_col = ((p * bump + n).astype(np.float32) for p, n in zip(peak, noise, strict=True))
    return OffsetField(d_row, d_col, flags, grid, step)


def draw(path, offsets, *, backdrop=None, metres=True, **options):
    extent = (offsets.grid.shape[0] * offsets.step[0], offsets.grid.shape[1] * offsets.step[1])
    if backdrop is None:
        backdrop = np.random.default_rng(1).normal(0.2, 0.05, tuple(max(2, n // 4) for n in extent))
    first = (offsets.step[0] / 2, offsets.step[1] / 2)
    displacement = offsets.to_displacement() if metres and offsets.grid.georeferenced else None
    options = {"title": "Title", "subtitle": "from here to there", **options}
    draw_quicklook(path, offsets, displacement, backdrop, extent, first_post=first, **options)
    return imread(path)[..., :3]


def test_the_picture(tmp_path):
    picture = draw(tmp_path / "a.png", field())
    assert (tmp_path / "a.png").stat().st_size > 20_000
    assert min(picture.shape[:2]) > 600
    # The colours are on the landslide and not on the still ground.
    colourful = np.ptp(picture, axis=2) > 0.3
    rows, cols = np.nonzero(colourful)
    assert colourful.mean() > 0.05
    assert 0.3 < np.median(rows) / picture.shape[0] < 0.5
    assert 0.45 < np.median(cols) / picture.shape[1] < 0.65


def test_the_picture_is_the_same_every_time(tmp_path):
    draw(tmp_path / "a.png", field(), dpi=50)
    draw(tmp_path / "b.png", field(), dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_dpi_sets_the_size(tmp_path):
    small, large = (draw(tmp_path / "a.png", field(), dpi=dpi) for dpi in (60, 120))
    assert np.allclose(np.array(large.shape[:2]) / small.shape[:2], 2, atol=0.02)


def test_flagged_posts_look_different(tmp_path):
    flags = np.zeros((40, 50), np.uint16)
    flags[:, :20] |= Flag.CLOUD.bit
    good, flagged = (draw(tmp_path / "a.png", field(flags=f), dpi=80) for f in (None, flags))
    assert good.shape == flagged.shape
    changed = np.abs(good - flagged).max(axis=2) > 0.05
    top, bottom = int(0.15 * good.shape[0]), int(0.75 * good.shape[0])
    left, right = int(0.38 * good.shape[1]), int(0.80 * good.shape[1])
    assert changed[top:bottom, 40:left].mean() > 0.6
    assert changed[top:bottom, right:-40].mean() < 0.02


def test_arrows_point_where_the_ground_goes(tmp_path):
    """Dark pixels of one arrow lie on the side of its post the motion points to."""
    for peak, (down, right) in {(6.0, 0.0): (1, 0), (-6.0, 0.0): (-1, 0), (0.0, 6.0): (0, 1)}.items():
        offsets = field((1, 1), (200, 200), None, peak)
        picture = draw(tmp_path / "a.png", offsets, backdrop=np.full((20, 20), np.nan), dpi=80)
        # A square map of 7.6 inches below the titles.
        size, top, left = int(7.6 * 80), int(0.78 * 80), int(0.3 * 80)
        dark = picture[top + 20 : top + size - 20, left + 20 : left + size - 20].max(axis=2) < 0.25
        rows, cols = np.nonzero(dark)
        middle = np.array(dark.shape) / 2
        pointed = np.array([rows.mean() - middle[0], cols.mean() - middle[1]])
        assert pointed @ (down, right) > 5
        assert abs(pointed @ (right, down)) < 5


ODD = {
    "all flagged": lambda: field(flags=np.full((40, 50), Flag.LOW_SCORE.bit | Flag.OUTLIER.bit, np.uint16)),
    "no motion": lambda: field(peak=(0.0, 0.0)),
    "one post": lambda: field((1, 1), (64, 64)),
    "one row": lambda: field((1, 60)),
    "wide": lambda: field((20, 100)),
    "tall": lambda: field((100, 20)),
    "slender": lambda: field((300, 6)),
    "turned": lambda: field(affine=TURNED),
    "south up": lambda: field(affine=Affine(10, 0, 600_000, 0, 10, 4_950_000)),
    "no georeference": lambda: field(affine=None),
    "tiny motion": lambda: field(peak=(1e-5, 2e-5)),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_fields(tmp_path, kind):
    picture = draw(tmp_path / "a.png", ODD[kind](), dpi=50)
    assert picture.std() > 0.05
    assert max(picture.shape) < 16 * 50


def test_nan_where_nothing_was_measured(tmp_path):
    offsets = field()
    offsets.d_row[:10], offsets.d_col[:10], offsets.flags[:10] = np.nan, np.nan, Flag.NO_DATA.bit
    draw(tmp_path / "a.png", offsets, backdrop=np.full((30, 40), np.nan), dpi=50)


def test_dense_field(tmp_path):
    draw(tmp_path / "a.png", field((1500, 701), (1, 1)), dpi=50)


def test_odd_titles(tmp_path):
    title = "S1A_IW_SLC " * 30 + "$x^2$ \n 中文 \x1b[31m"
    wide = draw(tmp_path / "a.png", field(), title=title, subtitle="", dpi=50)
    # Shortened: nothing is written into the right margin.
    assert wide[:38, -12:].min() == 1


def test_inputs_stay_as_they_are(tmp_path):
    offsets, backdrop = field(), np.random.default_rng(2).random((30, 40))
    before = [a.copy() for a in (offsets.d_row, offsets.d_col, offsets.flags, backdrop)]
    draw(tmp_path / "a.png", offsets, backdrop=backdrop, dpi=50)
    for old, new in zip(before, (offsets.d_row, offsets.d_col, offsets.flags, backdrop), strict=True):
        np.testing.assert_array_equal(old, new)


def test_threads_draw_side_by_side(tmp_path):
    jobs = [threading.Thread(target=draw, args=(tmp_path / f"{k}.png", field()), kwargs={"dpi": 50}) for k in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len({(tmp_path / f"{k}.png").read_bytes() for k in range(3)}) == 1


def test_matplotlib_is_loaded_late_and_pyplot_never(tmp_path):
    code = (
        "import sys, sensetrack.pictures.quicklook as q; assert 'matplotlib' not in sys.modules\n"
        "import numpy as np; from sensetrack.grid import Grid; from sensetrack.ot.fields import OffsetField\n"
        "z = np.zeros((3, 4)); f = OffsetField(z, z, z.astype('u2'), Grid((3, 4)), (2, 2))\n"
        f"q.draw_quicklook({str(tmp_path / 'a.png')!r}, f, None, z, (6, 8), first_post=(1., 1.), title='t')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
