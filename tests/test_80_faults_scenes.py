"""What can be seen between two dates that is not motion, and motion that is not of the ground.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
from scipy import ndimage
from shapely import box

from conftest import write_tif
from test_80_faults import Product, follow, no_picture  # noqa: F401
from test_80_faults_bands import METHODS, options_of
from test_80_faults_rasters import write_pair
from truth import TALL, UTM, arrays

EVERY = pytest.mark.parametrize("method", METHODS)
SHARP = {"ncc", "pcc", "farneback"}
"""Algorithms that bear a change of brightness; others only have to keep what every algorithm promises."""
SHAPE = 230, 270


def posts_of(product: Product, layer: np.ndarray) -> np.ndarray:
    """Mean of a layer of the images over what each post was measured from (32 px around it)."""
    if product.flags.shape == layer.shape:
        return ndimage.uniform_filter(layer.astype(float), 32, mode="nearest")
    mean = ndimage.uniform_filter(layer.astype(float), 32, mode="nearest")
    return mean[16::16, 16::16][: product.flags.shape[0], : product.flags.shape[1]]


def texture(seed: int, sigma: float, shape=SHAPE) -> np.ndarray:
    """Random texture of one scale, standardised."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (noise - noise.mean()) / noise.std()


def ground(seed: int = 6, motion=None) -> tuple[np.ndarray, np.ndarray]:
    """A scene that moved 3 rows and 5 columns, standardised."""
    return tuple((part - part.mean()) / part.std() for part in arrays(SHAPE, motion, seed=seed))


@EVERY
@pytest.mark.parametrize("grain", [0, 2], ids=["white", "coarse"])
def test_noise_does_not_move(cli, tmp_path, method, grain):
    """60: fewer than one post in twenty passes."""
    images = [1000 + 200 * texture(seed, grain) for seed in (11, 12)]
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in images))
    product = follow(cli, *files, small=options_of(method), gross="none" if grain else "auto")
    assert product.good.mean() < 0.05
    if method == "ncc":
        assert np.nanmedian(product.score) < 0.5


def cloud(seed: int, share: float) -> np.ndarray:
    """How opaque clouds are, 0..1: a few of them, with soft edges, over a share of the scene."""
    field = texture(seed, 22)
    edge = np.quantile(field, 1 - share)
    return np.clip((field - edge) / 0.15 + 0.5, 0, 1)


@EVERY
def test_clouds_hide_the_ground_and_do_not_move_it(cli, tmp_path, method):
    """61: two skies over one moving ground; what is kept below the clouds is little, and right."""
    skies = cloud(3, 0.3), cloud(8, 0.3)
    images = [
        (1 - sky) * (1000 + 150 * part) + sky * (2200 + 60 * texture(seed, 4))
        for seed, (part, sky) in enumerate(zip(ground(), skies, strict=True))
    ]
    product = follow(cli, *write_pair(tmp_path, *(part.astype(np.uint16) for part in images)), small=options_of(method))
    hidden = posts_of(product, np.maximum(*skies))
    below, clear = hidden > 0.6, hidden < 0.02
    assert below.mean() > 0.25
    assert clear.mean() > 0.1
    assert product.good[below].mean() <= 0.3
    assert product.good[clear].mean() > (0.4 if method in SHARP else 0.1)
    error = product.error(3, 5)
    assert np.nanmedian(error) < 0.15
    kept = error[below & product.good]
    if method in SHARP:
        assert kept.size < 6 or np.median(kept) < 1
        assert (error[product.good] > 2).mean() < 0.05


@EVERY
@pytest.mark.parametrize("change", ["other ground", "brighter"])
def test_what_changed_did_not_move(cli, tmp_path, method, change):
    """62: a third of the scene is another one at the second date, and nothing moved."""
    still = ground(7, lambda row, col: (np.zeros_like(row), np.zeros_like(col)))
    flooded = np.zeros(SHAPE)
    rows, cols = np.indices(SHAPE)
    flooded[(rows - 0.5 * cols > -10) & (rows - 0.5 * cols < 95)] = 1
    second = {
        "other ground": texture(9, 1.5),
        "brighter": 1.5 + 0.6 * still[1],
    }[change]
    images = still[0], np.where(flooded > 0, second, still[1])
    files = write_pair(tmp_path, *((500 + 90 * part).astype(np.float32) for part in images))
    product = follow(cli, *files, small=options_of(method))
    share = posts_of(product, flooded)
    inside, outside = share == 1, share == 0
    assert inside.mean() > 0.1
    assert outside.mean() > 0.3
    error = product.error(0, 0)
    assert np.nanmedian(error) < (0.1 if method in SHARP else 1.2)
    if method in SHARP:
        assert (error[product.good] > 1).mean() < 0.02
        assert product.good[outside].mean() > 0.8
    if change != "brighter":
        assert product.good[inside].mean() < 0.05
    elif method in SHARP:
        assert product.good[inside].mean() > 0.9


CENTRE = SHAPE[0] / 2, SHAPE[1] / 2
SLIDE = 144, 96, 32
"""Row and column of the middle of a landslide, and its width, px."""


def seen_from(shift: tuple[float, float], turn: float):
    """A landslide of 3 rows and 5 columns in a frame that is itself shifted, and turned by degrees."""
    angle = np.radians(turn)

    def motion(row, col):
        top = np.exp(-((((row - SLIDE[0]) ** 2 + (col - SLIDE[1]) ** 2) / (2 * SLIDE[2] ** 2)) ** 2))
        return (
            shift[0] + angle * (col - CENTRE[1]) + 3 * top,
            shift[1] - angle * (row - CENTRE[0]) + 5 * top,
        )

    return motion


@EVERY
@pytest.mark.parametrize(
    ("shift", "turn", "bias", "how"),
    [((2.4, -1.7), 0.0, "median", "polygons"), ((-1.3, -2.2), 0.35, "plane", "mask")],
    ids=["shifted", "turned"],
)
def test_stable_ground_takes_the_camera_out_of_the_motion(cli, tmp_path, method, shift, turn, bias, how):
    """65: rock and land are left with less than 0.3 px, and the landslide with its own motion."""
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in ground(8, seen_from(shift, turn))))
    # Drawn around the landslide: all else is stable.
    moving = 64, 16, 224, 176  # rows and columns
    if how == "polygons":
        (left, top), (right, bottom) = TALL @ (moving[1], moving[0]), TALL @ (moving[3], moving[2])
        area = tmp_path / "moving.gpkg"
        geopandas.GeoSeries([box(left, bottom, right, top)], crs=UTM).to_frame("geometry").to_file(area)
        option = "--unstable-ground", area
    else:
        stable = np.full(SHAPE, 255, np.uint8)
        stable[moving[0] : moving[2], moving[1] : moving[3]] = 0
        option = "--stable-ground", write_tif(tmp_path / "stable.tif", stable)
    product = follow(cli, *files, *option, "--bias", bias, small=options_of(method))
    inside = np.zeros(SHAPE)
    inside[moving[0] : moving[2], moving[1] : moving[3]] = 1
    rock = (posts_of(product, inside) == 0) & product.good
    assert rock.sum() > 20
    report = product.record["bias"]
    # Before, the frame alone moved it all.
    assert report["median_before"] == pytest.approx(shift, abs=0.75)
    assert np.median(np.abs(report["median_before"])) > 1
    error = np.hypot(product.d_row, product.d_col)
    assert np.median(error[rock]) <= 0.15
    assert np.percentile(error[rock], 95) <= 0.3
    assert max(np.abs(report["median_after"])) < 0.05
    assert max(report["nmad_after"]) < 0.15
    # On flat top of the landslide the motion is its own.
    at = SLIDE[:2] if product.flags.shape == SHAPE else (SLIDE[0] // 16 - 1, SLIDE[1] // 16 - 1)
    assert product.good[at]
    assert (product.d_row[at], product.d_col[at]) == pytest.approx((3, 5), abs=0.3)
    assert (np.nanmedian(product.dx[rock]), np.nanmedian(product.dy[rock])) == pytest.approx((0, 0), abs=2)
