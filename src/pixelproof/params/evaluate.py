"""The section `evaluate`: the experiments."""

from dataclasses import dataclass
from typing import Literal

from pixelproof.params.validation import check_epsilon, require


def _check_images(images: int | None) -> None:
    require(images is None or images >= 1, "images", "null or a number from 1", images)


@dataclass(frozen=True)
class Pixels:
    """A grid of pixel counts over one area."""

    n: tuple[int, ...]
    area: int | None = None

    def __post_init__(self) -> None:
        require(bool(self.n) and min(self.n) >= 1, "n", "numbers of pixels from 1", self.n)
        require(len(set(self.n)) == len(self.n), "n", "each number once", self.n)
        require(self.area is None or self.area >= 1, "area", "null or a side from 1", self.area)


@dataclass(frozen=True)
class Magnitude:
    """How far from its old value a changed pixel may lie (Table 7)."""

    offset: tuple[int, ...]
    n: tuple[int, ...]
    models: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        require(bool(self.offset), "offset", "one or more offsets", self.offset)
        for offset in self.offset:
            require(1 <= offset <= 255, "offset", "integers from 1 to 255", offset)
        require(len(set(self.offset)) == len(self.offset), "offset", "each once", self.offset)
        Pixels(self.n)


@dataclass(frozen=True)
class Area:
    """In which centred squares pixels change (Table 8), as shares of the image's side."""

    share: tuple[float, ...]
    n: tuple[int, ...]
    models: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        require(bool(self.share), "share", "one or more shares of the side", self.share)
        for share in self.share:
            require(0 < share <= 1, "share", "shares of the side above 0, to 1", share)
        Pixels(self.n)


@dataclass(frozen=True)
class AdversarialPixels:
    """How many pixels change at random in the examples that fool an original (Table 9)."""

    n: tuple[int, ...]

    def __post_init__(self) -> None:
        Pixels(self.n)


@dataclass(frozen=True)
class Whitebox:
    """The strengths of an attack on each model itself."""

    epsilon: tuple[int, ...]

    def __post_init__(self) -> None:
        require(bool(self.epsilon), "epsilon", "one or more strengths", self.epsilon)
        for epsilon in self.epsilon:
            check_epsilon("epsilon", epsilon)
        require(len(set(self.epsilon)) == len(self.epsilon), "epsilon", "each once", self.epsilon)


@dataclass(frozen=True)
class Iterated(Whitebox):
    """The strengths and steps of an iterated attack, on some of the held-out images."""

    steps: tuple[int, ...] = (10,)
    images: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = bool(self.steps) and min(self.steps) >= 2
        require(fine, "steps", "numbers of steps from 2", self.steps)
        require(len(set(self.steps)) == len(self.steps), "steps", "each once", self.steps)
        _check_images(self.images)


@dataclass(frozen=True)
class GradientFree(Whitebox):
    """The strengths of an attack by queries alone, on some of the held-out images."""

    queries: int = 500
    images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.queries >= 2, "queries", "a number from 2", self.queries)
        require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)
        _check_images(self.images)


@dataclass(frozen=True)
class Boundary:
    """On how many held-out images the distance to the decision boundary is taken."""

    images: int | None = None

    def __post_init__(self) -> None:
        _check_images(self.images)


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


@dataclass(frozen=True)
class Evaluate:
    """The experiments; one that is null is not run (DVC wants each key to be there)."""

    draws: int = 4
    batch_size: int = 64
    protocols: tuple[Literal["held_out", "paper"], ...] = ("held_out",)
    pixels: Pixels | None = None
    stuck: Pixels | None = None
    magnitude: Magnitude | None = None
    area: Area | None = None
    adversarial_pixels: AdversarialPixels | None = None
    transfer_fgsm: bool = True
    whitebox_fgsm: Whitebox | None = None
    whitebox_iterated: Iterated | None = None
    gradient_free: GradientFree | None = None
    boundary: Boundary | None = None

    def __post_init__(self) -> None:
        require(self.draws >= 1, "draws", "a number from 1", self.draws)
        fine = "held_out" in self.protocols and len(set(self.protocols)) == len(self.protocols)
        require(fine, "protocols", "[held_out] or [held_out, paper]", list(self.protocols))
        require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)

    def grids(self, side: int) -> list[Grid]:
        """What the experiments that change pixels at random measure, in images of this side."""
        grids = [
            Grid(name, values, one.area, one.n)
            for name, values, one in (
                ("pixels", "full", self.pixels),
                ("stuck", "stuck", self.stuck),
            )
            if one
        ]
        if self.magnitude:
            one, models = self.magnitude.n, self.magnitude.models
            grids += [
                Grid("magnitude", f"offset:{offset}", None, one, models)
                for offset in self.magnitude.offset
            ]
        if self.area:
            for share in self.area.share:
                box = max(1, round(share * side))
                whole = None if box == side else box
                grids.append(Grid("area", "full", whole, self.area.n, self.area.models, share))
        return grids

    def paper_grids(self, side: int) -> list[Grid]:
        """What the protocol `paper` measures on the training images (Table 10)."""
        asked = "paper" in self.protocols
        return [one for one in self.grids(side) if asked and one.experiment in ("pixels", "stuck")]
