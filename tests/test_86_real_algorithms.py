"""Real glaciers, every algorithm: right, or flagged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

import sensetrack
from sensetrack import TrackConfig
from sensetrack.ot.bias import nmad
from sensetrack.workflow.executors import threads

pytestmark = pytest.mark.data

OPTIONS = {"pcc": {"upsmp_fac": 10, "passes": 2}}
FINE = {"pcc": {"upsmp_fac": 50}}
OTHERS = ("farneback", "ilk", "pcc", "tvl1")


def run(images, algorithm, parameters=None, **settings):
    config = TrackConfig(algorithm=algorithm, parameters=parameters or OPTIONS.get(algorithm, {}), **settings)
    with threads() as mapper:
        return sensetrack.track(images, config, mapper=mapper).offsets


def posts(field):
    """Row and column of every post, in pixel corners."""
    i, j = np.indices(field.grid.shape)
    return field.start[0] + i * field.step[0], field.start[1] + j * field.step[1]


def at_posts(trusted, field):
    """Good offsets of another field, between its posts; NaN where it has none."""
    places = [
        (place - start) / step for place, start, step in zip(posts(field), trusted.start, trusted.step, strict=True)
    ]
    return [
        ndimage.map_coordinates(np.where(trusted.good, part, np.nan), places, order=1, cval=np.nan)
        for part in (trusted.d_row, trusted.d_col)
    ]


def difference(field, trusted):
    """Length of the difference to another field where both are good, NaN elsewhere, px."""
    row, col = at_posts(trusted, field)
    return np.where(field.good, np.hypot(field.d_row - row, field.d_col - col), np.nan)


@pytest.fixture(scope="module")
def glacier(data):
    """Perito Moreno over 40 days, the share of ice around a pixel, and what NCC finds with small chips."""
    folder = data / "perito_moreno_s2"
    with pytest.warns(sensetrack.errors.NoGeoreferenceWarning):
        images = sensetrack.pair(folder / "20200101.jpg", folder / "20200210.jpg")
    white = (cv2.imread(str(folder / "mask.jpg"), cv2.IMREAD_GRAYSCALE) > 127).astype(np.float32)
    trusted = run(images, "ncc", {"chip": 32, "step": 8, "search": 20})
    return images, cv2.blur(white, (64, 64)), trusted


@pytest.mark.parametrize("name", OTHERS)
def test_ice_over_forty_days(glacier, name):
    """Median over the ice 8.5 to 9.3 px, or what cannot be measured is flagged and the rest agrees with NCC."""
    images, share, trusted = glacier
    field = run(images, name)
    ice = share[tuple(np.asarray(place, int) for place in posts(field))] > 0.99
    good = field.good & ice
    apart = difference(field, trusted)[good]
    apart = apart[np.isfinite(apart)]
    measured = good.sum() / ice.sum()
    size, turn = np.median(field.magnitude[good]), np.degrees(
        np.arctan2(np.median(field.d_row[good]), np.median(field.d_col[good]))
    )  # fmt: skip
    print(f"{name}: {measured:.0%} of the ice, {size:.2f} px towards {turn:.0f} deg, {np.mean(apart > 2):.1%} off")
    assert measured > 0.2
    assert turn == pytest.approx(-21, abs=5)
    assert np.median(apart) < 0.5
    assert np.mean(apart > 2) < 0.025
    if measured > 0.75:
        assert 8.5 <= size <= 9.3


@pytest.fixture(scope="module")
def photos(data):
    """Part of the photographs with the fastest ice between two slopes of rock; masks of the ice and of both slopes."""
    rows, cols = slice(330, 810), slice(640, 1400)
    found = {}
    for k in (0, 1, 3):
        grey = cv2.imread(str(data / "photos_glacier_dicfft" / f"glacier_t{k}.png"), cv2.IMREAD_GRAYSCALE)
        found[k] = sensetrack.Image(grey[rows, cols])
    outlines = (
        [[880, 555], [1000, 565], [1300, 640], [1380, 690], [1360, 720], [1180, 705], [980, 640]],
        [[800, 250], [1400, 200], [1400, 540], [1300, 510], [900, 420]],
        [[640, 660], [1000, 800], [1080, 900], [640, 900]],
    )
    masks = []
    for outline in outlines:
        mask = np.zeros((1080, 1920), np.uint8)
        cv2.fillPoly(mask, [np.array(outline)], 1)
        masks.append(mask[rows, cols] > 0)
    return found, masks


@pytest.mark.parametrize("name", ["ncc", *OTHERS])
def test_ice_moves_and_rock_stays_from_one_photo_to_the_next(photos, name):
    found, masks = photos
    field = run(sensetrack.ImagePair(found[0], found[1]), name, OPTIONS.get(name, {}) | FINE.get(name, {}))
    at = tuple(np.asarray(place, int) for place in posts(field))
    ice, right, left = (field.good & mask[at] for mask in masks)
    # The camera moved by a tenth of a pixel: one slope says by how much, the other whether it is true.
    d_row, d_col = (part - np.median(part[right]) for part in (field.d_row, field.d_col))
    moved = np.median(np.hypot(d_row, d_col)[ice])
    rest = np.hypot(np.median(d_row[left]), np.median(d_col[left]))
    scatter = nmad(d_row[left]), nmad(d_col[left])
    print(f"{name}: ice {moved:.2f} px, rock {rest:.3f} px, its NMAD {scatter[0]:.3f}, {scatter[1]:.3f} px")
    assert ice.sum() / masks[0][at].sum() > 0.5
    assert left.sum() / masks[2][at].sum() > 0.85
    assert 4 <= moved <= 6
    assert rest <= 0.1
    assert max(scatter) <= (0.1 if name in ("ncc", "pcc") else 0.3)


@pytest.mark.parametrize("name", ["ncc", *OTHERS])
def test_what_moved_too_far_is_right_or_flagged(photos, name):
    """More than 17 px over three steps: nobody may say a confident 1.2 px."""
    found, (ice, _, _) = photos
    images = sensetrack.ImagePair(found[0], found[3])
    trusted = run(images, "ncc", {"chip": 64, "step": 8, "search": 32})
    field = trusted if name == "ncc" else run(images, name)
    at = tuple(np.asarray(place, int) for place in posts(field))
    truth = np.median(trusted.magnitude[trusted.good & ice[tuple(np.asarray(p, int) for p in posts(trusted))]])
    assert 17 < truth < 25
    inside = ice[at]
    confident = field.good & inside
    slow = np.sum(field.magnitude[confident] < 8) / inside.sum()
    wrong = np.sum(difference(field, trusted)[confident] > 3) / inside.sum()
    print(
        f"{name}: {confident.sum() / inside.sum():.0%} of the ice measured, {slow:.2%} too slow, {wrong:.2%} 3 px off"
    )
    assert slow < 0.005
    assert wrong < 0.02
