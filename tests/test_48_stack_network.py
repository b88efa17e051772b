"""Pair networks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from sensetrack.errors import ConfigError, NoMatchError
from sensetrack.stack.network import (
    Acquisition,
    Network,
    NetworkParameters,
    network,
    passes_of,
    scaled_search,
    search_factor,
    utc,
)
from stack_truth import scenes


def at(*days: str, **about) -> list[Acquisition]:
    return [Acquisition(f"2023{day}", **about) for day in days]


def names(pairs) -> list[str]:
    return [pair.name[4:8] + pair.name[13:] for pair in pairs]


def test_a_missing_date_doubles_the_search():
    pairs = network(at("0912", "0807", "0819"))
    assert [(p.name, p.search()) for p in pairs] == [("20230807-20230819", (10, 30)), ("20230819-20230912", (20, 60))]


@pytest.mark.parametrize(
    ("days", "repeat", "factor"),
    [
        (0, 12, 1),
        (6, 12, 1),
        (12, 12, 1),
        (12.0002, 12, 1),
        (13, 12, 2),
        (24, 12, 2),
        (25, 12, 3),
        (-24, 12, 2),
        (10, 5, 2),
    ],
)
def test_search_grows_with_whole_days(days, repeat, factor):
    assert search_factor(days, repeat) == factor
    assert scaled_search((7, 11), days, repeat) == (7 * factor, 11 * factor)


def test_nonsense_days_are_refused():
    with pytest.raises(ConfigError, match="finite"):
        search_factor(float("nan"))


def test_satellites_are_mixed_by_time_not_by_name():
    mixed = at("0101", "0113", platform="S1B", track=3) + at("0107", "0119", platform="S1A", track=3)
    assert names(network(mixed)) == ["01010107", "01070113", "01130119"]


def test_tracks_do_not_mix():
    two = at("0101", "0113", track=3) + at("0102", "0114", track=7)
    assert names(network(two)) == ["01010113", "01020114"]
    assert names(network(two, NetworkParameters(tracks=(7,)))) == ["01020114"]


def test_all_within_some_days():
    pairs = network(at("0101", "0113", "0125", "0206"), NetworkParameters(kind="days", max_days=24))
    assert names(pairs) == ["01010113", "01010125", "01130125", "01130206", "01250206"]
    assert [pair.days for pair in pairs] == [12, 24, 12, 24, 12]


def test_a_pass_some_seconds_late_is_still_within():
    late = [Acquisition(datetime(2023, 1, 1)), Acquisition(datetime(2023, 1, 25, 0, 0, 3))]
    assert len(network(late, NetworkParameters(kind="days", max_days=24))) == 1


def test_redundant_pairs_each_with_its_next():
    pairs = network(at("0101", "0102", "0105", "0109"), NetworkParameters(kind="redundant", neighbours=2))
    assert names(pairs) == ["01010102", "01010105", "01020105", "01020109", "01050109"]


def test_same_season_in_other_years():
    many = [Acquisition(f"{year}{day}") for year in (2019, 2020, 2021) for day in ("0701", "0915")]
    pairs = network(many, NetworkParameters(kind="season", season_days=15, years=2))
    across = {(p.reference.moment.year, p.secondary.moment.year) for p in pairs if p.days > 300}
    assert across == {(2019, 2020), (2019, 2021), (2020, 2021)}
    assert all(p.reference.moment.month == p.secondary.moment.month for p in pairs if p.days > 300)
    assert len([p for p in pairs if p.days > 300]) == 6
    assert len([p for p in pairs if p.days < 300]) == 5


def test_perpendicular_baselines():
    far = [Acquisition(f"202301{day}", perpendicular=b) for day, b in (("01", 0.0), ("13", 140.0), ("25", -30.0))]
    kept = network(far, NetworkParameters(kind="days", max_days=30, max_perpendicular=50))
    assert [(p.name[6:8], p.name[-2:], p.perpendicular) for p in kept] == [("01", "25", -30.0)]
    unknown = [*far, Acquisition("20230126")]
    assert network(unknown, NetworkParameters(kind="days", max_days=30, max_perpendicular=50)) == kept


def test_frames_of_one_pass_count_once():
    start = datetime(2023, 1, 1, 5)
    frames = [Acquisition(start + timedelta(seconds=25 * k), f"f{k}", "S1A", 3, 900) for k in (1, 0, 2)]
    later = Acquisition(start + timedelta(days=12), "g", "S1A", 3, 1075)
    assert [one.name for one in passes_of([later, *frames])] == ["f0", "g"]
    assert [(p.reference.name, p.secondary.name) for p in network([*frames, later])] == [("f0", "g")]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"kind": "days"}, "max_days"), ({"min_days": 9, "max_days": 3}, "at least min_days"), ({"kin": "x"}, "kind")],
)
def test_bad_networks_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        NetworkParameters(**given)


def test_no_pair_is_an_error():
    with pytest.raises(NoMatchError, match="1 given"):
        network(at("0101"))


def test_times_are_utc():
    east = timezone(timedelta(hours=5))
    assert utc(datetime(2023, 1, 1, 3, tzinfo=east)) == datetime(2022, 12, 31, 22)
    assert utc(datetime(2023, 1, 1, 3, tzinfo=UTC)) == datetime(2023, 1, 1, 3)
    assert utc(date(2023, 1, 2)) == utc("20230102") == utc("2023-01-02") == datetime(2023, 1, 2)
    with pytest.raises(ConfigError, match="20260807"):
        utc("yesterday")


def test_numbers_of_a_network():
    net = Network.of([("20230113", "20230101"), ("20230101", "20230206"), ("20230113", "20230206")])
    assert net.days.tolist() == [0, 12, 36]
    assert net.pairs.tolist() == [[1, 0], [0, 2], [1, 2]]
    assert net.spans.tolist() == [-12, 36, 24]
    assert net.names[1] == "20230101-20230206"
    assert net.triplets().size == 0  # one of the three runs back in time


def test_triplets_close():
    net = Network.of(network(scenes(6), NetworkParameters(kind="redundant", neighbours=3)))
    truth = np.random.default_rng(1).normal(size=net.dates.size)
    pairs = truth[net.pairs[:, 1]] - truth[net.pairs[:, 0]]
    around = net.triplets()
    assert len(around) == len({tuple(one) for one in around.tolist()}) == 10
    np.testing.assert_allclose(pairs[around[:, 0]] + pairs[around[:, 1]] - pairs[around[:, 2]], 0, atol=1e-12)


def test_subnetworks():
    net = Network.of([("20230101", "20230113"), ("20230206", "20230218"), ("20230113", "20230125")])
    assert net.subnetworks().tolist() == [0, 0, 0, 1, 1]
    assert net.subnetworks(np.array([True, False, False])).tolist() == [0, 0, -1, -1, -1]


def test_a_network_needs_pairs_of_two_dates():
    with pytest.raises(ConfigError, match="at least one"):
        Network.of([])
    with pytest.raises(ConfigError, match="different"):
        Network.of([("20230101", "20230101")])
