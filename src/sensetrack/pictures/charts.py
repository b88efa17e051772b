"""What all charts share: axes in inches, dates in UTC, keys, numbers with their errors, and how a picture is saved."""

from __future__ import annotations

import io
import os
import threading
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import OutputError
from sensetrack.pictures.legend import INK, fitted, print_figure, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]
    Dates = NDArray[np.datetime64]

WIDTH, LEFT, RIGHT, HEAD = 9.0, 0.95, 0.4, 0.85
"""Width of a chart, white space left and right of its axes, and height of its headings, inches."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8f6a00", "#56b4e9", "#7d4fa3", "#4d4d4d")
"""Of several lines; most of those who see fewer colours can tell them apart."""
GREY, FAINT, ALARM = "#777777", "#dddddd", "#c22f2f"
FONT: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}
DAY = np.timedelta64(1, "D")
_TICKS = 7
"""Most dates along an axis: more would touch."""
_YEAR = 365.25
_MINUS = "\N{MINUS SIGN}"


def chart(height: float, title: str, subtitle: str = "", dpi: int = 130) -> Figure:
    """Return an empty figure with both headings, `height` inches tall in all."""
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), dpi=dpi, facecolor="white")
    room = WIDTH - 2 * RIGHT
    fitted(figure, (RIGHT, height - 0.36), title, room, fontsize=13, weight="bold", color=INK)
    fitted(figure, (RIGHT, height - 0.60), subtitle, room, fontsize=9.5, color="#555555")
    return figure


def panel(figure: Figure, bottom: float, height: float, *, left: float = LEFT, right: float = RIGHT) -> Axes:
    """Return axes across the figure; all in inches."""
    wide, tall = figure.get_size_inches()
    ax = figure.add_axes((left / wide, bottom / tall, (wide - left - right) / wide, height / tall))
    for side, spine in ax.spines.items():
        spine.set(visible=side in {"left", "bottom"}, linewidth=0.7, color=INK)
    ax.tick_params(labelsize=8.5, width=0.7, length=3.5, color=INK, labelcolor=INK)
    ax.ticklabel_format(style="plain", useOffset=False)
    ax.grid(visible=True, color="#ececec", linewidth=0.7)
    ax.set_axisbelow(True)
    return ax


def name_axes(ax: Axes, y: str, x: str = "") -> None:
    """Write what the axes show."""
    ax.set_ylabel(printable(y), fontsize=9, color=INK, **FONT)
    # One place for all panels, whatever the width of their numbers.
    ax.yaxis.set_label_coords(0.42 - LEFT, 0.5, transform=_inches_from(ax))
    if x:
        ax.set_xlabel(printable(x), fontsize=9, color=INK, **FONT)


def _inches_from(ax: Axes) -> Any:
    """Return a transform: x in inches from the left side of the axes, y as a share of them."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure: Any = ax.figure
    left = ax.get_position().x0 * figure.get_size_inches()[0]
    sideways = figure.dpi_scale_trans + ScaledTranslation(left, 0, figure.dpi_scale_trans)
    return blended_transform_factory(sideways, ax.transAxes)


def as_numbers(dates: Any) -> NDArray[np.float64]:
    """Return times as the numbers that axes count in, days; NaN for no time."""
    from matplotlib import dates as library

    numbers: Any = library  # it has no types
    return np.asarray(numbers.date2num(np.asarray(dates, "datetime64[ms]")), np.float64)


def date_axis(ax: Axes, low: float, high: float, *, labels: bool = True) -> None:
    """Let x be times in UTC, from `low` to `high` as `as_numbers` counts, with some room at both ends."""
    from matplotlib import dates

    if not np.isfinite(low + high):
        low = high = float(as_numbers("2000-01-01"))
    room = 0.03 * (high - low) if high > low else 2.0
    ax.set_xlim(low - room, high + room)
    library: Any = dates  # it has no types
    locator = library.AutoDateLocator(tz=UTC, minticks=3, maxticks=_TICKS)
    formatter = library.AutoDateFormatter(locator, tz=UTC)
    formatter.scaled = {
        365.0: "%Y", 31.0: "%Y-%m", 1.0: "%Y-%m-%d", 1 / 24: "%m-%d %H:%M", 1 / 1440: "%m-%d %H:%M",
        1 / 86400: "%H:%M:%S",
    }  # fmt: skip
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter)
    ax.tick_params(axis="x", labelbottom=labels)


def span_of(*dates: ArrayLike) -> tuple[float, float]:
    """Return the first and the last of some times as numbers; NaN where there is none."""
    found = np.concatenate([np.atleast_1d(as_numbers(one)).ravel() for one in dates])
    found = found[np.isfinite(found)]
    return (float(found.min()), float(found.max())) if found.size else (np.nan, np.nan)


def limits_of(values: ArrayLike, sigma: ArrayLike | None = None) -> tuple[float, float]:
    """Return a range for all values and most of their error bars, with some room; around 0 where there are none."""
    v = np.ravel(np.asarray(values, np.float64))
    s = np.zeros_like(v) if sigma is None else np.ravel(np.asarray(sigma, np.float64))
    seen = np.isfinite(v)
    if not seen.any():
        return -1.0, 1.0
    # A value of which next to nothing is known must not make the others a flat line.
    s = np.minimum(np.nan_to_num(s), 3 * np.nanmedian(np.where(seen & (s > 0), s, np.nan)) if (s > 0).any() else 0.0)
    low, high = float((v - s)[seen].min()), float((v + s)[seen].max())
    room = 0.07 * (high - low) if high > low else (abs(high) * 0.1 or 1.0)
    return low - room, high + room


def key(figure: Figure, rows: Sequence[tuple[Any, str]], *, top: float, columns: int = 4, left: float = LEFT) -> None:
    """Write a key of (what is drawn, what it is), whose names can hold any character; `top` and `left` in inches."""
    if not rows:
        return
    wide, tall = figure.get_size_inches()
    legend = figure.legend(
        [handle for handle, _ in rows], ["-"] * len(rows), loc="upper left", bbox_to_anchor=(left / wide, top / tall),
        ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK, handlelength=1.9, borderaxespad=0.0, borderpad=0.0,
        columnspacing=1.6,
    )  # fmt: skip
    for text, (_, label) in zip(legend.get_texts(), rows, strict=True):
        text.set(text=printable(label), **FONT)


def say(ax: Axes, text: str) -> None:
    """Write why there is nothing to see into the middle of the axes."""
    ax.text(
        0.5, 0.5, printable(text), transform=ax.transAxes, ha="center", va="center", fontsize=11, color=GREY, **FONT
    )


def shortened(text: str, most: int) -> str:
    """Return a name of at most so many characters, its middle left out: both ends tell names apart."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most // 2].rstrip()}…{text[len(text) - (most - most // 2 - 1) :]}"


def plus_minus(value: float, sigma: float, unit: str) -> str:
    """Say a number with its error, as many digits as the error allows."""
    if not np.isfinite(value):
        return "not known"
    if not (np.isfinite(sigma) and sigma > 0):
        return f"{value:+.3g} {unit}".replace("-", _MINUS, 1)
    digits = 1 - int(np.floor(np.log10(sigma)))
    if digits > 8:
        return f"({value:+.2e} ± {sigma:.1e}) {unit}".replace("-", _MINUS)
    digits = max(digits, 0)
    return f"{value:+.{digits}f} ± {sigma:.{digits}f} {unit}".replace("-", _MINUS, 1)


def rate_in_words(velocity: float, sigma: float, unit: str) -> str:
    """Say a velocity per day with its error, and per year of 365.25 days."""
    if not np.isfinite(velocity):
        return "velocity not known"
    daily = plus_minus(velocity, sigma, f"{unit}/day")
    return f"{daily}  ({plus_minus(velocity * _YEAR, sigma * _YEAR, f'{unit}/yr')})"


def day_of(moment: Any) -> str:
    """Spell a time as its date, UTC."""
    return str(np.datetime_as_string(np.datetime64(moment, "ms"), "D"))


def per_cent(share: float) -> str:
    """Spell a confidence such as 0.95."""
    return f"{100 * share:g} %"


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a PNG, whole or not at all: it is drawn in memory, written beside its place and renamed.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    target, drawn = Path(path), io.BytesIO()
    print_figure(figure, drawn)
    part = target.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            part.write_bytes(drawn.getbuffer())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError("cannot be written", path=target, advice="check space and permission of the disk") from error
