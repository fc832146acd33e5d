"""Side by side: ways take turns, and the median of their ratios comes with its 95 % bounds."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from scipy import stats

from pixelproof.system import files

RESULTS = Path(__file__).with_name("results.json")
LEAST_ROUNDS = 6  # below that, no two of the values bound the median with 95 % confidence
PACKAGES = ("albumentationsx", "dvc", "foolbox", "kornia", "numpy", "torch", "torchvision")


class Entry(TypedDict):
    """A figure of `results.json`: the median of some rounds, and the bounds of that median."""

    value: float
    low: float
    high: float
    runs: int
    against: str


class ResultsDifferError(Exception):
    """Two ways that are compared for their speed do not come to the same result."""


def take_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds that each way takes in each round, after one round that is not timed.

    The ways of a round follow one another, every other round in reverse order, so that what else
    the machine does falls on all of them.

    Args:
        ways: What to time, by name.
        rounds: How many rounds are timed.
        clock: Tells seconds. The default counts the processor time of this process alone, of all
            its threads: what others do on a shared machine hardly shows in it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            start = clock()
            ways[name]()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def entry(values: list[float], against: str) -> Entry:
    """The median of some rounds and its 95 % bounds, which are two of the values.

    Args:
        values: One a round.
        against: What it was compared with.

    Raises:
        ValueError: There are fewer than six values, of which no two bound the median.
    """
    if len(values) < LEAST_ROUNDS:
        raise ValueError(f"expected {LEAST_ROUNDS} rounds or more, got {len(values)}")
    bounds = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    low, value, high = (
        float(f"{number:.4g}") for number in (bounds.low, statistics.median(values), bounds.high)
    )
    return {"value": value, "low": low, "high": high, "runs": len(values), "against": against}


def exact(value: float, against: str, runs: int = 1) -> Entry:
    """A figure without bounds: it is counted, or too few runs stand behind it."""
    rounded = float(f"{value:.4g}")
    return {"value": rounded, "low": rounded, "high": rounded, "runs": runs, "against": against}


def times_as_fast(
    seconds: Mapping[str, list[float]], ours: str, theirs: str, against: str
) -> Entry:
    """How many times as fast one way is as another, round by round."""
    pairs = zip(seconds[theirs], seconds[ours], strict=True)
    return entry([other / own for other, own in pairs], against)


def require_same(what: str, ours: Any, theirs: Any) -> None:
    """Check that two ways come to the same numbers, bit for bit.

    Args:
        what: Names them in the error.
        ours: An array or a tensor on the CPU.
        theirs: Another.

    Raises:
        ResultsDifferError: They differ.
    """
    own, other = np.asarray(ours), np.asarray(theirs)
    if own.shape != other.shape or own.dtype != other.dtype:
        raise ResultsDifferError(
            f"{what}: {own.shape} {own.dtype} here, {other.shape} {other.dtype} there"
        )
    if not np.array_equal(own, other):
        share = float((own != other).mean())
        raise ResultsDifferError(f"{what}: {share:.2%} of the values differ")


def describe_machine() -> dict[str, Any]:
    """The processor, how many of its cores this process may use, and the memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
    }


def describe_versions() -> dict[str, str]:
    """Python and the packages that are compared, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def record(entries: Mapping[str, Entry], path: Path = RESULTS) -> None:
    """Put figures into `results.json`, beside those that other programs have put there."""
    held = files.read_json(path) if path.exists() else {}
    figures = {key: held[key] for key in held if key not in ("machine", "versions")}
    figures |= entries
    about = {"machine": describe_machine(), "versions": describe_versions()}
    files.write_json(path, dict(sorted(figures.items())) | about)
    for key, figure in entries.items():
        print(f"{key}: {figure['value']} [{figure['low']}, {figure['high']}]", flush=True)
