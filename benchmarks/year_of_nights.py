"""What the gate promotes in a year in which each night brings another challenger, by simulation.

    python benchmarks/year_of_nights.py    a quarter of an hour; writes year_of_nights.json

The held-out images stay the same, champion and control too; each night has a new challenger and new
draws. The gate's own `decide` judges them: each that is promoted is promoted by it. It is not asked
about challengers that its rules on Pi or on accuracy alone, which are cheap, refuse already.

Models are planted as the demo's are (500 held-out images, 8 draws, 256 stuck pixels): an image has
a latent difficulty that all models share, and one of its own for each model. Two draws of an image
correlate by 0.75, the error rates of two models of the same worth by 0.8, and 5.5 % of the images
are right in one of two models alone.
"""

import argparse
import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from rich.progress import track
from scipy import stats

from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.evaluation.ledger import COLUMNS
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params, parse_params
from pixelproof.promotion.gate import decide
from pixelproof.promotion.level import LEVEL, Look, level_at, power_at
from pixelproof.promotion.rules import better_by
from pixelproof.reporting.tradeoff import paired_rates
from pixelproof.system import files

RESULTS = Path(__file__).with_name("year_of_nights.json")
NIGHTS, IMAGES, DRAWS, SIDE, N, SEED = 365, 500, 8, 128, 256, 0
WITHIN, BETWEEN = 0.95, 0.93  # of latent variances: of an image in a draw, shared by the models
CLEAN, CLEAN_SHARED = 0.11, 0.94  # wrong unchanged
ATTACKED = {("whitebox_fgsm", 1): (0.72, 0.85), ("whitebox_iterated", 10): (0.98, 0.8)}
RATES = (0.045, 0.078)  # of champions: about as the demo's hardened model, and as its original
CONTROL = 0.087  # as the demo's control
LOOKS = (1, 2, 3, 5, 10, 30, 100)
RENEWED, MONTH = 0.1, 30  # the share of images that each month brings anew, in nights
MOST_FALSE, LEAST_POWER = 0.1, 0.75
PARAMS: Params = parse_params(
    {
        "select": {"side": SIDE},
        "baselines": {"base": {"classifier": "efficientnet_lite0"}},
        "finetune": {"arms": {"clean": {"baseline": "base"}, "hard": {"baseline": "base"}}},
        "models": {name: {"origin": "base"} for name in ("base", "clean", "hard")},
        "evaluate": {"draws": DRAWS, "stuck": {"n": [N]}},
        "compare": {"reference": {"experiment": "stuck", "n": N}, "resamples": 1000},
        "gate": {"challenger": "hard", "draws": DRAWS},
    }
)
GATE = Gate(challenger="hard")
Floats = npt.NDArray[np.float64]


@dataclass
class Images:
    """The held-out images: what is difficult for all models.

    Attributes:
        random: Of the simulation.
        shared: Latent difficulties (N,) under changed pixels, unchanged, and under each attack.
    """

    random: np.random.Generator
    shared: list[Floats] = field(init=False)

    def __post_init__(self) -> None:
        """Draw them."""
        self.shared = [self.random.standard_normal(IMAGES) for _ in range(2 + len(ATTACKED))]

    def renew(self) -> None:
        """Put new images in the place of some."""
        new = self.random.random(IMAGES) < RENEWED
        for values in self.shared:
            values[new] = self.random.standard_normal(int(new.sum()))

    def latent(self, which: int, share: float) -> Floats:
        """How difficult the images are for another model."""
        own = self.random.standard_normal(IMAGES)
        return np.asarray(np.sqrt(share) * self.shared[which] + np.sqrt(1 - share) * own)


@dataclass
class Model:
    """A planted model.

    Attributes:
        images: That it is measured on.
        rate: How often changed pixels make it wrong.
        clean: How often it is wrong unchanged.
        chance: (N,) of a wrong draw.
        right: (N,) unchanged.
        fooled: (N,) by each attack.
    """

    images: Images
    rate: float
    clean: float = CLEAN
    chance: Floats = field(init=False)
    right: npt.NDArray[np.bool_] = field(init=False)
    fooled: list[npt.NDArray[np.bool_]] = field(init=False)

    def __post_init__(self) -> None:
        """Train it, so to speak."""
        latent = np.sqrt(WITHIN) * self.images.latent(0, BETWEEN) - stats.norm.isf(self.rate)
        self.chance = stats.norm.cdf(latent / np.sqrt(1 - WITHIN))
        self.right = self.images.latent(1, CLEAN_SHARED) <= stats.norm.isf(self.clean)
        self.fooled = [
            self.images.latent(2 + at, share) > stats.norm.isf(rate)
            for at, (rate, share) in enumerate(ATTACKED.values())
        ]

    def draw(self) -> npt.NDArray[np.bool_]:
        """Which draws (N, DRAWS) are wrong; the order of an image's draws means nothing."""
        wrong = self.images.random.binomial(DRAWS, self.chance)
        return np.arange(DRAWS) < wrong[:, None]


Measured = tuple[Model, npt.NDArray[np.bool_]]  # a model, and its draws of one night


def ledger(model: Model, wrong: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The ledger of a model."""
    names = np.array([f"{at:016x}" for at in range(IMAGES)])
    rows = np.flatnonzero(model.right)
    parts = [_part(names, model.right, experiment="clean", n=0, draw=0)]
    for draw in range(DRAWS):
        setting = {"n": N, "values": "stuck", "area": SIDE, "draw": draw}
        parts.append(_part(names[rows], ~wrong[rows, draw], experiment="stuck", **setting))
    for (attack, steps), fooled in zip(ATTACKED, model.fooled, strict=True):
        setting = {"experiment": attack, "epsilon": 1, "steps": steps, "draw": 0}
        parts.append(_part(names[rows], ~fooled[rows], **setting))
    return pd.concat(parts, ignore_index=True)


def _part(
    names: npt.NDArray[np.str_], right: npt.NDArray[np.bool_], **setting: Any
) -> pd.DataFrame:
    columns = dict.fromkeys(COLUMNS) | setting | {"image": names, "label": "good"}
    columns |= {"split": "held_out", "prediction": np.where(right, "good", "bad")}
    columns["margin"] = np.where(right, 1.0, -1.0)
    return pd.DataFrame(columns, index=range(len(names))).astype(COLUMNS)


def better(challenger: Measured, others: list[Measured], level: float) -> bool:
    """Whether the rules on Pi hold; a normal test far below the level spares most of the work."""
    models = [challenger, *others]
    common = np.all([model.right for model, _ in models], axis=0)
    own, theirs = challenger[1][common], [wrong[common] for _, wrong in others]
    for other in theirs:
        gap = other.mean(axis=1) - own.mean(axis=1)
        if gap.mean() <= 0.6 * stats.norm.isf(level / 2) * gap.std() / np.sqrt(len(gap)):
            return False
    gaps = [better_by(other, own, PARAMS, level) for other in theirs]
    return all(gap.low > 0 and gap.p_value <= level for gap in gaps)


def accurate(challenger: Model, others: list[Model]) -> bool:
    """Whether the rules on accuracy hold."""
    gaps = [paired_rates(challenger.right, model.right) for model in others]
    return all(gap["low"] > -GATE.accuracy_margin for gap in gaps)


def passes(challenger: Model, others: list[Model], look: Look) -> tuple[bool, bool]:
    """Whether the rules on Pi hold, and whether the gate promotes: on new draws."""
    own, theirs = (challenger, challenger.draw()), [(model, model.draw()) for model in others]
    if not better(own, theirs, look.level):
        return False, False
    if not accurate(challenger, others):
        return True, False
    champion, control = (ledger(*each) for each in theirs)
    verdict = decide(ledger(*own), champion, control, PARAMS, look=look)
    if verdict.outcome == "NOT ENOUGH EVIDENCE":
        raise RuntimeError(verdict.reasons)
    return True, verdict.outcome == "PASSED"


@dataclass(frozen=True)
class Fixed(Look):
    """A look whose level is that of a single one, as if there had been no other."""

    @property
    def level(self) -> float:
        """The whole level."""
        return LEVEL


@dataclass(frozen=True)
class Year:
    """A kind of year.

    Attributes:
        name: In the table.
        rate: The champion's and the control's error rate.
        challengers: Their error rate, as a share of that.
        worse: How much more often they are wrong unchanged.
        spent: Whether the level is spent over the looks.
        renewed: Whether each month brings new images.
    """

    name: str
    rate: float
    challengers: float = 1.0
    worse: float = 0.0
    spent: bool = True
    renewed: bool = False


def figures(champion: Model) -> dict[str, float]:
    """The error rate that a champion was registered with."""
    return rate_interval(champion.draw()[champion.right])._asdict()


def simulate_year(year: Year, random: np.random.Generator) -> tuple[bool, int]:
    """Whether a year promotes a challenger, and how many looks it took."""
    images = Images(random)
    others = [Model(images, year.rate), Model(images, CONTROL)]
    pi = figures(others[0])
    number, looks = 1.0, 0
    for night in range(NIGHTS):
        if year.renewed and night and night % MONTH == 0:
            images.renew()
            others = [Model(images, year.rate), Model(images, CONTROL)]
            number = 1 + (number - 1) * (1 - RENEWED)
        power = power_at(level_at(number), pi)
        if year.spent and power < GATE.power:
            continue
        look = Look(number, power) if year.spent else Fixed(number)
        challenger = Model(images, year.rate * year.challengers, CLEAN + year.worse)
        number, looks = number + 1, looks + 1
        if passes(challenger, others, look)[1]:
            return True, looks
    return False, looks


def simulate_look(rate: float, number: int, runs: int) -> dict[str, Any]:
    """How often a challenger with half the errors passes at a look."""
    random = np.random.default_rng([SEED, round(1000 * rate), number])
    found, told = [], []
    for _ in range(runs):
        images = Images(random)
        others = [Model(images, rate), Model(images, CONTROL)]
        told.append(power_at(level_at(number), figures(others[0])))
        found.append(passes(Model(images, rate / 2), others, Look(number)))
    noticed, promoted = np.mean(found, axis=0)
    shares = {"told": float(np.mean(told)), "noticed": float(noticed), "promoted": float(promoted)}
    return {"rate": rate, "look": number, "level": level_at(number), **shares}


YEARS = [
    *(Year("no better, 5 % at each look", rate, spent=False) for rate in RATES),
    *(Year("no better", rate) for rate in RATES),
    *(
        Year("no better, a tenth of the images new each month", rate, renewed=True)
        for rate in RATES
    ),
    *(Year("a tenth fewer errors", rate, 0.9) for rate in RATES),
    *(Year("half the errors, accuracy 3 points lower", rate, 0.5, 0.03) for rate in RATES),
]


def _table(rows: list[dict[str, Any]], cells: dict[str, Callable[[dict[str, Any]], str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |", "|" + "---|" * len(cells)]
    lines += ["| " + " | ".join(cell(row) for cell in cells.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Simulate, record and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--years", type=int, default=100, help="simulated years a row (100)")
    parser.add_argument("--runs", type=int, default=100, help="simulated looks a row (100)")
    given = parser.parse_args()
    years: list[dict[str, Any]] = []
    for at, year in enumerate(track(YEARS, "years", transient=True)):
        random = np.random.default_rng([SEED, 1, at])
        ended = [simulate_year(year, random) for _ in range(given.years)]
        promoted, looks = np.mean(ended, axis=0)
        kind = {"challengers": year.name, "rate": year.rate}
        years.append({**kind, "promoted": float(promoted), "looks": float(looks)})
    sizes = [(rate, number) for rate in RATES for number in LOOKS]
    looks = [simulate_look(*size, given.runs) for size in track(sizes, "looks", transient=True)]
    spent = {year.name for year in YEARS if year.spent and year.challengers == 1.0}
    false = max(row["promoted"] for row in years if row["challengers"] in spent)
    power = min(row["noticed"] for row in looks if row["look"] == 1)
    words = ["python", "benchmarks/year_of_nights.py", "--years", str(given.years)]
    about = {
        "command": shlex.join([*words, "--runs", str(given.runs)]),
        "nights": NIGHTS,
        "images": IMAGES,
        "draws": DRAWS,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }
    demands = {
        "most_false": {"value": false, "at_most": MOST_FALSE},
        "least_power": {"value": power, "at_least": LEAST_POWER, "look": 1},
    }
    files.write_json(RESULTS, {"years": years, "looks": looks, "demands": demands, **about})
    titles = {
        "challengers": lambda row: str(row["challengers"]),
        "champion wrong": lambda row: f"{100 * row['rate']:.1f} %",
        "years that promote one": lambda row: f"{100 * row['promoted']:.1f} %",
        "looks": lambda row: f"{row['looks']:.0f}",
    }
    print(_table(years, titles), end="\n\n")
    titles = {
        "champion wrong": lambda row: f"{100 * row['rate']:.1f} %",
        "look": lambda row: str(row["look"]),
        "level": lambda row: f"{row['level']:.2g}",
        "told": lambda row: f"{100 * row['told']:.0f} %",
        "Pi is noticed to be better": lambda row: f"{100 * row['noticed']:.0f} %",
        "all rules hold": lambda row: f"{100 * row['promoted']:.0f} %",
    }
    print(_table(looks, titles))
    print(f"\nMost years with a false promotion {false:.1%}, least power at look 1 {power:.1%}.")


if __name__ == "__main__":
    main()
