"""The page of the figures, docs/benchmarks.md, out of `results.json`.

python -m benchmarks.table
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rounds import RESULTS
from pixelproof.system import files

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Goal:
    """What a figure says, and how good it must be.

    Attributes:
        what: In a few words.
        bound: The least that it must be, or the most where less is better.
        most: Whether less is better.
    """

    what: str
    bound: float
    most: bool = False

    def reached(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.bound if self.most else value >= self.bound


GOALS = {
    "generate_vs_memcpy": Goal("new images, 64 pixels changed in each", 0.70),
    "inplace_vs_memcpy": Goal("64 pixels changed in place, and changed back", 3.0),
    "generate_vs_pixeldropout": Goal("new images", 30),
    "generate_vs_kornia": Goal("new images", 80),
    "generate_vs_algorithm1": Goal("new images, one list of positions", 5),
    "sweep_vs_forward": Goal("the whole sweep over changed images", 0.93),
    "sweep_vs_naive_cpu": Goal("the whole sweep with a faster engine", 3.5),
    "queries_saved": Goal("passes for the same certainty, fewer by", 6),
    "fgsm_vs_naive": Goal("FGSM", 1.5),
    "fgsm_vs_foolbox": Goal("FGSM", 1.4),
    "train_vs_reference": Goal("fine-tuning", 1.0),
    "bytes_per_sample": Goal("bytes of a stored sample, n = 64", 420, most=True),
    "noop_seconds": Goal("`dvc repro` with nothing to do", 2.0, most=True),
    "overhead_share": Goal("orchestration's share of the default run", 0.20, most=True),
}

HEAD = """# Benchmarks

`make bench` measures pixelproof beside what else does the same, on your machine, in about ten
minutes, and writes this page (`benchmarks/table.py`) and `benchmarks/results.json`. This one:
{machine}.

- What is compared takes turns, so that what else the machine does falls on all alike. A figure
  is the median of the rounds, with the 95 % bounds of that median in brackets.
- Times are processor time, and one thread computes, so that a shared machine can be used.
- The results that are compared must be equal: generated images, adversarial examples, trained
  weights and predictions bit for bit. If they differ, the benchmark fails. (albumentationsx and
  kornia draw their own pixels; they must change as many.)
- The peers come with the extra `bench`, which `make bench` installs and nothing else needs.

| figure | what | against | value | must be | |
|---|---|---|---|---|---|
"""

GROWTH = """
The peers have networks as their users would have them: as published, in NCHW. pixelproof chooses
channels-last memory. Below are figures with the peers in that, too (`_channels_last`). There the
network's work is the same for both, and little is left to be gained: FGSM saves the gradients of
the weights, a third of a textbook's work, and can be 1.5 times as fast at the most; training can
save nothing, and must lose nothing.

## How cost grows

![Time and peak memory over the number of images and of changed pixels](growth.svg)

Time grows in proportion to the images, and slower than in proportion to the changed pixels, since
copying an image costs more than changing some of its pixels. Memory stays flat: what is drawn is
drawn a batch at a time.

## Other figures

Each is written by a program of its own, which says at its head what it does and how long it takes.
Their brackets hold all rounds where there are fewer than six.

| figure | against | value |
|---|---|---|
"""


def _shown(figure: dict[str, Any]) -> str:
    value, low, high = (f"{figure[key]:g}" for key in ("value", "low", "high"))
    return value if low == high else f"{value} [{low}, {high}]"


def _row(key: str, goal: Goal, figure: dict[str, Any]) -> str:
    must = f"at {'most' if goal.most else 'least'} {goal.bound:g}"
    said = "" if goal.reached(figure["value"]) else "missed"
    cells = (f"`{key}`", goal.what, figure["against"], _shown(figure), must, said)
    return "| " + " | ".join(cells) + " |\n"


def page(results: dict[str, Any]) -> str:
    """The page, for the content of `results.json`."""
    machine = results["machine"]
    parts = [f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"]
    parts += [f"{name} {version}" for name, version in results["versions"].items()]
    text = HEAD.format(machine="; ".join(parts))
    text += "".join(_row(key, goal, results[key]) for key, goal in GOALS.items() if key in results)
    text += GROWTH
    others = {key: results[key] for key in results if key not in (*GOALS, "machine", "versions")}
    for key, figure in others.items():
        text += f"| `{key}` | {figure['against']} | {_shown(figure)} |\n"
    return text


def main() -> None:
    files.write_text(PAGE, page(files.read_json(RESULTS)))
    print(PAGE)


if __name__ == "__main__":
    main()
