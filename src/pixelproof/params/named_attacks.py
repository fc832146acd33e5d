"""Attacks by name: the kinds there are, and an entry of `evaluate.attacks`.

A kind's other part is how it is run (`evaluation.named_attacks`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from pixelproof.params.kinds import Count, CountOrAll, Expected, Seed
from pixelproof.params.section import section
from pixelproof.params.validation import require

Norm = Literal["linf", "l2", "l0"]


@dataclass(frozen=True)
class Kind:
    """What there is to know of a kind of attack without running it.

    Attributes:
        norm: Which distance its budget limits: the largest change of a value, the Euclidean length
            of the change, or the number of changed pixels.
        sees: What it asks of the model.
        counted: Which of its keys says how long it goes on; empty where none does.
        defaults: Its own keys, and what they are where they are not given.
    """

    norm: Norm
    sees: Literal["gradients", "scores"]
    counted: Literal["steps", "queries", ""] = ""
    defaults: Mapping[str, int] = field(default_factory=dict)


KindName = Literal[
    "fgsm",
    "bim",
    "pgd",
    "square",
    "sparse",
    "deepfool",
    "cw",
    "jsma",
    "one_pixel",
    "apgd_ce",
    "apgd_dlr",
    "fab",
    "atn",
]
TRAINED: tuple[KindName, ...] = ("atn",)  # networks that are trained first, on training images
KINDS: dict[str, Kind] = {
    "fgsm": Kind("linf", "gradients"),
    "bim": Kind("linf", "gradients", "steps", {"steps": 10}),
    "pgd": Kind("linf", "gradients", "steps", {"steps": 20, "restarts": 5}),
    "square": Kind("linf", "scores", "queries", {"queries": 500}),
    "sparse": Kind("l0", "scores", "queries", {"queries": 500}),
    "deepfool": Kind("l2", "gradients", "steps", {"steps": 50}),
    "cw": Kind("l2", "gradients", "steps", {"steps": 100}),
    "jsma": Kind("l0", "gradients"),
    "one_pixel": Kind("l0", "scores", "queries", {"queries": 1000}),
    "apgd_ce": Kind("linf", "gradients", "steps", {"steps": 50, "restarts": 1}),
    "apgd_dlr": Kind("linf", "gradients", "steps", {"steps": 50, "restarts": 1}),
    "fab": Kind("linf", "gradients", "steps", {"steps": 50, "restarts": 1}),
    "atn": Kind("linf", "gradients", "steps", {"steps": 300}),
}
_LEAST = {"steps": 1, "restarts": 1, "queries": 8}
_LARGEST = {"linf": 255, "l2": 32767}  # epsilon


def kind_of(experiment: str) -> Kind | None:
    """The kind of a named attack, of which the name of its experiment tells; None of another.

    >>> kind_of("pgd:strong").norm
    'linf'
    >>> kind_of("pixels") is None
    True
    """
    kind, _, name = experiment.partition(":")
    return KINDS.get(kind) if name else None


@section
class NamedAttack:
    """An attack on each model itself."""

    attack: KindName
    """Its kind; the page on attacks describes each."""
    epsilon: (
        Annotated[int, Field(ge=1), Expected("an integer from 1, in units of 1/255")] | None
    ) = None
    """The budget in the L-infinity norm (by how much a channel of a pixel may change, to 255) or in
    the L2 norm (the Euclidean length of the change, to 32767); in units of 1/255."""
    n: Annotated[int, Field(ge=1), Expected("a number of pixels from 1")] | None = None
    """The budget in the L0 norm: how many pixels may change."""
    steps: Count | None = None
    """How many steps along the gradient; null: what is usual for its kind."""
    queries: Count | None = None
    """How often it may ask the model about an image; null: what is usual for its kind."""
    restarts: Count | None = None
    """How many random starts; null: what is usual for its kind."""
    images: CountOrAll = None
    """How many of the held-out images are attacked at most; null: all."""
    seconds: Annotated[float, Field(gt=0), Expected("null or seconds above 0")] | None = None
    """A time limit; images that are not reached count as not attacked. null: none."""
    seed: Seed = 0
    """Of what it draws at random."""

    def __post_init__(self) -> None:
        budget = "n" if self.kind.norm == "l0" else "epsilon"
        needed = {"n": "a number of pixels", "epsilon": "units of 1/255"}[budget]
        expected = f"{needed}, the budget of {self.attack} ({self.kind.norm})"
        require(self.budget > 0, budget, expected, None)
        for key in ("epsilon", "n", "steps", "queries", "restarts"):
            value, known = getattr(self, key), {budget, *self.kind.defaults}
            words = f"null, since {self.attack} has no such key"
            require(value is None or key in known, key, words, value)
            least = _LEAST.get(key, 1)
            require(value is None or value >= least, key, f"a number from {least}", value)
        largest = _LARGEST.get(self.kind.norm, self.budget)
        require(self.budget <= largest, budget, f"at most {largest}", self.budget)

    @property
    def kind(self) -> Kind:
        """What there is to know of its kind."""
        return KINDS[self.attack]

    @property
    def budget(self) -> int:
        """How far it may go: pixels in the L0 norm, else units of 1/255; 0 where it is missing."""
        return (self.n if self.kind.norm == "l0" else self.epsilon) or 0

    def number(self, key: str) -> int:
        """A key of its kind, or what is usual where it is not given."""
        given: int | None = getattr(self, key)
        return self.kind.defaults[key] if given is None else given

    @property
    def counted(self) -> int | None:
        """How many steps or queries it takes; None where its kind counts none."""
        return self.number(self.kind.counted) if self.kind.counted else None
