"""How making samples grows with the number of images and of changed pixels, in time and memory.

    python -m benchmarks.growth          a minute; writes docs/growth.svg

Each point is a process of its own, so that its peak memory is its own: it draws for and changes so
many images of 224 px, a batch at a time into one buffer. One thread, processor time, the median of
three runs.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.rounds import Entry, exact, record
from pixelproof.core.pixel_changes import apply_changes, draw_changes

PLOT = Path(__file__).parents[1] / "docs" / "growth.svg"
SIDE, BATCH, RUNS = 224, 64, 3
IMAGES, N = (1_000, 3_000, 10_000, 30_000, 100_000), (4, 16, 64, 256, 1024)
FIXED_IMAGES, FIXED_N = 10_000, 64

Point = tuple[float, float]  # processor seconds, peak memory in MiB


def measure(count: int, n: int) -> Point:
    """Make so many samples in this process."""
    shape = (BATCH, 3, SIDE, SIDE)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = np.empty_like(images)
    ids = np.arange(count, dtype=np.uint64)
    start = time.process_time()
    for first in range(0, count, BATCH):
        some = ids[first : first + BATCH]
        changes = draw_changes(some, n, (SIDE, SIDE), seed=1)
        apply_changes(images[: len(some)], changes, out[: len(some)])
    seconds = time.process_time() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_apart(count: int, n: int) -> Point:
    """The same in processes of its own, the median of some runs."""
    command = [sys.executable, "-m", "benchmarks.growth", "--once", str(count), str(n)]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        for _ in range(RUNS)
    ]
    seconds, memory = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"{count} images, n = {n}: {seconds:.2f} s, {memory:.0f} MiB", flush=True)
    return seconds, memory


def draw(by_images: dict[int, Point], by_n: dict[int, Point]) -> None:
    """Plot time and memory over both, and in grey what grows in proportion."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "growth", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 5), layout="constrained", sharex="col")
    columns = {
        f"images, n = {FIXED_N}": by_images,
        f"changed pixels n, {FIXED_IMAGES:,} images": by_n,
    }
    for column, (label, points) in enumerate(columns.items()):
        over = list(points)
        seconds, memory = (list(values) for values in zip(*points.values(), strict=True))
        time_axis, memory_axis = axes[0, column], axes[1, column]
        time_axis.loglog(over, seconds, "o-", label="measured")
        in_proportion = [seconds[0] * value / over[0] for value in over]
        time_axis.loglog(over, in_proportion, "--", color="grey", label="in proportion")
        time_axis.set_ylabel("processor seconds")
        memory_axis.semilogx(over, memory, "o-")
        memory_axis.set_ylim(0, 1.5 * max(memory))
        memory_axis.set_ylabel("peak memory, MiB")
        memory_axis.set_xlabel(label)
        memory_axis.set_xticks(over, [f"{value:,}" for value in over])
        memory_axis.minorticks_off()
    axes[0, 0].legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})


def growth(points: dict[int, Point]) -> dict[str, float]:
    """How time and memory of the last point stand to the first, and how the last does."""
    (first, least), *_, (last, most) = points.items()
    return {"size": last / first, "time": most[0] / least[0], "memory": most[1] / least[1]}


def entries(by_images: dict[int, Point], by_n: dict[int, Point]) -> dict[str, Entry]:
    """Times as much time and memory, from the first point to the last."""
    found: dict[str, Entry] = {}
    for name, points in (("images", by_images), ("n", by_n)):
        grown = growth(points)
        span = f"from {min(points):,} to {max(points):,}"
        against = f"{span}; {grown['size']:g} would be in proportion"
        found[f"growth_{name}_time"] = exact(grown["time"], against, RUNS)
        found[f"growth_{name}_memory"] = exact(grown["memory"], span, RUNS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--once", nargs=2, type=int, metavar=("IMAGES", "N"))
    given = parser.parse_args()
    if given.once:
        print(json.dumps(measure(*given.once)))
        return
    by_images = {count: measure_apart(count, FIXED_N) for count in IMAGES}
    by_n = {n: measure_apart(FIXED_IMAGES, n) for n in N}
    draw(by_images, by_n)
    record(entries(by_images, by_n))


if __name__ == "__main__":
    main()
