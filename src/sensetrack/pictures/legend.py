"""What stands around a quick-look: titles, colour bar, scale bar, key of the arrows, north and the flags."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.fields import Flag
from sensetrack.pictures.ramps import LENGTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sensetrack.grid import Grid

    Array = NDArray[Any]

MARGIN, HEAD, FOOT = 0.3, 0.78, 1.42
"""White space around the map, height of the titles and of the legend below it, inches."""
NARROWEST = 6.4
"""Least width of the legend, inches: a slender map gets white space at its sides."""
INK = "#1a1a1a"


@dataclass(frozen=True)
class View:
    """Where things are drawn; pairs are (rows, cols)."""

    map_size: tuple[float, float]
    """Height and width of the map, inches."""
    width: float
    """Width of the legend, inches."""
    scale: tuple[float, float]
    """Inches per pixel of the image."""
    metres: tuple[float, float] | None
    """Metres on the ground per pixel of the image; None = unknown."""
    pixel: str = "px"
    """What a pixel of the image is called where its metres are unknown."""

    @property
    def left(self) -> float:
        """White space left of the map, inches."""
        return (self.width - self.map_size[1]) / 2


@dataclass(frozen=True, eq=False)
class Legend:
    """What the legend has to explain."""

    unit: str
    """Unit of the motion: m or px."""
    limit: float
    """Motion at the end of the colour bar."""
    highest: float
    """Largest motion that is good; NaN = no good post."""
    per_inch: float
    """Motion that an inch of arrow means; 0 = there are no arrows."""
    flags: Array
    """(rows, cols), bits of `Flag`."""
    grid: Grid
    """Grid of posts."""
    what: str = ""
    """What the colours show; by default the length of an offset or a displacement, as the unit says."""
    notes: tuple[str, str] | None = None
    """What is said beside the hatching; by default how many posts have which flag."""


drawing = threading.Lock()
"""Held by who draws: the library is not made for threads. Writing what was drawn needs no lock."""


def load() -> None:
    """Load what drawing needs, the list of fonts included: a third of a second that a run has elsewhere to spare."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401

    printable("")


def draw_legend(figure: Figure, view: View, legend: Legend) -> None:
    """Draw everything below the map."""
    foot = bare_axes(figure, (MARGIN, 0), (view.width, FOOT))
    foot.set(xlim=(0, view.width), ylim=(0, FOOT), autoscale_on=False)
    _draw_ramp(foot, legend)
    _draw_scale_bar(foot, view)
    _draw_key(foot, legend)
    _draw_north(foot, legend.grid, view)
    _draw_hatching(foot, legend.notes or _flags_in_words(legend.flags), figure.dpi)


def draw_titles(figure: Figure, view: View, title: str, subtitle: str) -> None:
    """Write both headings above the map."""
    height = view.map_size[0] + HEAD + FOOT
    fitted(figure, (MARGIN, height - 0.36), title, view.width, fontsize=13, weight="bold")
    fitted(figure, (MARGIN, height - 0.60), subtitle, view.width, fontsize=9.5, color="#555555")


def drawn(figure: Figure) -> Array:
    """Return the dots of a figure, RGBA."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def print_figure(figure: Figure, target: Any) -> None:
    """Write a figure as a PNG to a path or a file."""
    print_dots(drawn(figure), target, figure.dpi)


def print_dots(dots: Array, target: Any, dpi: float) -> None:
    """Write what was drawn as a PNG to a path or a file."""
    from matplotlib.image import imsave

    # Packing harder takes three times as long for 4 % of the size.
    settings: Any = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 2}}
    imsave(target, dots, format="png", dpi=dpi, **settings)


# Pictures are given to the library in bytes: it would take longer to convert them.


def colours(share: Array) -> NDArray[np.uint8]:
    """RGBA of motion as a share of the limit, 0..1; no motion is clear, NaN too."""
    from matplotlib import colormaps

    out = np.asarray(colormaps[LENGTH](np.nan_to_num(share), bytes=True))
    ramp = np.clip((share - 0.02) / 0.23, 0, 1)
    out[..., 3] = np.round(255 * np.nan_to_num(0.78 * ramp * ramp * (3 - 2 * ramp)))
    return out


def hatching(bad: Array) -> Array:
    """RGBA of a veil with diagonal lines where `bad`, one value per dot of the picture."""
    line = np.array([1, 1, 0.35, 0, 0, 0, 0, 0, 0.35]) * 0.62
    veil = 0.34
    alpha = veil + line * (1 - veil)
    shade = 0.95 * (1 - line / alpha) + 0.12 * line / alpha
    across = np.round(255 * np.stack([shade, shade, shade, alpha], axis=-1)).astype(np.uint8)
    row, col = (np.arange(size) for size in bad.shape)
    out: Array = across[(row[:, None] + col) % line.size]
    out[..., 3] *= bad
    return out


def draw_arrow(ax: Axes, place: Array, step: Array, per_inch: float) -> None:
    """Draw arrows of `step` (right, up) at `place` (x, y); `per_inch` of motion are an inch long."""
    ax.quiver(
        *place, *step, angles="uv", units="inches", scale_units="inches", scale=per_inch, width=0.024,
        headwidth=4.2, headlength=4.6, headaxislength=4.0, minlength=0.5, color=INK, edgecolor="white",
        linewidth=0.55, zorder=4,
    )  # fmt: skip


def bare_axes(figure: Figure, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Return bare axes at a place given in inches."""
    wide, tall = figure.get_size_inches()
    ax = figure.add_axes((corner[0] / wide, corner[1] / tall, size[0] / wide, size[1] / tall))
    ax.set(xticks=[], yticks=[], facecolor="none")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _write(ax: Axes, x: float, y: float, text: str, **style: Any) -> Any:
    style = {"fontsize": 8, "color": INK, "va": "center", **style}
    return ax.text(x, y, printable(text), family="DejaVu Sans", parse_math=False, **style)


def printable(text: str) -> str:
    """Replace what the font cannot draw (it would warn) and keep everything on one line."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "?" for c in " ".join(text.split()))


def fitted(figure: Figure, place: tuple[float, float], text: str, room: float, **style: Any) -> None:
    """Write a heading at a place in inches, smaller and at last shortened where it is too long."""
    wide, tall = figure.get_size_inches()
    text = printable(text)
    style = {**style, "family": "DejaVu Sans", "parse_math": False}
    label = figure.text(place[0] / wide, place[1] / tall, text, **style)

    def length() -> float:
        return float(label.get_window_extent().width / figure.dpi)

    if length() > room:
        label.set_fontsize(style["fontsize"] * max(0.7, room / length()))
    while len(text) > 1 and length() > room:
        text = text[: min(len(text) - 1, int(len(text) * room / length()) + 1)]
        label.set_text(text.rstrip() + "…")


def _round_down(value: float) -> float:
    """Return the 1, 2 or 5 of its power of ten at or below a positive number."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(n * power for n in (1, 2, 5) if n * power <= value * 1.001))


def _draw_ramp(foot: Axes, legend: Legend) -> None:
    """Draw the colour bar as the colours look over a mid-grey image."""
    what = legend.what or ("Length of offset" if legend.unit == "px" else "Length of displacement")
    _write(foot, 0, 1.22, f"{what} ({legend.unit})", weight="bold")
    if np.isnan(legend.highest):
        _write(foot, 0, 0.98, "no good posts", color="#777777")
        return
    box = (0, 2.1, 0.94, 1.10)
    foot.imshow(np.full((1, 1, 4), (158, 158, 158, 255), np.uint8), extent=box, aspect="auto")
    foot.imshow(colours(np.linspace(0, 1, 256)[None, :]), extent=box, aspect="auto")
    foot.plot([0, 2.1, 2.1, 0, 0], [0.94, 0.94, 1.10, 1.10, 0.94], color=INK, linewidth=0.6)
    mantissa = f"{legend.limit:.1e}"[:3]
    parts = {"1.0": 5, "1.5": 3, "2.5": 5, "3.0": 3, "5.0": 5, "6.0": 3}.get(mantissa, 4)
    for k in range(parts + 1):
        at = 2.1 * k / parts
        foot.plot([at, at], [0.94, 0.90], color=INK, linewidth=0.6)
        last = "+" if k == parts and legend.highest > legend.limit else ""
        _write(foot, at, 0.81, f"{legend.limit * k / parts:g}{last}", ha="center" if k else "left")


def _draw_scale_bar(foot: Axes, view: View) -> None:
    left = 2.62
    per_inch = 1 / view.scale[1] if view.metres is None else view.metres[1] / view.scale[1]
    length = _round_down(min(1.25, view.map_size[1]) * per_inch)
    inches = length / per_inch
    unit, size = (view.pixel, 1.0) if view.metres is None else ("km", 1e3) if length >= 1000 else ("m", 1.0)
    _write(foot, left, 1.22, "Scale", weight="bold")
    for k, colour in enumerate((INK, "white")):
        foot.barh(1.02, inches / 2, 0.08, left + k * inches / 2, color=colour, edgecolor=INK, linewidth=0.6)
    _write(foot, left, 0.81, f"{length / size:g} {unit}")


def _draw_key(foot: Axes, legend: Legend) -> None:
    per_inch = legend.per_inch
    if per_inch <= 0:
        return
    length = _round_down(0.62 * per_inch)
    _write(foot, 4.2, 1.22, "Motion", weight="bold")
    draw_arrow(foot, np.array([[4.2], [1.02]]), np.array([[length], [0.0]]), per_inch)
    _write(foot, 4.2, 0.81, f"{length:g} {legend.unit}")


def _draw_north(foot: Axes, grid: Grid, view: View) -> None:
    """Draw where +y of the CRS points on the picture."""
    if view.metres is None:
        return
    t, (rows, cols) = grid.transform, grid.pixel_size
    step = np.array([-t.b * cols, -t.a * rows]) / t.determinant
    step *= 0.2 / np.hypot(*step)
    middle = np.array([5.85, 0.97])
    # A needle: one half dark, one half light.
    side = np.array([-step[1], step[0]]) * 0.42
    for part, colour in ((side, "white"), (-side, INK)):
        corners = [middle + step, middle - step + part, middle - 0.6 * step]
        foot.fill(*np.transpose(corners), facecolor=colour, edgecolor=INK, linewidth=0.6)
    _write(foot, middle[0] + 1.55 * step[0], middle[1] + 1.55 * step[1], "N", ha="center", weight="bold")


def _draw_hatching(foot: Axes, notes: tuple[str, str], dpi: float) -> None:
    """Explain the hatching in two lines."""
    foot.fill_between([0, 0.34], 0.28, 0.50, color="#8a8a8a", linewidth=0)
    picture = hatching(np.ones((round(0.22 * dpi), round(0.34 * dpi)), bool))
    foot.imshow(picture, extent=(0, 0.34, 0.28, 0.50), aspect="auto", interpolation="nearest", zorder=3)
    _write(foot, 0.44, 0.47, notes[0])
    _write(foot, 0.44, 0.29, notes[1], color="#555555")


def _flags_in_words(flags: Array) -> tuple[str, str]:
    """Return the share of good posts, and the main reasons against the others."""
    good = float(np.mean(flags == 0))
    text = f"Not to be trusted: {percent(1 - good)} of {count_of(flags.size)}; {percent(good)} are good"
    shares = {flag: float(np.mean((flags & flag.bit) != 0)) for flag in Flag}
    main = [flag for flag in sorted(Flag, key=lambda flag: -shares[flag]) if shares[flag] > 0][:4]
    return text, " · ".join(f"{_name(flag)} {percent(shares[flag])}" for flag in main)


def count_of(posts: int) -> str:
    """Say how many posts there are."""
    return f"{posts:,} post" + ("s" if posts != 1 else "")


def percent(share: float) -> str:
    """Say a share in per cent, never 0 for some nor 100 for almost all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.3g} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _name(flag: Flag) -> str:
    return str(flag.name).lower().replace("_", " ").replace("aoi", "area of interest")
