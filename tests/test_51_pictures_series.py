"""Pictures of a stack: the network, series, warnings and the map of velocity, for every input, however odd."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.image import imread
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from sensetrack.errors import InputError, OutputError
from sensetrack.grid import Grid
from sensetrack.pictures import charts, network, series, velocity, warning
from sensetrack.pictures.charts import as_numbers, plus_minus, shortened
from sensetrack.pictures.series import Trace
from sensetrack.stack.warning import (
    Failure,
    IntervalVelocity,
    ThresholdParameters,
    inverse_velocity,
    threshold_table,
    time_of_failure,
)

ODD = "=Näme $x_{ 中 \\frac <b> " * 5
MINUS = "\N{MINUS SIGN}"
LIMITS = ThresholdParameters().limits
# Every 12 days, without the eighth: 20 dates.
DATES = np.datetime64("2023-03-02T05:10", "ms") + np.delete(np.arange(21), 7) * np.timedelta64(12, "D")
DAYS = (DATES - DATES[0]) / np.timedelta64(1, "D")
PAIRS = np.array([(i, j) for i in range(20) for j in range(i + 1, min(i + 4, 20))])
GRID = Grid((30, 50), Affine(40, 0, 600_000, 0, -20, 4_950_000), "EPSG:32632")


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw for real, and give the figure to look at."""
    figures = []

    def draw(function, *args, **options):
        def keep(figure, path):
            figures.append(figure)
            charts.save(figure, path)

        for module in (network, series, warning, velocity):
            monkeypatch.setattr(module, "save", keep)
        function(tmp_path / "a.png", *args, **{"dpi": 60, **options})
        size = imread(tmp_path / "a.png").shape[:2]
        assert size == pytest.approx(figures[-1].get_size_inches()[::-1] * figures[-1].dpi, abs=1)
        return figures[-1]

    return draw


def texts(figure) -> dict[str, Text]:
    return {
        text.get_text(): text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() not in ("", "-")
    }


def said(figure) -> str:
    return "\n".join(texts(figure))


def check_texts(figure) -> None:
    """No text leaves the picture or lies on another one."""
    hidden = hidden_labels(figure)
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in hidden
    ]
    width, height = figure.canvas.get_width_height()  # it is drawn already
    for label, box in boxes:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -1, label
    for (one, first), (other, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        tall = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, tall) < 1, (one, other)


def hidden_labels(figure) -> set[Text]:
    """Ticks that are beyond the limits have labels that are not drawn."""
    hidden = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                hidden.add(tick.label2)
                if not low <= tick.get_loc() <= high or not tick.label1.get_visible():
                    hidden.add(tick.label1)
    return hidden


def axes(figure):
    """Panels from the top."""
    return sorted((ax for ax in figure.axes if ax.get_ylabel()), key=lambda ax: -ax.get_position().y0)


# --- what they share ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sigma", "expected"),
    [
        (0.0123, 0.00061, "+0.01230 ± 0.00061 m"),
        (-4.492, 0.22, f"{MINUS}4.49 ± 0.22 m"),
        (-1234.5, 67, f"{MINUS}1234 ± 67 m"),
        (1e-11, 3e-12, f"(+1.00e{MINUS}11 ± 3.0e{MINUS}12) m"),
        (0.02, np.nan, "+0.02 m"),
        (-0.02, 0, f"{MINUS}0.02 m"),
        (np.nan, 0.1, "not known"),
    ],
)
def test_numbers_have_the_digits_of_their_errors(value, sigma, expected):
    assert plus_minus(value, sigma, "m") == expected


def test_long_names_keep_both_ends():
    assert shortened("profile A, upper point 17", 12) == "profil…nt 17"
    assert shortened("p1", 12) == "p1"


@pytest.mark.parametrize("hours", [0.02, 3, 30, 24 * 12, 24 * 100, 24 * 365, 24 * 365 * 4, 24 * 365 * 60])
def test_dates_can_be_read_whatever_they_span(drawn, hours):
    dates = np.datetime64("1985-12-19T05:10", "ms") + np.array([0, 1]) * np.timedelta64(round(hours * 3600), "s")
    figure = drawn(series.draw_series, dates, [Trace("dx", [0.0, 1.0])], name="p")
    check_texts(figure)
    ax = axes(figure)[0]
    labels = [
        text.get_text()
        for at, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        if ax.get_xlim()[0] <= at <= ax.get_xlim()[1]
    ]
    assert 2 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)
    assert ax.get_xlabel() == "Date (UTC)"


def test_pictures_are_the_same_every_time(tmp_path):
    for name in "ab":
        network.draw_network(tmp_path / f"{name}.png", DATES, PAIRS, dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"older")

    def fail(self, data):
        (tmp_path / self.name).touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="cannot be written"):
        network.draw_network(tmp_path / "a.png", DATES, PAIRS, dpi=50)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"older"


# --- the network -------------------------------------------------------------------------------------------------


def lines_of(figure) -> list[LineCollection]:
    """Used, left out and failed pairs."""
    return [one for one in figure.findobj(LineCollection) if one.get_zorder() in (2, 3, 4)][:3]


def test_arcs_join_dates_and_are_as_high_as_they_are_long(drawn):
    state = ["used"] * len(PAIRS)
    state[5], state[7] = "left out", "failed"
    figure = drawn(network.draw_network, DATES, PAIRS, state=state, quality=np.linspace(10, 90, len(PAIRS)))
    used, left_out, failed = lines_of(figure)
    assert [len(one.get_segments()) for one in (used, left_out, failed)] == [len(PAIRS) - 2, 1, 1]
    arc = left_out.get_segments()[0]
    assert arc[[0, -1], 0] == pytest.approx(as_numbers(DATES[PAIRS[5]]))
    assert arc[:, 1].max() == pytest.approx(np.sqrt(np.diff(DAYS[PAIRS[5]])[0]))
    assert left_out.get_linestyle() != used.get_linestyle() != failed.get_linestyle()
    # The best pair lies on top of the others.
    assert used.get_segments()[-1][0, 0] == pytest.approx(as_numbers(DATES[PAIRS[-1, 0]]))
    red, green, blue = used.get_colors()[-1][:3]
    assert green > red > blue
    assert "Measured posts (%)" in texts(figure)


def test_what_is_missing_is_marked_and_counted(drawn):
    gone = {"missing": [np.datetime64("2023-05-25")], "failed": np.array(["2023-07-30"], "datetime64[D]")}
    pairs = PAIRS[(PAIRS != 3).all(axis=1)]
    figure = drawn(network.draw_network, DATES, pairs, state=["used"] * (len(pairs) - 1) + ["failed"], **gone)
    check_texts(figure)
    for row in ("19 scenes in a pair", "1 scene in no pair that is used", "1 scene missing", "1 scene that failed"):
        assert row in texts(figure)
    assert f"{len(pairs) - 1} pairs used" in texts(figure)
    assert "1 pair failed" in texts(figure)
    marks = {line.get_marker(): line for line in axes(figure)[0].get_lines()}
    assert marks["|"].get_xdata() == pytest.approx(as_numbers(gone["missing"]))
    assert marks["X"].get_xdata() == pytest.approx(as_numbers(gone["failed"]))


def test_baselines_are_drawn_where_all_are_known(drawn):
    baselines = np.linspace(-80, 45, 20)
    figure = drawn(network.draw_network, DATES, PAIRS, perpendicular=baselines)
    assert axes(figure)[0].get_ylabel() == "Perpendicular baseline (m)"
    assert lines_of(figure)[0].get_segments()[4][:, 1] == pytest.approx(baselines[PAIRS[4]])
    baselines[3] = np.nan
    figure = drawn(network.draw_network, DATES, PAIRS, perpendicular=baselines)
    assert "days" in axes(figure)[0].get_ylabel()


def test_thousands_of_pairs_are_drawn(drawn):
    count = 260
    dates = DATES[0] + np.arange(count) * np.timedelta64(12, "D")
    pairs = [(i, j) for i in range(count) for j in range(i + 1, min(i + 11, count))]
    figure = drawn(network.draw_network, dates, pairs, quality=np.full(len(pairs), np.nan), title=ODD, subtitle=ODD)
    check_texts(figure)
    assert lines_of(figure)[0].get_linewidths()[0] < 0.5
    assert "2,545 pairs used" in texts(figure)
    assert "Measured" not in said(figure)


@pytest.mark.parametrize(
    ("dates", "pairs", "expected"),
    [
        (DATES[:2], [(1, 0)], "1 pair used"),
        (DATES[:1], [], "no two scenes make a pair"),
        ([], [], "no scene can be used"),
    ],
)
def test_small_networks_are_drawn(drawn, dates, pairs, expected):
    figure = drawn(network.draw_network, dates, np.array(pairs).reshape(-1, 2), quality=[40.0] * len(pairs))
    check_texts(figure)
    assert expected in texts(figure)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"state": ["used"]}, "instead got 1 states"),
        ({"state": ["used"] * 53 + ["bad"]}, "instead got bad"),
        ({"quality": [1.0, 2.0]}, "2 qualities"),
        ({"perpendicular": [1.0]}, "20 dates"),
    ],
)
def test_a_network_that_does_not_agree_is_refused(tmp_path, options, match):
    with pytest.raises(InputError, match=match):
        network.draw_network(tmp_path / "a.png", DATES, PAIRS, **options)
    with pytest.raises(InputError, match="positions in 3 dates"):
        network.draw_network(tmp_path / "a.png", DATES[:3], PAIRS)
    assert not list(tmp_path.iterdir())


# --- series ------------------------------------------------------------------------------------------------------


def motion(days, speed, season):
    return speed * days + season * np.sin(2 * np.pi * days / 365.25)


def traces(**more):
    """Two components with a season, and a date without values; the truth is the model less its start."""
    rng = np.random.default_rng(5)
    fine = np.linspace(0, DAYS[-1], 200)
    made = []
    for name, speed, season in (("dx", 0.0123, 0.4), ("dy", -0.004, 0.2)):
        values = motion(DAYS, speed, season) + rng.normal(0, 0.05, 20)
        values -= values[0]
        values[12] = np.nan
        sigma = np.where(DAYS > 0, 0.05, 0.0)
        made.append(
            Trace(name, values, sigma, velocity=speed, velocity_sigma=0.0006, model=motion(fine, speed, season) + 7)
        )
    return made, DATES[0] + (fine * 86_400_000).astype("timedelta64[ms]")


def test_a_series_with_its_motion(drawn):
    made, model_dates = traces()
    figure = drawn(series.draw_series, DATES, made, name="p1", model_dates=model_dates, subtitle="at the toe")
    check_texts(figure)
    first, second = axes(figure)
    assert (first.get_ylabel(), second.get_ylabel()) == ("dx (m)", "dy (m)")
    assert "dx: +0.01230 ± 0.00060 m/day (+4.49 ± 0.22 m/yr)" in texts(figure)
    assert f"dy: {MINUS}0.00400 ± 0.00060 m/day ({MINUS}1.46 ± 0.22 m/yr)" in texts(figure)
    for ax, trace in zip((first, second), made, strict=True):
        fitted = next(line for line in ax.get_lines() if line.get_color() == charts.COLOURS[1])
        # Its constant is that of the series, whatever was given.
        rest = trace.values - np.interp(as_numbers(DATES), fitted.get_xdata(), fitted.get_ydata())
        assert np.nanmean(rest) == pytest.approx(0, abs=1e-6)
        line = ax.get_lines()[0]
        assert np.isnan(line.get_ydata()[12])  # the line breaks at the gap
        bars = next(one for one in ax.containers if isinstance(one, ErrorbarContainer))[2][0].get_segments()
        assert bars[4][:, 1] == pytest.approx(trace.values[4] + np.array([-0.05, 0.05]))
    assert "date without a value" in texts(figure)
    assert "fitted motion" in texts(figure)


def test_parts_without_a_common_level_are_put_on_the_motion(drawn):
    made, model_dates = traces()
    truth = np.array(made[0].values)
    part = np.where(np.arange(20) < 12, 0, 1)
    values = truth.copy()
    values[13:] -= values[13]
    with_motion = Trace("dx", values, part=part, model=made[0].model)
    figure = drawn(
        series.draw_series, DATES, [with_motion, Trace("dy", values, part=part)], name=ODD, model_dates=model_dates
    )
    check_texts(figure)
    assert "not joined to the others by a pair" in texts(figure)
    thin = [[line for line in ax.get_lines() if line.get_alpha() == 0.45] for ax in axes(figure)]
    shown = [lines[1].get_ydata() for lines in thin]
    later = shown[0][13:] - truth[13:]
    assert np.ptp(later) == pytest.approx(0, abs=1e-9)
    assert abs(later[0]) < 0.1 < abs(values[13] - truth[13])
    assert shown[1][13:] == pytest.approx(values[13:])
    assert np.isnan(shown[0][:13]).all()


def test_events_are_marked(drawn):
    figure = drawn(series.draw_series, DATES, traces()[0][:1], name="p", events=["2023-07-01"], model_dates=traces()[1])
    upright = [line for line in axes(figure)[0].get_lines() if list(line.get_ydata()) == [0, 1]]
    assert [line.get_xdata()[0] for line in upright] == [as_numbers("2023-07-01")]


@pytest.mark.parametrize("count", [1, 2])
def test_short_series_are_drawn(drawn, count):
    figure = drawn(
        series.draw_series, DATES[:count], [Trace("dx", [0.0, -0.3][:count], [0.0, 0.1][:count])], name="p", unit="px"
    )
    check_texts(figure)
    assert "dx: velocity not known" in texts(figure)
    assert axes(figure)[0].get_ylabel() == "dx (px)"


def test_a_series_of_nothing_says_so(drawn):
    nothing = Trace("dx", np.full(20, np.nan), np.full(20, np.nan))
    figure = drawn(series.draw_series, DATES, [nothing, nothing], name="p", unit="px")
    assert sum(text.get_text() == "no displacement is known here" for text in figure.findobj(Text)) == 2
    check_texts(figure)


def test_a_series_that_does_not_agree_is_refused(tmp_path):
    with pytest.raises(InputError, match="there are 20 dates"):
        series.draw_series(tmp_path / "a.png", DATES, [Trace("dx", [1.0, 2.0])], name="p")
    with pytest.raises(InputError, match="3 of the model"):
        series.draw_series(tmp_path / "a.png", DATES, [Trace("dx", DAYS, model=[1, 2, 3])], name="p", model_dates=DATES)


# --- warnings ----------------------------------------------------------------------------------------------------


def towards_failure(days_left=70.0):
    """A point that speeds up towards a failure so many days after the last date; one interval is not known."""
    middle = (DAYS[1:] + DAYS[:-1]) / 2
    value = 1 / (2.2 * (DAYS[-1] + days_left - middle)) + np.random.default_rng(2).normal(0, 1e-4, 19)
    value[8] = np.nan
    return IntervalVelocity(DATES[:-1], DATES[1:], value, np.full(19, 2e-4))


def test_the_line_meets_zero_at_the_time_of_failure(drawn):
    speeds = towards_failure()
    failure = time_of_failure(speeds)
    truth = DATES[-1] + np.timedelta64(70, "D")
    assert failure.earliest < truth < failure.latest
    figure = drawn(warning.draw_inverse_velocity, speeds, inverse_velocity(speeds), failure, name="p1", limits=LIMITS)
    check_texts(figure)
    upper, lower = axes(figure)
    line = next(one for one in lower.get_lines() if one.get_linewidth() == 1.8)
    assert line.get_ydata()[-1] == 0
    assert line.get_xdata()[-1] == pytest.approx(as_numbers(failure.moment))
    assert np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] == pytest.approx(failure.slope)
    assert lower.get_xlim()[1] > as_numbers(failure.latest)
    assert upper.get_xlim() == lower.get_xlim()
    day = [str(moment)[:10] for moment in (failure.moment, failure.earliest, failure.latest)]
    assert f"Failure about {day[0]} (95 %: {day[1]} to {day[2]}); line through 18 intervals" in said(figure)
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("Speed (m/day)", "Inverse velocity (day/m)")
    assert {"attention 0.001", "pre-alarm 0.01"} <= set(texts(figure))


def test_intervals_before_the_last_phase_are_hollow(drawn):
    speeds = towards_failure()
    since = "2023-07-01"
    figure = drawn(
        warning.draw_inverse_velocity,
        speeds,
        inverse_velocity(speeds),
        time_of_failure(speeds, since=since),
        name="p",
        since=since,
    )
    check_texts(figure)
    lower = axes(figure)[1]
    hollow = next(line for line in lower.get_lines() if line.get_markerfacecolor() == "white")
    known = np.isfinite(hollow.get_ydata())
    assert known.sum() == (speeds.begin < np.datetime64(since)).sum() - 1
    line = next(one for one in lower.get_lines() if one.get_linewidth() == 1.8)
    assert line.get_xdata()[0] == as_numbers(since)


def ending(moment, earliest=None, slope_sigma=0.05):
    day = [None if one is None else np.datetime64(one, "ms") for one in (moment, earliest)]
    return Failure(*day, None, 0.005 if moment is None else -0.2, slope_sigma, 9)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (None, "No time of failure: because"),
        (ending(None, slope_sigma=0.006), "does not go down; line through 9 intervals, slope +0.0050 ± 0.0060 1/m"),
        (ending("2024-01-05", slope_sigma=0.3), "about 2024-01-05, but it may as well not speed up"),
        (ending("2024-01-05", "2023-12-01"), "about 2024-01-05 (95 %: 2023-12-01 to open)"),
        (ending("31024-01-05", "9999-12-01"), "(95 %: 9999-12-01 to open)"),
    ],
)
def test_other_ends_are_told(drawn, failure, expected):
    speeds = towards_failure()
    figure = drawn(warning.draw_inverse_velocity, speeds, inverse_velocity(speeds), failure, name=ODD, why="because")
    check_texts(figure)
    assert expected in said(figure)
    assert axes(figure)[0].get_xlim()[1] < as_numbers("2024-03-01")


def test_still_and_unknown_points_say_so(drawn):
    still = IntervalVelocity(DATES[:-1], DATES[1:], np.zeros(19), np.full(19, 1e-3))
    figure = drawn(warning.draw_inverse_velocity, still, inverse_velocity(still), name="p", limits=LIMITS)
    check_texts(figure)
    assert "it does not move by more than its error" in texts(figure)
    nothing = IntervalVelocity(DATES[:-1], DATES[1:], np.full(19, np.nan), np.full(19, np.nan))
    figure = drawn(warning.draw_inverse_velocity, nothing, inverse_velocity(nothing), name="p", limits=LIMITS)
    assert sum(text.get_text() == "no speed is known here" for text in figure.findobj(Text)) == 2
    one = IntervalVelocity(DATES[:1], DATES[1:2], np.array([0.02]), np.array([0.001]))
    check_texts(drawn(warning.draw_inverse_velocity, one, inverse_velocity(one), name="p", limits=LIMITS))


def many(points, value):
    speeds = IntervalVelocity(DATES[:-1], DATES[1:], np.broadcast_to(value, (19, points)), np.full((19, points), 4e-4))
    names = [f"p{k}" for k in range(points)]
    return speeds, names, LIMITS, threshold_table(speeds, names)


def test_thresholds_and_who_passed_them(drawn):
    value = np.stack([towards_failure().value, np.full(19, 0.02), np.zeros(19)], axis=1)
    speeds, names, *rest = many(3, value)
    names[1] = ODD
    rest[1] = threshold_table(speeds, names)
    figure = drawn(warning.draw_thresholds, speeds, names, *rest)
    check_texts(figure)
    ax = axes(figure)[0]
    assert ax.get_yscale() == "log"
    assert {
        "Passed since",
        "For certain (95 %)",
        "2023-03-14",
        "never",
        "above",
        "alarm 0.1",
        "lower, or no motion",
    } <= set(texts(figure))
    assert "10^" not in said(figure)
    steps = [one for one in ax.collections if isinstance(one, LineCollection) and one.get_zorder() == 3]
    fast = steps[1].get_segments()[2]
    assert fast[:, 0] == pytest.approx(as_numbers(DATES[2:4]))
    assert fast[:, 1] == pytest.approx(0.02)
    assert len(steps[0].get_segments()) == 18


def test_a_threshold_far_off_does_not_flatten_the_speeds(drawn):
    speeds = many(3, np.array([0.001, 0.002, 0.0005]))[0]
    figure = drawn(warning.draw_thresholds, speeds, ["a", "b", "c"], {"alarm": 5.0}, [])
    check_texts(figure)
    assert axes(figure)[0].get_ylim()[1] < 0.003
    assert "alarm 5" not in texts(figure)


def test_of_many_points_the_fast_ones_and_the_high_limits_are_shown(drawn):
    value = np.full(40, 0.002)
    value[33] = 0.2
    figure = drawn(warning.draw_thresholds, *many(40, value), subtitle=ODD)
    check_texts(figure)
    assert "32 slower points" in texts(figure)
    assert f"and {120 - 23} lines more" in texts(figure)
    rows = [text.get_text() for text in figure.findobj(Text)]
    assert rows.count("p33") == 2  # in the key and in the table, where it comes with all three limits
    assert rows.count("alarm") == 1


def test_speeds_of_nothing_say_so(drawn):
    figure = drawn(warning.draw_thresholds, *many(2, np.nan))
    check_texts(figure)
    assert "no speed is known at any point" in texts(figure)
    assert "above" not in texts(figure)


def test_speeds_that_do_not_agree_are_refused(tmp_path):
    speeds = towards_failure()
    with pytest.raises(InputError, match="n_points"):
        warning.draw_thresholds(tmp_path / "a.png", speeds, ["p"], LIMITS, [])
    with pytest.raises(InputError, match="of 2 points, instead got 3"):
        warning.draw_thresholds(tmp_path / "a.png", many(3, 0.1)[0], ["p", "q"], LIMITS, [])
    with pytest.raises(InputError, match=r"\(n_intervals,\)"):
        warning.draw_inverse_velocity(tmp_path / "a.png", many(3, 0.1)[0], inverse_velocity(speeds), name="p")


# --- the map -----------------------------------------------------------------------------------------------------


def velocities(grid=GRID):
    """A patch that moves 3 east and 1 south; north-west nothing is known."""
    row, col = np.indices(grid.shape)
    patch = np.exp(-(((row + 0.5) / grid.shape[0] - 0.4) ** 2 + ((col + 0.5) / grid.shape[1] - 0.6) ** 2) / 0.03)
    vx, vy = (part.astype(np.float32) for part in (0.03 * patch, -0.01 * patch))
    vx[:6, :10] = np.nan
    return vx, vy, np.hypot(vx, vy)


@pytest.mark.parametrize(
    ("affine", "crs", "right_up"),
    [
        (GRID.affine, "EPSG:32632", (3, -1)),
        (Affine.translation(600_000, 4_950_000) @ Affine.rotation(90) @ Affine.scale(40, -20), "EPSG:32632", (-1, -3)),
        (Affine(4e-4, 0, 10.2, 0, -3e-4, 44.6), "EPSG:4326", (3, -1)),
        (None, None, (3, 1)),  # along the columns and down the rows
    ],
)
def test_arrows_point_where_the_ground_goes(drawn, affine, crs, right_up):
    grid = Grid((30, 50), affine, crs)
    vx, vy, speed = velocities()
    figure = drawn(velocity.draw_velocity_map, vx, vy, speed, grid, title="Mean velocity", unit="m/day")
    check_texts(figure)
    arrows = figure.axes[0].findobj(Quiver)[0]
    step = np.array([np.median(arrows.U), np.median(arrows.V)])
    assert step / np.hypot(*step) == pytest.approx(np.array(right_up) / np.sqrt(10), abs=1e-3)


def test_the_map_says_what_is_known(drawn):
    vx, vy, speed = velocities()
    sigma = np.full(GRID.shape, 0.002)
    points = [("p1, toe", 12, 30), (ODD, 3, 48)]
    figure = drawn(
        velocity.draw_velocity_map, vx, vy, speed, GRID, sigma=sigma, points=points, title=ODD, subtitle=ODD,
        backdrop=np.random.default_rng(1).normal(size=(60, 75)),
    )  # fmt: skip
    check_texts(figure)
    moving = 100 * np.nanmean(np.where(np.isfinite(speed), speed > 0.004, np.nan))
    assert f"Not known: 4 % of 1,500 posts; {moving:.3g} % of the others move by more than 2 standard errors" in said(
        figure
    )
    assert f"largest {np.nanmax(speed):.3g} m/day · median standard error 0.002 m/day" in said(figure)
    assert {"Ground speed (m/day)", "p1, toe"} <= set(texts(figure))
    marks = [line.get_xydata()[0].tolist() for line in figure.axes[0].get_lines()]
    assert marks == [[30.5, 12.5], [48.5, 3.5]]
    # Colours lie on the patch, which is right of the middle and above it.
    colour = figure.axes[0].get_images()[1].get_array()[..., 3]
    row, col = (np.average(at, weights=colour) for at in np.indices(GRID.shape))
    assert (row / 30, col / 50) == pytest.approx((0.4, 0.6), abs=0.03)


def test_maps_of_nothing_and_of_one_post(drawn):
    nothing = np.full(GRID.shape, np.nan)
    figure = drawn(velocity.draw_velocity_map, nothing, nothing, nothing, GRID, sigma=nothing, title="Mean velocity")
    check_texts(figure)
    assert "Not known: 100 % of 1,500 posts" in texts(figure)
    one = [np.full((1, 1), value) for value in (0.03, -0.01, 0.0316)]
    check_texts(drawn(velocity.draw_velocity_map, *one, Grid((1, 1)), title="Mean velocity", unit="px/day"))


def test_a_map_that_does_not_agree_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"shape \(30, 50\), instead got \(2, 3\)"):
        velocity.draw_velocity_map(tmp_path / "a.png", *velocities()[:2], np.zeros((2, 3)), GRID, title="t")
