"""Scenes of a batch: some thousand small ones of ground that moves evenly, and known ones among them that are bad."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
import yaml
from affine import Affine
from scipy import ndimage

SIDE = 128
"""Of a scene, px."""
PLACES = 4
"""Where the ground may be: there are so many good scenes, all others are further names of them."""
STEP = 0.75, -1.25
"""Rows down and columns to the right from one place to the next, px."""
BAD = {"truncated": 100, "nan": 200, "constant": 200, "crs": 200}
"""One scene in so many pairs is of a kind; a truncated one makes no pair, each of the others spoils two."""
SAYS = {"truncated": "is truncated", "nan": "no ground that is measured", "crs": "do not overlap"}
"""What a report says of them."""
ROOM = 20
"""Scenes of which one is bad at most, never near an end: no pair has two bad ones."""
TRACK = {"parameters": {"chip": 32, "step": 16, "search": 8}, "gross": "none", "quicklook": False}
TOLERANCE = 0.1
"""Pixels by which the median offset of a pair may miss."""
_FIRST = date(1985, 1, 1)


@dataclass(frozen=True)
class Batch:
    """A study, and what has to become of it."""

    study: Path
    scenes: dict[str, str] = field(default_factory=dict)
    """Kind of each scene by name, in the order of time: place of the ground, or what is bad."""

    @property
    def pairs(self) -> dict[str, tuple[str, str]]:
        """Kinds of both scenes of each pair, by name."""
        usable = [(name, kind) for name, kind in self.scenes.items() if kind != "truncated"]
        return {f"{one[0][6:]}-{other[0][6:]}": (one[1], other[1]) for one, other in pairwise(usable)}

    def faults(self, results: Path) -> list[str]:
        """Return what a report says otherwise than it has to; nothing where it is right."""
        report = json.loads((results / "report.json").read_text(encoding="utf-8"))
        bad = {Path(row["path"]).stem: row["error"] for row in report["scenes"] if row["status"] == "failed"}
        wanted = {name for name, kind in self.scenes.items() if kind == "truncated"}
        found = [f"scene {name}: is said to be bad, or not" for name in wanted ^ bad.keys()]
        found += [f"scene {name}: {error}" for name, error in bad.items() if SAYS["truncated"] not in error]
        rows = {row["pair"]: row for row in report["pairs"]}
        pairs = self.pairs
        found += [f"pair {name}: is missing, or nobody asked for it" for name in pairs.keys() ^ rows.keys()]
        found += [text for name, row in rows.items() if name in pairs and (text := _fault(pairs[name], row))]
        if report["exit_code"] != 4:
            found.append(f"exit code {report['exit_code']}")
        return found

    def counts(self) -> Counter[str]:
        """Number of pairs of each kind; of truncated, scenes."""
        kinds = Counter(_kind(pair) for pair in self.pairs.values())
        return kinds + Counter(kind for kind in self.scenes.values() if kind == "truncated")


def _kind(pair: tuple[str, str]) -> str:
    """Return what is bad in a pair, or "good"."""
    return next((kind for kind in pair if kind in BAD), "good")


def _fault(pair: tuple[str, str], row: dict) -> str | None:
    """Return what is wrong with the line of a pair in a report."""
    kind, name = _kind(pair), row["pair"]
    status = "failed" if kind in SAYS else "done"
    if row["status"] != status:
        return f"pair {name} ({kind}): {row['status']}"
    if kind in SAYS:
        return None if SAYS[kind] in row["error"] else f"pair {name} ({kind}): {row['error']}"
    if kind == "constant":
        return None if row["good_share"] == 0 else f"pair {name}: has good posts without texture"
    moved = int(pair[1]) - int(pair[0])
    found = row["median_offset_row_px"], row["median_offset_col_px"]
    apart = max(abs(a - b * moved) for a, b in zip(found, STEP, strict=True))
    return None if apart <= TOLERANCE and row["good_share"] > 0.9 else f"pair {name}: moved {found}"


def write_batch(folder: Path, pairs: int, seed: int) -> Batch:
    """Write scenes, one a day, and the study that pairs each with the next."""
    kinds = _kinds(pairs, np.random.default_rng(seed))
    files = _write_files(folder / "files", seed)
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    scenes = {f"scene_{_FIRST + timedelta(days=day):%Y%m%d}": kind for day, kind in enumerate(kinds)}
    for name, kind in scenes.items():
        _another_name(files[kind], folder / "scenes" / f"{name}.tif")
    values = {
        "scenes": {"files": ["scenes/*.tif"]}, "pairs": {"kind": "sequential", "search_days": None}, "track": TRACK,
        "stack": None,
    }  # fmt: skip
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(values), encoding="utf-8")
    return Batch(study, scenes)


def _kinds(pairs: int, rng: np.random.Generator) -> list[str]:
    """Return the kind of each scene, such that so many pairs come of them."""
    bad = [kind for kind, every in BAD.items() for _ in range(pairs // every)]
    number = pairs + 1 + bad.count("truncated")
    kinds = [f"{day % PLACES}" for day in range(number)]
    for slot, kind in zip(rng.permutation(number // ROOM)[: len(bad)], rng.permutation(bad), strict=True):
        kinds[slot * ROOM + rng.integers(3, ROOM - 3)] = str(kind)
    return kinds


def _write_files(folder: Path, seed: int) -> dict[str, Path]:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(rng.normal(size=(SIDE + 40, SIDE + 40)), 1.2)
    files = {}
    for place in range(PLACES):
        moved = ndimage.shift(ground, [place * step for step in STEP], order=5)[20:-20, 20:-20]
        pixels = 2000 + 4000 * (moved + 0.01 * rng.normal(size=moved.shape))
        files[f"{place}"] = _write(folder / f"{place}.tif", np.clip(pixels, 1, 65535).astype(np.uint16))
    files["nan"] = _write(folder / "nan.tif", np.full((SIDE, SIDE), np.nan, np.float32), nodata=np.nan)
    files["constant"] = _write(folder / "constant.tif", np.full((SIDE, SIDE), 2000, np.uint16))
    with rasterio.open(files["0"]) as file:
        files["crs"] = _write(folder / "crs.tif", file.read(1), crs="EPSG:32719")
    whole = files["1"].read_bytes()
    files["truncated"] = folder / "truncated.tif"
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    return files


def _write(path: Path, pixels: np.ndarray, *, nodata: float = 0, crs: str = "EPSG:32632") -> Path:
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 1, "dtype": pixels.dtype, "nodata": nodata,
               "crs": crs, "transform": Affine(10, 0, 600_000, 0, -20, 4_950_000), "compress": "deflate"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels, 1)
    return path


def _another_name(file: Path, name: Path) -> None:
    try:
        os.link(file, name)
    except OSError:  # no links here, or too many of one file
        shutil.copyfile(file, name)
