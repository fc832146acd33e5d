"""The section `evaluate`: the experiments."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pixelproof.params.kinds import (
    OFFSET,
    AreaSide,
    Count,
    CountOrAll,
    Expected,
    Level,
    Name,
    Names,
    PixelCounts,
    Seed,
    Several,
)
from pixelproof.params.named_attacks import NamedAttack
from pixelproof.params.section import section
from pixelproof.params.validation import require

Engine = Literal["torch", "openvino"]
Strengths = Annotated[
    tuple[Level, ...],
    Expected("an integer from 1 to 255, in units of 1/255"),
    Several(1, "one or more strengths", distinct="each once"),
]


@section
class Pixels:
    """Pixels changed at random, in several numbers (Tables 5, 6 and 10)."""

    n: PixelCounts
    """Numbers of changed pixels."""
    area: AreaSide = None
    """The side in pixels of the centred square in which they change; null: the whole image."""


@section
class Magnitude:
    """How far from its old value a changed pixel may lie (Table 7)."""

    offset: Annotated[
        tuple[Level, ...],
        Expected("integers from 1 to 255"),
        Several(1, "one or more offsets", distinct="each once"),
    ]
    """Offsets from the old value, from 1 to 255; the result is clipped."""
    n: PixelCounts
    """Numbers of changed pixels."""
    models: Names | None = None
    """The models that are measured; null: all."""


@section
class Area:
    """In which centred squares pixels change (Table 8)."""

    share: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Expected("shares of the side above 0, to 1"),
        Several(1, "one or more shares of the side"),
    ]
    """The sides of the squares, as shares of the image's side."""
    n: PixelCounts
    """Numbers of changed pixels."""
    models: Names | None = None
    """The models that are measured; null: all."""


@section
class AdversarialPixels:
    """Pixels changed at random in the examples that fool an original (Table 9)."""

    n: PixelCounts
    """Numbers of changed pixels."""


@section
class Whitebox:
    """FGSM on each model itself."""

    epsilon: Strengths
    """By how much a channel of a pixel may change, in units of 1/255; one or more."""


@section
class Iterated(Whitebox):
    """Iterated FGSM on each model itself."""

    steps: Annotated[
        tuple[Annotated[int, Field(ge=2)], ...],
        Expected("numbers of steps from 2"),
        Several(1, "numbers of steps from 2", distinct="each once"),
    ] = (10,)
    """Numbers of steps, from 2."""
    images: CountOrAll = None
    """How many of the held-out images are attacked at most; null: all."""


@section
class GradientFree(Whitebox):
    """Square Attack on each model itself, which needs no gradient."""

    queries: Annotated[int, Field(ge=2), Expected("a number from 2")] = 500
    """How often it may ask the model about an image."""
    images: CountOrAll = None
    """How many of the held-out images are attacked at most; null: all."""
    seed: Seed = 0
    """Of the squares."""


@section
class Worst:
    """The worst pixels that a search finds (Sparse-RS), beside those drawn at random."""

    n: PixelCounts
    """Numbers of changed pixels; a model is wrong at n where n pixels or fewer fool it."""
    area: AreaSide = None
    """The side in pixels of the centred square in which they change; null: the whole image."""
    queries: Annotated[int, Field(ge=1), Expected("a number from 1")] = 200
    """How often it may ask the model about an image, for each n."""
    gradient_steps: Annotated[int, Field(ge=0), Expected("a number from 0")] = 10
    """Steps along the gradient that choose where the search starts, two queries each; 0: none."""
    images: CountOrAll = None
    """How many of the held-out images are searched at most; null: all."""
    seed: Seed = 0
    """Of the search."""


@section
class WorstPixels(Worst):
    """The worst pixels of a kind."""

    values: Annotated[
        str,
        Field(pattern=rf"^(full|{OFFSET})$"),
        Expected("full or offset:d with d from 1 to 255"),
    ] = "full"
    """`full`: 0 or 255 in each channel. `offset:d`: the old value plus or minus d, clipped."""


@section
class Boundary:
    """How far images lie from the decision boundary (Equations 3 to 6)."""

    images: CountOrAll = None
    """How many of the held-out images are measured at most; null: all."""


@dataclass(frozen=True)
class Grid:
    """One range of values in one area, over some numbers of changed pixels.

    Attributes:
        experiment: What it belongs to.
        values: See `draw_changes`.
        area: The side of the centred square that holds the changes; None is the whole image.
        n: Numbers of changed pixels.
        models: Which models are measured; None is all.
        share: Of the image's side, where the area was given so.
    """

    experiment: str
    values: str
    area: int | None
    n: tuple[int, ...]
    models: tuple[str, ...] | None = None
    share: float | None = None


def _check_protocols(protocols: tuple[str, ...]) -> tuple[str, ...]:
    if "held_out" not in protocols or len(set(protocols)) != len(protocols):
        raise ValueError(f"expected [held_out] or [held_out, paper], got {list(protocols)}")
    return protocols


@section
class Evaluate:
    """The experiments; one that is null is not run (DVC wants each key to be there)."""

    draws: Count = 4
    """How many draws of the changed pixels an image is tested on."""
    batch_size: Count = 64
    """Images at once; on a CPU more than 8 are hardly faster, and hold more memory."""
    engine: Engine = "torch"
    """What predicts on a CPU: `torch`, or `openvino`, 1.7 times as fast for EfficientNet-Lite0 (the
    extra `openvino`). Gradients are torch's in any case, and so is everything on a GPU."""
    protocols: Annotated[
        tuple[Literal["held_out", "paper"], ...],
        Several(),
        AfterValidator(_check_protocols),
    ] = ("held_out",)
    """`held_out`: on images that no model was trained on. `paper`, beside it: on the training
    images, as Table 10 is printed."""
    pixels: Pixels | None = None
    """Pixels take any value (Tables 5, 6 and 10)."""
    stuck: Pixels | None = None
    """Pixels become black or white, as dead or hot pixels of a camera."""
    magnitude: Magnitude | None = None
    """Pixels keep near their old values (Table 7)."""
    area: Area | None = None
    """Pixels change in the middle of the image alone (Table 8)."""
    adversarial_pixels: AdversarialPixels | None = None
    """Pixels change in the adversarial examples of each original (Table 9)."""
    transfer_fgsm: bool = True
    """Whether the adversarial examples of a model's original are tried on it (Table 11)."""
    whitebox_fgsm: Whitebox | None = None
    """FGSM on each model itself."""
    whitebox_iterated: Iterated | None = None
    """Iterated FGSM on each model itself."""
    gradient_free: GradientFree | None = None
    """Square Attack on each model itself, which needs no gradient."""
    worst_pixels: WorstPixels | None = None
    """The worst n pixels of each image, found by a search; beside `pixels`."""
    worst_stuck: Worst | None = None
    """The worst n stuck pixels of each image, found by a search; beside `stuck`."""
    boundary: Boundary | None = None
    """The distance to the decision boundary (Equations 3 to 6)."""
    attacks: dict[Name, NamedAttack] | None = None
    """More attacks on each model itself, by name; null: none."""

    def __post_init__(self) -> None:
        taken = {"clean", *(each.name for each in fields(self))}
        for name in self.attacks or {}:
            require(name not in taken, "attacks", "names that no experiment has", name)

    @property
    def named_attacks(self) -> dict[str, NamedAttack]:
        """The attacks by name, by the name of their experiment: the kind and theirs."""
        return {f"{entry.attack}:{name}": entry for name, entry in (self.attacks or {}).items()}

    def grids(self, side: int) -> list[Grid]:
        """What the experiments measure that need draws of changed pixels, in images of this side.

        A search for the worst pixels starts from the draws.
        """
        grids = [
            Grid(name, values, pixels.area, pixels.n)
            for name, values, pixels in (
                ("pixels", "full", self.pixels),
                ("stuck", "stuck", self.stuck),
            )
            if pixels
        ]
        if self.magnitude:
            n, models = self.magnitude.n, self.magnitude.models
            grids += [
                Grid("magnitude", f"offset:{offset}", None, n, models)
                for offset in self.magnitude.offset
            ]
        if self.area:
            for share in self.area.share:
                box = max(1, round(share * side))
                whole = None if box == side else box
                grids.append(Grid("area", "full", whole, self.area.n, self.area.models, share))
        if self.worst_pixels:
            worst = self.worst_pixels
            grids.append(Grid("worst_pixels", worst.values, worst.area, worst.n))
        if self.worst_stuck:
            grids.append(Grid("worst_stuck", "stuck", self.worst_stuck.area, self.worst_stuck.n))
        return grids

    def paper_grids(self, side: int) -> list[Grid]:
        """What the protocol `paper` measures on the training images (Table 10)."""
        if "paper" not in self.protocols:
            return []
        return [grid for grid in self.grids(side) if grid.experiment in ("pixels", "stuck")]
