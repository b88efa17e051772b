"""How far offsets, seams and metres of simulated pairs are from what was put in."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from slc_cases import Case, st

import slc_chain  # on the path of slc_cases
from sensetrack.sar.coregister import computed
from sensetrack.sar.deburst import Deburst
from sensetrack.sar.merge import Part, frame_of, lattice_posts, merge, seams
from sensetrack.sar.offsets import SlcOffsets, measure

CHIP, STEP, SEARCH = (64, 128), (64, 128), (10, 16)
MANY = 20
"""Posts that the median of a row or column must have."""
FAR = 0.5
"""Pixels beyond which a post is called lost."""
COMPAT = "as topsApp"


class Row(NamedTuple):
    """What a way of measuring makes of a burst."""

    what: str
    posts: int
    """Whose ground is known."""
    good: float
    """Share of them without a flag."""
    lost: int
    """Good posts that are farther off than FAR."""
    coherent: float
    """Share of the good that were matched with their phase."""
    rows: st.Scatter
    cols: st.Scatter
    within: tuple[tuple[float, float], tuple[float, float]]
    """Share of the errors within one and two sigmas: rows, columns."""


def judged(what: str, truth: Any, match: Any, places: tuple[Any, Any]) -> Row:
    """Hold offsets at places (lines, samples) of a burst against the truth."""
    field = match.field
    wanted = truth.over_chips(*places, CHIP)
    measured = wanted.plain & np.isfinite(field.d_row)
    good = measured & field.good
    errors = [np.where(good, found - true, np.nan)
              for found, true in ((field.d_row, wanted.d_line), (field.d_col, wanted.d_sample))]  # fmt: skip
    nothing = np.full((*good.shape, 3), np.nan)
    covariance = nothing if field.covariance is None else field.covariance.astype(float)
    sigmas = np.sqrt(np.where(covariance > 0, covariance, np.nan))
    return Row(
        what, int(measured.sum()), float(good.sum() / max(measured.sum(), 1)),
        int(np.sum(np.hypot(*errors) > FAR)), float(match.coherent[good].mean()) if good.any() else float("nan"),
        *(st.scatter(part) for part in errors), tuple(st.within(errors[k], sigmas[..., k]) for k in (0, 1)),
    )  # fmt: skip


def burst_rows(case: Case, key: str, what: str, ways: dict[str, dict[str, Any]], mapper: Any) -> list[Row]:
    """Measure the first burst of a swath in several ways."""
    (pair,) = (one for one in slc_chain.bursts(case.pair.paths) if one.key == key)
    found, truth = slc_chain.images(pair, surface(case), mapper=mapper), case.truth(key)
    out = []
    for name, options in ways.items():
        settings = SlcOffsets(**{"chip": CHIP, "step": STEP, "search": SEARCH} | options)
        seen = tops_app(found) if name == COMPAT else found
        one = slc_chain.offsets(seen, settings, mapper=mapper)
        out.append(judged(f"{what}: {name}", truth, one.match, one.places()))
    return out


def surface(case: Case) -> Any:
    """Open the elevation model of a case."""
    from sensetrack.files.dem import open_dem

    return open_dem(case.dem, case.vertical)


def tops_app(found: slc_chain.Images) -> slc_chain.Images:
    """Return the images of a burst as topsApp has them: each with its carrier, bursts put together."""
    pair = found.pair
    burst = pair.reference_burst
    again = pair.coregistered(found.registration, reramp=True)
    alone = replace(burst, line=0)
    return found._replace(
        reference=computed(Deburst(pair.reference.measurement, [burst])),
        secondary=computed(Deburst(computed(again), [alone])),
    )


# Seams


class Seam(NamedTuple):
    """What is seen where two bursts or swaths join."""

    what: str
    posts: int
    step: tuple[float, float]
    """Median of the errors beyond the seam minus that before it, px."""
    worst: tuple[float, float]
    """Largest jump of the median error from one row (column) of posts to the next at the seam, px."""
    usual: tuple[float, float]
    """The same anywhere: 95 of 100 jumps are smaller, px."""
    both: tuple[float, float]
    """Median difference of the two measurements where they overlap, px; NaN where they do not."""


def seam(case: Case, what: str, mapper: Any, *, axis: int = 0) -> Seam:
    """Measure all bursts of a case and look at the errors where they join: along the flight (0) or across it (1)."""
    settings = SlcOffsets(chip=CHIP, step=(16, 64) if axis == 0 else (32, 32), search=SEARCH)
    pairs = slc_chain.bursts(case.pair.paths)
    frame = frame_of([pair.reference_grid for pair in pairs])
    whole = [lattice_posts(frame, pair.reference_grid, CHIP, settings.step) for pair in pairs]
    beside = 20 * settings.step[axis]
    join = [(one.rows, one.cols)[axis] for one in whole]
    near = slice(max(join[1].start - beside, 0), join[0].stop + beside)
    window = (near, slice(None)) if axis == 0 else (slice(None), near)
    parts, edges = [], []
    for number, pair in enumerate(pairs):
        posts = lattice_posts(frame, pair.reference_grid, CHIP, settings.step, window)
        images = slc_chain.images(pair, surface(case), mapper=mapper)
        match = measure(
            images.reference, images.secondary, settings, start=posts.start, posts=posts.posts, bands=pair.bands,
            mapper=mapper,
        )  # fmt: skip
        parts.append(Part(posts, match.field, match.coherent, number))
        at = np.flatnonzero(np.isfinite(match.field.d_row).any(axis=1 - axis))
        edges.append((posts.rows, posts.cols)[axis].start + at[[0, -1]])
    merged = merge(frame, parts)
    errors = frame_errors(case, merged.crop(*window))
    found = seams(parts)
    both = found[0].median if found else (float("nan"), float("nan"))
    return stepped(what, errors, (edges[1][0] - near.start, edges[0][1] - near.start), both, axis)


def frame_errors(case: Case, posts: Any) -> Any:
    """Return the errors (2, rows, columns) of merged posts, px; NaN where they are not good."""
    plans, frame = case.pair.plans, posts.radar
    first, second = (one.frame(one.swaths[0], 0) for one in plans)
    begin = frame.first_time + (frame.epoch - plans[0].epoch).total_seconds()
    shape = {"lines": frame.lines, "samples": frame.samples}
    wide = replace(first, first_time=begin, near_range=frame.near_range, **shape)
    truth = st.Burst(case.pair.scene, wide, replace(second, **shape))
    wanted = truth.over_chips(posts.lines[:, None], posts.samples, CHIP, nodes=2)
    field = posts.field
    good = wanted.plain & field.good
    return np.where(good, np.stack([field.d_row - wanted.d_line, field.d_col - wanted.d_sample]), np.nan)


def stepped(what: str, errors: Any, join: tuple[int, int], both: tuple[float, float], axis: int) -> Seam:
    """Describe the errors where two parts join: `join` is the first post of the second, and the last of the first."""
    errors = errors if axis == 0 else errors.transpose(0, 2, 1)
    low, high = join[0], join[1] + 1
    sides = errors[:, max(low - 16, 0) : low], errors[:, high : high + 16]
    step = [float(np.nanmedian(sides[1][k]) - np.nanmedian(sides[0][k])) for k in (0, 1)]
    known = np.isfinite(errors).sum(axis=2) >= MANY
    profile = np.array([[np.nanmedian(row) if good else np.nan for row, good in zip(part, fine, strict=True)]
                        for part, fine in zip(errors, known, strict=True)])  # fmt: skip
    jumps = np.abs(np.diff(profile[:, max(low - 2, 0) : high + 3], axis=1))
    worst = [float(np.nanmax(part)) for part in jumps]
    elsewhere = np.abs(np.diff(profile, axis=1))
    usual = [float(np.nanpercentile(part, 95)) for part in elsewhere]
    count = int(np.isfinite(errors[0]).sum())
    return Seam(what, count, (step[0], step[1]), (worst[0], worst[1]), (usual[0], usual[1]), both)


# Metres, from the command line


class Metres(NamedTuple):
    """What a whole run says on the ground, away from the edges."""

    what: str
    posts: int
    """Pixels of the map that are good."""
    bias: tuple[float, float]
    """Median error east and north, m."""
    mad: tuple[float, float]
    sigma: tuple[float, float]
    """Median of the standard errors that were written, m."""
    within: tuple[tuple[float, float], tuple[float, float]]
    slide: tuple[float, float, float, float]
    """Mean motion in the middle of the slide, east and north: found, and true; m."""
    seconds: float
    """Of the whole command."""
    memory: float
    """Most resident memory, bytes."""


def command(case: Case, folder: Path, *options: str) -> tuple[list[str], float, float]:
    """Run `sensetrack slc`; return the command, its seconds and its largest resident memory."""
    words = ["slc", *map(str, case.pair.paths), "-o", str(folder), "--dem", str(case.dem), "--vertical", case.vertical]
    words += [*options, "--overwrite", "--quiet"]
    # The largest memory of a child that is asked for from outside would be that of this process where it began.
    code = "import sys; from pathlib import Path; from sensetrack.cli import run; code = run(sys.argv[1:]); "
    code += "status = Path('/proc/self/status'); lines = status.read_text().splitlines() if status.exists() else []; "
    code += "print(*(line.split()[1] for line in lines if line.startswith('VmHWM')), 'nan'); sys.exit(code)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"sensetrack {' '.join(words)}: {done.stderr[-2000:]}")
    return words, took, 1024.0 * float(done.stdout.splitlines()[-1].split()[0])


def metres(case: Case, key: str, what: str, folder: Path, *options: str) -> Metres:
    """Run the command line and hold its map against the truth."""
    import pyproj
    import rasterio

    _, seconds, memory = command(case, folder, *options)
    with rasterio.open(folder / "displacement.tif") as file:
        dx, dy, transform, crs = file.read(1), file.read(2), file.transform, file.crs
    with rasterio.open(folder / "quality.tif") as file:
        names = list(file.descriptions)
        sigmas = [file.read(names.index(name) + 1) for name in ("sigma_dx", "sigma_dy")]
    row, col = np.nonzero(np.isfinite(dx))
    x, y = transform.c + transform.a * (col + 0.5), transform.f + transform.e * (row + 0.5)
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    truth = case.truth(key)
    east, north = truth.level(lon, lat)
    turn = np.radians(pyproj.Proj(crs).get_factors(lon, lat).meridian_convergence)
    true = east * np.cos(turn) - north * np.sin(turn), north * np.cos(turn) + east * np.sin(turn)
    return _metres(what, (dx[row, col], dy[row, col]), true, [s[row, col] for s in sigmas],
                   _middle(case, lon, lat), (seconds, memory))  # fmt: skip


def _middle(case: Case, lon: Any, lat: Any) -> Any:
    motion = case.pair.scene.displacement
    return np.zeros(lon.shape, bool) if motion is None else motion.share(lon, lat) > 0.8


def _metres(what: str, found: Any, true: Any, sigmas: Any, middle: Any, cost: tuple[float, float]) -> Metres:
    errors = [one - other for one, other in zip(found, true, strict=True)]
    spread = [st.scatter(part) for part in errors]
    slide = [float(np.nanmedian(part[middle])) if middle.any() else float("nan") for part in (*found, *true)]
    return Metres(
        what, len(found[0]), (spread[0].bias, spread[1].bias), (spread[0].mad, spread[1].mad),
        tuple(float(np.nanmedian(part)) for part in sigmas),
        tuple(st.within(error, sigma) for error, sigma in zip(errors, sigmas, strict=True)),
        (slide[0], slide[1], slide[2], slide[3]), *cost,
    )  # fmt: skip
