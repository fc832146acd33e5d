"""How often the 95 % intervals hold the truth, and how often the paired test errs, by simulation.

    python benchmarks/coverage.py       some minutes on one core; writes benchmarks/coverage.json

Each image has its own chance of a wrong draw, from a Beta distribution whose mean is the rate and
whose two parameters make two draws of an image correlate by 0.3, and for the intervals by 0.7, too
(the demo's draws correlate by 0.26 to 0.41, by 0.62 to 0.77 on another split). The paired test
compares two models that do not differ: their images' chances are drawn apart, or are the same. It
takes 999 resamples in place of the package's 10,000, for speed.

Methods that were trained with several seeds differ between them, too: each model multiplies its
images' chances by a factor of its own, log-normal, and each image's by another. The interval over
images and seeds stands beside a bootstrap that resamples both.

Where images are of parts, those of a part share their chance; chances correlate as those of draws.
The interval by part stands beside the one that counts images.
"""

import argparse
import itertools
import platform
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
from rich.progress import track

from pixelproof.core.statistics.differences import paired_difference
from pixelproof.core.statistics.intervals import effective_trials, rate_interval, wilson
from pixelproof.core.statistics.repetitions import repeated_difference
from pixelproof.system import files

RESULTS = Path(__file__).with_name("coverage.json")
DRAWS, RESAMPLES, SEED = 8, 999, 0
CORRELATION, HIGH_CORRELATION = 0.3, 0.7
RATES = (0.002, 0.01, 0.1)
RATE_IMAGES = (300, 600, 2000)
PAIRED = [(images, rate) for images in (300, 600) for rate in RATES] + [(2000, 0.01)]
METHOD_IMAGES, METHOD_RATE, EACH = 400, 0.07, 0.5
METHODS = [(seeds, spread) for seeds in (2, 3, 5) for spread in (0.1, 0.3, 0.6)]
PART_IMAGES = 30
PARTS = [(parts, rate) for parts in (8, 13, 30) for rate in (0.05, 0.2)]
LEAST_COVERAGE, MOST_REJECTED = 0.93, 0.06  # the first is asked for at the most images

Row = dict[str, Any]


def chances(
    random: np.random.Generator, images: int, rate: float, correlation: float = CORRELATION
) -> npt.NDArray[np.float64]:
    """Each image's chance (images, 1) of a wrong draw: Beta with 1 / (a + b + 1) = correlation."""
    total = 1 / correlation - 1
    return random.beta(rate * total, (1 - rate) * total, (images, 1))


def draw(random: np.random.Generator, chance: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each draw (images, DRAWS) is wrong."""
    return random.random((len(chance), DRAWS)) < chance


def simulate_rate(images: int, rate: float, correlation: float, runs: int) -> Row:
    """The share of runs whose interval holds the rate: ours, and Wilson's in two ways."""
    random = np.random.default_rng([SEED, images, round(1000 * rate), round(10 * correlation)])
    held = {"covered": 0, "effective": 0, "naive": 0}
    wider = []
    for _ in range(runs):
        wrong = draw(random, chances(random, images, rate, correlation))
        ours = rate_interval(wrong)
        trials = effective_trials(wrong.mean(axis=1), DRAWS)
        bounds = {
            "covered": (ours.low, ours.high),
            "effective": wilson(ours.value * trials, trials),
            "naive": wilson(float(wrong.sum()), wrong.size),
        }
        for name, (low, high) in bounds.items():
            held[name] += low <= rate <= high
        low, high = bounds["effective"]
        wider.append((ours.high - ours.low) / (high - low))
    shares = {name: count / runs for name, count in held.items()}
    size = {"images": images, "rate": rate, "correlation": str(correlation)}
    return {**size, **shares, "wider": float(np.mean(wider)) - 1}


def simulate_pair(images: int, rate: float, shared: bool, runs: int) -> Row:
    """The shares of runs in which no difference is rejected, and held by the bootstrap."""
    random = np.random.default_rng([SEED, images, round(1000 * rate), 1 + shared])
    rejected = covered = 0
    for run in range(runs):
        one = chances(random, images, rate)
        other = one if shared else chances(random, images, rate)
        found = paired_difference(
            draw(random, one), draw(random, other), resamples=RESAMPLES, seed=run
        )
        rejected += found.p_value <= 0.05
        covered += found.low <= 0 <= found.high
    shares = {"rejected": rejected / runs, "covered": covered / runs}
    return {"images": images, "rate": rate, "chances": "same" if shared else "apart", **shares}


def simulate_method(seeds: int, spread: float, runs: int) -> Row:
    """The share of runs whose interval over images and seeds holds the difference of two methods.

    The second method errs half as often. The truth is the mean of many seeds and images.
    """
    random = np.random.default_rng([SEED, seeds, round(10 * spread)])

    def gaps(seeds: int, images: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        hard = chances(random, images, METHOD_RATE, HIGH_CORRELATION)[:, 0]

        def method(factor: float) -> npt.NDArray[np.bool_]:
            own = factor * np.exp(random.normal(0, spread, (seeds, 1)))
            each = np.exp(random.normal(-(EACH**2) / 2, EACH, (seeds, images)))
            chance = np.minimum(hard * own * each, 1)[..., None]
            return np.asarray(random.random((seeds, images, DRAWS)) < chance)

        return method(0.5), method(1.0)

    truth = float(
        np.mean([np.subtract(*(one.mean() for one in gaps(50, 5000))) for _ in range(20)])
    )
    held = {"covered": 0, "both resampled": 0}
    for _ in range(runs):
        first, second = gaps(seeds, METHOD_IMAGES)
        found = repeated_difference(first, second)
        held["covered"] += found.low <= truth <= found.high
        difference = first.mean(axis=2) - second.mean(axis=2)
        means = [
            difference[random.integers(0, seeds, seeds)]
            .mean(axis=0)[random.integers(0, METHOD_IMAGES, METHOD_IMAGES)]
            .mean()
            for _ in range(RESAMPLES)
        ]
        low, high = np.percentile(means, [2.5, 97.5])
        held["both resampled"] += low <= truth <= high
    return {"seeds": seeds, "spread": str(spread), **{key: n / runs for key, n in held.items()}}


def simulate_parts(parts: int, rate: float, runs: int) -> Row:
    """The share of runs whose interval holds the rate, where a part's images share their chance."""
    random = np.random.default_rng([SEED, parts, round(1000 * rate), 9])
    groups = np.repeat(np.arange(parts), PART_IMAGES)
    held = {"covered": 0, "by image": 0}
    for _ in range(runs):
        chance = chances(random, parts, rate).repeat(PART_IMAGES, axis=0)
        wrong = draw(random, chance)
        for name, of in (("covered", groups), ("by image", None)):
            found = rate_interval(wrong, groups=of)
            held[name] += found.low <= rate <= found.high
    shares = {name: count / runs for name, count in held.items()}
    return {"parts": parts, "rate": rate, **shares}


def table(rows: list[Row], titles: dict[str, str]) -> str:
    """The rows as a Markdown table, shares in per cent."""
    lines = ["| " + " | ".join(titles.values()) + " |", "|" + " --- |" * len(titles)]
    for row in rows:
        cells = []
        for name in titles:
            value = row[name]
            cells.append(f"{100 * value:.1f} %" if isinstance(value, float) else f"{value}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, record and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated runs a row (2000)")
    runs = parser.parse_args().runs
    if runs < 1:
        parser.error(f"--runs: expected 1 or more, got {runs}")
    correlations = (CORRELATION, HIGH_CORRELATION)
    sizes = list(itertools.product(RATE_IMAGES, RATES, correlations))
    rates = [simulate_rate(*size, runs) for size in track(sizes, "rates", transient=True)]
    kinds = [(*size, shared) for size in PAIRED for shared in (False, True)]
    pairs = [simulate_pair(*kind, runs) for kind in track(kinds, "pairs", transient=True)]
    kinds_of = track(METHODS, "methods", transient=True)
    methods = [simulate_method(*kind, max(1, runs // 4)) for kind in kinds_of]
    by_part = [simulate_parts(*size, runs) for size in track(PARTS, "parts", transient=True)]
    least = min(row["covered"] for row in rates if row["images"] == max(RATE_IMAGES))
    most = max(row["rejected"] for row in pairs)
    about = {
        "command": shlex.join(["python", "benchmarks/coverage.py", "--runs", str(runs)]),
        "runs": runs,
        "draws": DRAWS,
        "correlation": CORRELATION,
        "resamples": RESAMPLES,
        "seed": SEED,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }
    demands = {
        "least_coverage": {"value": least, "at_least": LEAST_COVERAGE, "images": max(RATE_IMAGES)},
        "most_rejected": {"value": most, "at_most": MOST_REJECTED},
    }
    files.write_json(
        RESULTS,
        {
            "rates": rates,
            "pairs": pairs,
            "methods": methods,
            "parts": by_part,
            "demands": demands,
            **about,
        },
    )
    size = {"images": "Images", "rate": "Rate"}
    ways = {
        "correlation": "Correlation",
        "covered": "Covered, Korn and Graubard",
        "effective": "Wilson, effective trials",
        "naive": "Wilson, all draws as trials",
        "wider": "Wider than Wilson at the effective trials",
    }
    print(table(rates, {**size, **ways}))
    print()
    shares = {"rejected": "Rejected at 5 %", "covered": "Covered by the bootstrap"}
    print(table(pairs, {**size, "chances": "Images' chances", **shares}))
    print()
    seeds = {"seeds": "Seeds", "spread": "Spread of the factor (log)"}
    ways = {"covered": "Covered, over images and seeds", "both resampled": "Both resampled"}
    print(table(methods, {**seeds, **ways}))
    print()
    size = {"parts": f"Parts of {PART_IMAGES} images", "rate": "Rate"}
    print(table(by_part, {**size, "covered": "Covered, by part", "by image": "Counting images"}))
    print(f"\nLeast coverage at {max(RATE_IMAGES)} images {least:.1%}, most rejected {most:.1%}.")


if __name__ == "__main__":
    main()
