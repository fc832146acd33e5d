"""What the readers of a ledger know of each experiment: an entry an experiment.

The tables and figures of the report, the gate, the checks for masked gradients, the tracked metrics
and the comparison of two results ask these entries. How an experiment is measured is written in
`evaluation.experiments`, under the same name, so that an edited word measures nothing again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pixelproof.errors import DataError
from pixelproof.params.named_attacks import Kind, Norm, kind_of

Follows = Literal["step", "steps", "queries", "another model", "another model iterated"]
COMPARED_N = 64  # changed pixels, the largest number in the paper's Table 10
Setting = Mapping[str, Any]  # experiment, epsilon, steps, n, values, area, as far as they apply


@dataclass(frozen=True)
class Table:
    """A table of the report; experiments that share it are rows of the same table.

    Attributes:
        title: Above it.
        note: Below the title.
        columns: What its columns go over.
    """

    title: str
    note: str
    columns: Literal["n", "epsilon"] = "n"


@dataclass(frozen=True)
class Column:
    """A column of the result table on the terminal.

    Attributes:
        head: Above it.
        name: What the legend calls it.
        on: The kind of images on which models are wrong.
        of: Which of those.
    """

    head: str
    name: str
    on: str
    of: str


def no_label(setting: Setting, side: int) -> str:
    """The label where a table has one row a model."""
    return ""


@dataclass(frozen=True)
class Experiment:
    """What there is to know of an experiment beside its rows.

    Attributes:
        over: The column of the ledger that it goes over, which its figure has as its axis; None
            where there is a single setting.
        axis: What a figure says of that axis.
        figure: A curve over the axis, a dot a model at the largest epsilon, or none.
        beside: The experiment of random changes to whose figure it adds dashed curves: a search for
            the worst of the same changes.
        largest: The setting of which a curve shows the largest value alone.
        images: Whose predictions count: of the common images, or of all that it was made on.
        errors: Whether its rows are predictions; else `margin` holds a measured quantity.
        pi: Whether n pixels change, so that Pi is defined.
        counted: What the column `steps` counts; empty where it says nothing.
        table: Its table in the report; None where it has none.
        label: The first cells of its row in that table, from the setting and the images' side.
        column: Its column on the terminal; None where it has none.
        gated: Whether the gate wants that the challenger is wrong at most `gate.attack_margin` more
            often than the champion, in each setting; and the report compares the same.
        required: Whether the gate decides nothing without it.
        follows: What an attack goes by, which the checks for masked gradients ask: one step along
            the gradient, several, the answers to queries, or another model's gradient, once or
            several times.
        sentence: The attack in a sentence, filled from the setting.
        norm: Of an attack: the distance that its budget limits, `epsilon` or (l0) `n`.
        sees: Of an attack: what it asks of the model.
    """

    over: Literal["n", "values", "area", "epsilon"] | None = None
    axis: str = ""
    figure: Literal["curve", "dots"] | None = None
    beside: str | None = None
    largest: Literal["n", "steps"] | None = None
    images: Literal["common", "all"] = "common"
    errors: bool = True
    pi: bool = False
    counted: Literal["steps", "queries", ""] = ""
    table: Table | None = None
    label: Callable[[Setting, int], str] = no_label
    column: Column | None = None
    gated: bool = False
    required: bool = False
    follows: Follows | None = None
    sentence: str = "an attack"
    norm: Norm | None = None
    sees: Literal["gradients", "scores", ""] = ""


def _offset(setting: Setting, side: int) -> str:
    return "± " + str(setting["values"]).replace("offset:", "")


def _box(setting: Setting, side: int) -> str:
    area = setting["area"]
    return f"{area} × {area} ({area / side:.3g})"


def _one_step(setting: Setting, side: int) -> str:
    return "one step"


def _steps(setting: Setting, side: int) -> str:
    return f"{setting['steps']} steps"


def _queries(setting: Setting, side: int) -> str:
    return f"{setting['steps']} queries"


def _at_random(setting: Setting, side: int) -> str:
    return "at random"


def _worst_of(setting: Setting, side: int) -> str:
    values = str(setting["values"])
    kind = f" {_offset(setting, side)}" if values.startswith("offset:") else ""
    return f"worst{kind}, {setting['steps']} queries for each n"


_FULL = Table(
    "Changed pixels (Tables 6 and 10)",
    "Any value in each channel. Wrong, of the common images and draws; worst: of the common images "
    "that were searched, with n pixels or fewer.",
)
_STUCK = Table(
    "Stuck pixels",
    "Dead or hot pixels: 0 or 255 in all channels; at random they lie where those of any value do. "
    "Worst: of the common images that were searched, with n pixels or fewer.",
)
_OWN = Table(
    "Attacks on each model itself",
    "Wrong, of the common images that were attacked. Queries: the Square Attack, which asks for "
    "scores and needs no gradient.",
    "epsilon",
)

# In the order of the report.
EXPERIMENTS: dict[str, Experiment] = {
    "clean": Experiment(images="all"),
    "pixels": Experiment(
        over="n",
        axis="changed pixels (full range)",
        figure="curve",
        pi=True,
        table=_FULL,
        label=_at_random,
    ),
    "stuck": Experiment(
        over="n",
        axis="changed pixels (stuck: 0 or 255)",
        figure="curve",
        pi=True,
        table=_STUCK,
        label=_at_random,
    ),
    "magnitude": Experiment(
        over="values",
        axis="largest change of a value",
        figure="curve",
        largest="n",
        pi=True,
        table=Table("Magnitude (Table 7)", "The value moves by up to so much, clipped to 0..255."),
        label=_offset,
    ),
    "area": Experiment(
        over="area",
        axis="side of the changed square in pixels",
        figure="curve",
        largest="n",
        pi=True,
        table=Table(
            "Area (Table 8)",
            "Changes lie in a centred square of this side in pixels, and as a share of the side.",
        ),
        label=_box,
    ),
    "adversarial_pixels": Experiment(
        over="n",
        axis="changed pixels of FGSM examples",
        figure="curve",
        images="all",
        table=Table(
            "FGSM examples with changed pixels (Table 9)",
            "FGSM examples that fool the model, then n pixels changed at random: still wrong.",
        ),
    ),
    "transfer_fgsm": Experiment(
        over="epsilon",
        axis="wrong, %, on its original's FGSM examples",
        figure="dots",
        images="all",
        table=Table(
            "FGSM examples of the original (Table 11)",
            "Wrong on FGSM examples that fool its original. Any other network recovers some.",
            "epsilon",
        ),
        column=Column("transfer %", "transfer", "FGSM examples", "of those that fool its original"),
        follows="another model",
    ),
    "whitebox_fgsm": Experiment(
        over="epsilon",
        axis="epsilon, of 255, in one step",
        figure="curve",
        table=_OWN,
        label=_one_step,
        column=Column("white-box %", "white-box", "FGSM examples", "made from the model itself"),
        gated=True,
        required=True,
        follows="step",
        sentence="a single FGSM step",
        norm="linf",
        sees="gradients",
    ),
    "whitebox_iterated": Experiment(
        over="epsilon",
        axis="epsilon, of 255",
        figure="curve",
        largest="steps",
        counted="steps",
        table=_OWN,
        label=_steps,
        gated=True,
        required=True,
        follows="steps",
        sentence="an attack of {steps} steps",
        norm="linf",
        sees="gradients",
    ),
    "gradient_free": Experiment(
        over="epsilon",
        axis="wrong, %",
        figure="dots",
        counted="queries",
        table=_OWN,
        label=_queries,
        follows="queries",
        sentence="an attack of {steps} queries",
        norm="linf",
        sees="scores",
    ),
    "worst_pixels": Experiment(
        over="n",
        axis="changed pixels, the worst found",
        beside="pixels",
        pi=True,
        counted="queries",
        table=_FULL,
        label=_worst_of,
        norm="l0",
        sees="gradients",  # for its start
    ),
    "worst_stuck": Experiment(
        over="n",
        axis="changed pixels, the worst found (stuck: 0 or 255)",
        beside="stuck",
        pi=True,
        counted="queries",
        table=_STUCK,
        label=_worst_of,
        norm="l0",
        sees="gradients",  # for its start
    ),
    "boundary": Experiment(errors=False),  # a distance, with a table and a figure of its own
}

# What the gate asks of a challenger alone, beside attacks by name; see `promotion.probes`.
_LENT = Experiment(over="epsilon", counted="steps", follows="another model iterated")
PROBES = {
    "transfer_champion": _LENT,
    "transfer_control": _LENT,
    "repeated": Experiment(images="all"),
}


def described(name: str) -> Experiment:
    """The entry of an experiment; of one that this version does not know, an empty one.

    A result of another version may hold it, and two results are compared all the same.
    """
    kind = kind_of(name)
    known = EXPERIMENTS | PROBES
    return known.get(name, Experiment() if kind is None else _by_name(kind))


def _by_name(kind: Kind) -> Experiment:
    """The entry of an attack of `evaluate.attacks`, whose table is that of all attacks."""
    over: Literal["n", "epsilon"] = "n" if kind.norm == "l0" else "epsilon"
    return Experiment(over=over, counted=kind.counted, norm=kind.norm, sees=kind.sees)


def check_known(names: Iterable[str]) -> None:
    """Refuse a ledger with an experiment that has no entry: no rule would ask for it.

    Raises:
        DataError: There is one; names it.
    """
    known = EXPERIMENTS | PROBES
    unknown = [name for name in names if name not in known and kind_of(name) is None]
    if unknown:
        raise DataError(
            f"expected experiments that `reporting/experiments.py` describes, got {unknown[0]!r}"
        )


def required() -> list[str]:
    """The experiments without which the gate decides nothing."""
    return [name for name, entry in EXPERIMENTS.items() if entry.required]


def following(*kinds: str) -> list[str]:
    """The attacks that go by one of these; see `Experiment.follows`."""
    return [name for name, entry in (EXPERIMENTS | PROBES).items() if entry.follows in kinds]
