"""The arithmetic of the benchmarks, and that they fail where results differ; nothing is timed."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from benchmarks import growth, rounds, table
from benchmarks.rounds import ResultsDifferError
from scipy import stats

from pixelproof.system import files


def test_ways_take_turns_and_the_first_round_is_not_timed() -> None:
    called: list[str] = []
    clock = count()
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = rounds.take_turns(ways, 3, lambda: float(next(clock)))
    assert "".join(called) == "abbaabba"
    assert seconds == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_the_median_lies_between_two_of_the_values() -> None:
    values = [float(value) for value in range(1, 26)]
    figure = rounds.entry(values[::-1], "x")
    assert figure == {"value": 13.0, "low": 8.0, "high": 18.0, "runs": 25, "against": "x"}
    # The number of values below the median is binomial: 8 to 17 of 25 in 95 % of all cases.
    assert stats.binom.cdf(17, 25, 0.5) - stats.binom.cdf(7, 25, 0.5) >= 0.95
    assert rounds.entry([4.0, 1.0, 2.0, 3.0, 5.0, 6.0], "x")["low"] == 1.0
    with pytest.raises(ValueError, match="expected 6 rounds or more, got 5"):
        rounds.entry(values[:5], "x")


def test_a_ratio_is_taken_round_by_round() -> None:
    seconds = {"ours": [1.0, 2.0, 4.0, 1.0, 1.0, 1.0], "theirs": [2.0, 4.0, 8.0, 2.0, 2.0, 2.0]}
    figure = rounds.times_as_fast(seconds, "ours", "theirs", "x")
    assert (figure["value"], figure["low"], figure["high"]) == (2.0, 2.0, 2.0)


def test_results_that_differ_fail() -> None:
    ours = np.arange(8, dtype=np.uint8)
    rounds.require_same("images", ours, ours.copy())
    other = ours.copy()
    other[3] ^= 1
    with pytest.raises(ResultsDifferError, match=r"images: 12\.50% of the values differ"):
        rounds.require_same("images", ours, other)
    for changed in (ours[:7], ours.astype(np.int64)):
        with pytest.raises(ResultsDifferError, match=r"images: \(8,\) uint8 here, \("):
            rounds.require_same("images", ours, changed)


def test_plain_python_makes_our_images_and_a_peer_changes_as_many_pixels() -> None:
    pytest.importorskip("albumentations", reason="`make bench` installs the peers")
    pytest.importorskip("kornia")
    from benchmarks import generation

    side = generation.SIDE
    images = np.full((2, 3, side, side), 9, np.uint8)
    generation.check_algorithm_1(images, np.arange(2, dtype=np.uint64))
    before = images.transpose(0, 2, 3, 1)
    after = before.copy()
    after[:, 0, : generation.N] += 1
    generation.check_share("peer", before, after)
    after[:, 1, : generation.N] += 1
    with pytest.raises(ResultsDifferError, match=r"peer: 0\.255% of the pixels changed, 0\.128%"):
        generation.check_share("peer", before, after)


def test_a_figure_is_put_beside_those_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    rounds.record({"b": rounds.exact(1.26004, "x")}, path)
    rounds.record({"a": rounds.exact(2, "y", 3)}, path)
    held = files.read_json(path)
    assert list(held) == ["a", "b", "machine", "versions"]
    assert held["b"] == {"value": 1.26, "low": 1.26, "high": 1.26, "runs": 1, "against": "x"}
    assert set(held["machine"]) == {"processor", "cores", "memory_gib"}
    assert {"python", "numpy", "torch"} <= set(held["versions"])


def test_growth_is_set_against_proportion() -> None:
    points = {4: (2.0, 50.0), 16: (3.0, 60.0), 64: (8.0, 75.0)}
    found = growth.entries(points, points)
    assert found["growth_n_time"]["value"] == 4.0
    assert found["growth_n_memory"]["value"] == 1.5
    assert "16 would be in proportion" in found["growth_images_time"]["against"]


def test_a_figure_that_misses_its_goal_is_marked() -> None:
    about = {"machine": rounds.describe_machine(), "versions": rounds.describe_versions()}
    reached = {"sweep_vs_forward": rounds.exact(0.95, "x"), "noop_seconds": rounds.exact(2.1, "y")}
    lines = table.page(reached | about).splitlines()
    (first,) = (line for line in lines if "sweep_vs_forward" in line)
    (second,) = (line for line in lines if "noop_seconds" in line)
    assert "missed" not in first
    assert "at most 2 | missed |" in second


def test_the_page_is_current() -> None:
    assert table.PAGE.read_text() == table.page(files.read_json(rounds.RESULTS)), "`make bench`"
