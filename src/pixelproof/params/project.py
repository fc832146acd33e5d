"""`params.yaml` as frozen, validated objects: one section a stage, unknown keys refused."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from pixelproof.core.pixel_changes import parse_values
from pixelproof.errors import ParameterError
from pixelproof.params.validation import build_section, choose, require

Fit = Literal["stretch", "crop", "imagenet"]  # how an image becomes a square
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SHOWN = 10  # of many names, in an error
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def _check_values(key: str, values: str) -> None:
    try:
        parse_values(values)
    except ValueError as error:
        raise ParameterError(f"{key}: {error}") from None


@dataclass(frozen=True)
class Group:
    """What keeps images of one part in one split: a pattern on the path, or a CSV column."""

    pattern: str | None = None
    csv: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        by_csv = self.csv is not None and self.column is not None
        require(
            (self.pattern is None) == by_csv and (self.csv is None) == (self.column is None),
            "pattern",
            "either a pattern, or a csv and its column",
            dataclasses.asdict(self),
        )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ParameterError(f"pattern: expected a regular expression: {error}") from None


@dataclass(frozen=True)
class Select:
    """Reading, splitting and choosing the images."""

    data: str = "data"
    side: int = 128
    fit: Fit = "stretch"
    split: Literal["hash", "none"] = "hash"
    seed: int = 2021
    held_out: float = 0.3
    train_images: int | None = None
    held_out_images: int | None = None
    group: Group | None = None
    strategy: Literal["random"] = "random"
    unreadable: float = 0.01

    def __post_init__(self) -> None:
        require(8 <= self.side <= 4096, "side", "a side of 8 to 4096 pixels", self.side)
        require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)
        require(0 < self.held_out < 1, "held_out", "a share between 0 and 1", self.held_out)
        require(0 <= self.unreadable <= 1, "unreadable", "a share from 0 to 1", self.unreadable)
        table = self.group.csv if self.group else None
        if table is not None:  # what lies elsewhere could change without a stage that runs again
            inside = ".." not in Path(table).parts and Path(table).is_relative_to(self.data)
            require(inside, "group.csv", f"a file in {self.data}/, where DVC sees changes", table)
        for key in ("train_images", "held_out_images"):
            number = getattr(self, key)
            require(number is None or number >= 1, key, "null or a number from 1", number)


@dataclass(frozen=True)
class Baseline:
    """An original classifier: where it comes from, and how it is fine-tuned.

    `architecture` allows a model folder the code that it names: `python:…`. `seen` declares which
    images the weights have seen (see `declared_images`); of one's own weights that is unknown.
    """

    classifier: str
    weights: str = "imagenet"
    head: Literal["auto", "keep", "new"] = "auto"
    classes: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    epochs: int = 7
    learning_rate: float = 0.01
    batch_size: int = 16
    seed: int = 1
    architecture: str | None = None
    seen: str | None = None

    def __post_init__(self) -> None:
        code = self.architecture is None or self.architecture.startswith("python:")
        require(code, "architecture", "python:package.module:factory", self.architecture)
        require(0 <= self.epochs <= 10_000, "epochs", "a number from 0 to 10,000", self.epochs)
        _check_training(self.learning_rate, self.batch_size, self.seed)
        if self.std is not None:
            require(min(self.std) > 0, "std", "three numbers above 0", self.std)
        if self.classes is not None:
            distinct = len(set(self.classes)) == len(self.classes) >= 2
            require(distinct, "classes", "two or more distinct names", self.classes)


@dataclass(frozen=True)
class Generate:
    """How small-distance samples are drawn (Algorithm 1)."""

    seed: int = 2021
    test_seed: int = 2022
    positions: Literal["per_image", "shared"] = "per_image"
    channels: Literal["all", "first"] = "all"
    batch_size: int = 256

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)
        for key in ("seed", "test_seed"):
            seed = getattr(self, key)
            require(0 <= seed < 2**63, key, "an integer from 0", seed)


@dataclass(frozen=True)
class Arm:
    """One hardened or control classifier; n = 0 fine-tunes on unchanged images.

    `augment` names what is done to the images beside that, and `seed` replaces the arms' own:
    both make controls.
    """

    baseline: str
    n: int = 0
    values: str = "full"
    area: int | None = None
    mix: float = 0.0
    train: Literal["whole", "head"] = "whole"
    augment: Literal["none", "geometric", "colour", "erasing", "autoaugment"] = "none"
    seed: int | None = None

    def __post_init__(self) -> None:
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", "null or from 0", self.seed)
        require(self.n >= 0, "n", "a number of pixels from 0 (0: unchanged images)", self.n)
        require(self.area is None or self.area >= 1, "area", "null or a side from 1", self.area)
        require(0 <= self.mix < 1, "mix", "a share from 0, below 1", self.mix)
        _check_values("values", self.values)


@dataclass(frozen=True)
class Finetune:
    """What all arms share, and the arms."""

    arms: dict[str, Arm]
    epochs: int = 3
    learning_rate: float = 0.01
    batch_size: int = 16
    seed: int = 1
    fresh: bool = True

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 10_000, "epochs", "a number from 1 to 10,000", self.epochs)
        _check_training(self.learning_rate, self.batch_size, self.seed)

    @property
    def train_draws(self) -> int:
        """How many draws an image the arms train on: one an epoch where they are fresh."""
        return self.epochs if self.fresh else 1


@dataclass(frozen=True)
class Model:
    """A baseline or an arm, as it is evaluated: DVC reads here whose examples that takes."""

    origin: str


@dataclass(frozen=True)
class Attack:
    """FGSM examples from the originals."""

    epsilon: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        _check_epsilon("epsilon", self.epsilon)
        require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)


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
            _check_epsilon("epsilon", epsilon)
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


@dataclass(frozen=True)
class Reference:
    """The point at which models are compared in one number."""

    experiment: Literal["pixels", "stuck"] = "stuck"
    n: int = 256


@dataclass(frozen=True)
class Compare:
    """Intervals and tests; `defects` are classes whose misses are told first, if there."""

    reference: Reference = Reference()
    control: str | None = "clean"
    defects: tuple[str, ...] = ()
    images: int | None = None
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        number = self.images
        require(number is None or number >= 1, "images", "null or a number from 1", number)
        expected = "a number from 100 to a million"
        require(100 <= self.resamples <= 1_000_000, "resamples", expected, self.resamples)
        require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)


@dataclass(frozen=True)
class Gate:
    """What a hardened model must show to take the place of the one in use.

    Attributes:
        name: Of the model in the registry.
        challenger: The arm that may be promoted, named before the run: to choose the best arm
            by the held-out images would be a selection on the test set.
        accuracy_margin: By how much of its clean accuracy a challenger may fall short.
        attack_margin: By how much more often attacks on itself may fool it.
        images: The fewest common images that decide anything.
        draws: How many fresh draws an image are measured.
        unknown_seen: Whether models are judged of which it is unknown what images they have seen.
    """

    challenger: str
    name: str = "pixelproof"
    accuracy_margin: float = 0.03
    attack_margin: float = 0.1
    images: int = 100
    draws: int = 8
    unknown_seen: bool = False

    def __post_init__(self) -> None:
        expected = "a name of a-z, 0-9, - and _"
        require(NAME.fullmatch(self.name) is not None, "name", expected, self.name)
        for key in ("accuracy_margin", "attack_margin"):
            margin = getattr(self, key)
            require(0 < margin < 1, key, "a share between 0 and 1", margin)
        require(self.images >= 1, "images", "a number from 1", self.images)
        require(self.draws >= 1, "draws", "a number from 1", self.draws)


@dataclass(frozen=True)
class Compute:
    """Where and how the work is done, not what it is: no stage runs again for it."""

    device: str = "auto"
    parallel: int | None = None
    stage_hours: float = 12.0
    retries: int = 1

    def __post_init__(self) -> None:
        expected = "auto, cpu, cuda or cuda:N"
        require(DEVICE.fullmatch(self.device) is not None, "device", expected, self.device)
        number = self.parallel
        require(number is None or number >= 1, "parallel", "null or a number from 1", number)
        require(self.stage_hours > 0, "stage_hours", "hours above 0", self.stage_hours)
        require(self.retries >= 0, "retries", "a number from 0", self.retries)


@dataclass(frozen=True)
class Params:
    """The whole of `params.yaml`."""

    baselines: dict[str, Baseline]
    finetune: Finetune
    models: dict[str, Model]
    select: Select = field(default_factory=Select)
    generate: Generate = field(default_factory=Generate)
    attack: Attack = field(default_factory=Attack)
    evaluate: Evaluate = field(default_factory=Evaluate)
    compare: Compare = field(default_factory=Compare)
    gate: Gate | None = None
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        arms = self.finetune.arms
        require(bool(self.baselines), "baselines", "one or more originals", {})
        for key, names in (("baselines", self.baselines), ("finetune.arms", arms)):
            for name in names:
                require(NAME.fullmatch(name) is not None, key, "names of a-z, 0-9, - and _", name)
        twice = sorted(set(self.baselines) & set(arms))
        require(not twice, "finetune.arms", "names that no baseline has", twice)
        expected = [*self.baselines, *arms]
        require(
            list(self.models) == expected,
            "models",
            f"all baselines, then all arms, in their order: {expected}",
            list(self.models),
        )
        for name, baseline in self.baselines.items():
            self._check_own(name, baseline)
        for name, arm in arms.items():
            choose(f"finetune.arms.{name}.baseline", arm.baseline, self.baselines)
            self._check_room(f"finetune.arms.{name}", arm.n, arm.area)
            training = self.select.split == "none"
            require(not training, "select.split", "hash, since there are arms to train", "none")
        for name, model in self.models.items():
            origin = self.origin(name)
            require(model.origin == origin, f"models.{name}.origin", repr(origin), model.origin)
        self._check_evaluation()

    def origin(self, model: str) -> str:
        """The name of the original classifier that a model is or was hardened from."""
        return model if model in self.baselines else self.finetune.arms[model].baseline

    @property
    def stages(self) -> list[str]:
        """All stages with their items, as DVC calls them, in an order in which they can run."""
        return [
            "select",
            *(f"baseline@{name}" for name in self.baselines),
            "generate",
            *(f"finetune@{name}" for name in self.finetune.arms),
            *(f"attack@{name}" for name in self.baselines),
            *(f"evaluate@{name}" for name in self.models),
            "compare",
        ]

    @property
    def grids(self) -> list[Grid]:
        """What the experiments that change pixels at random measure."""
        return self.evaluate.grids(self.select.side)

    @property
    def paper_grids(self) -> list[Grid]:
        """What the protocol `paper` measures on the training images (Table 10)."""
        asked = "paper" in self.evaluate.protocols
        return [grid for grid in self.grids if asked and grid.experiment in ("pixels", "stuck")]

    @property
    def reference_grid(self) -> Grid:
        """The grid that the reference point lies on."""
        wanted = self.compare.reference.experiment
        return next(grid for grid in self.grids if grid.experiment == wanted)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Check what only the data can tell: that the names of classes are theirs.

        A check and no part of a stage's result, so that a stage need not depend on it.

        Raises:
            ParameterError: `compare.defects` names a class that the data does not have.
        """
        shown = ", ".join(classes[:SHOWN]) + (f" … ({len(classes)})" if classes[SHOWN:] else "")
        for name in self.compare.defects:
            if name not in classes:
                raise ParameterError(
                    f"compare.defects: expected classes of {self.select.data}/ ({shown}), got "
                    f"{name!r}; name in params.yaml those whose misses are to be told first, or []"
                )

    @staticmethod
    def _check_own(name: str, baseline: Baseline) -> None:
        """A network of a person's own: nothing else says what its outputs and inputs are."""
        for key in ("classes", "mean", "std"):
            if baseline.classifier.startswith("python:") and getattr(baseline, key) is None:
                raise ParameterError(
                    f"baselines.{name}.{key}: missing; {baseline.classifier} needs classes, mean "
                    "and std"
                )

    def _check_room(self, key: str, n: int, area: int | None, share: float | None = None) -> None:
        whole = self.select.side
        side = whole if area is None else area
        require(side <= whole, f"{key}.area", f"at most select.side = {whole}", area)
        of = "" if share is None else f"{share} of "
        room = f"at most the {side * side} pixels of {side} x {side} ({of}select.side = {whole})"
        require(n <= side * side, f"{key}.n", room, n)

    def _check_evaluation(self) -> None:
        trained = "paper" not in self.evaluate.protocols or self.select.split != "none"
        expected = "[held_out], since there are no training images"
        require(trained, "evaluate.protocols", expected, list(self.evaluate.protocols))
        for grid in self.grids:
            key = f"evaluate.{grid.experiment}"
            self._check_room(key, max(grid.n), grid.area, grid.share)
            for model in grid.models or ():
                choose(f"{key}.models", model, self.models)
        adversarial = self.evaluate.adversarial_pixels
        if adversarial:
            self._check_room("evaluate.adversarial_pixels", max(adversarial.n), None)
        reference = self.compare.reference
        counts = {grid.experiment: grid.n for grid in self.grids if grid.models is None}
        known = [name for name in ("pixels", "stuck") if name in counts]
        choose("compare.reference.experiment", reference.experiment, known)
        n = counts[reference.experiment]
        require(reference.n in n, "compare.reference.n", f"one of {list(n)}", reference.n)
        if self.compare.control is not None and self.finetune.arms:
            choose("compare.control", self.compare.control, self.finetune.arms)
        if self.gate is not None and self.finetune.arms:
            self._check_gate(self.gate)

    def _check_gate(self, gate: Gate) -> None:
        choose("gate.challenger", gate.challenger, self.finetune.arms)
        control = self.compare.control
        require(control is not None, "compare.control", "an arm, which the gate needs", control)
        another = gate.challenger != control
        require(another, "gate.challenger", "another arm than the control", gate.challenger)


def _check_images(images: int | None) -> None:
    require(images is None or images >= 1, "images", "null or a number from 1", images)


def _check_training(learning_rate: float, batch_size: int, seed: int) -> None:
    require(0 < learning_rate <= 10, "learning_rate", "a number above 0, to 10", learning_rate)
    require(batch_size >= 1, "batch_size", "a number from 1", batch_size)
    require(0 <= seed < 2**63, "seed", "an integer from 0", seed)


def _check_epsilon(key: str, epsilon: int) -> None:
    require(1 <= epsilon <= 255, key, "an integer from 1 to 255, in units of 1/255", epsilon)


def parse_params(content: object) -> Params:
    """Build the validated parameters from what a YAML file holds.

    Args:
        content: Nested dicts, lists and scalars.

    Returns:
        The parameters.

    Raises:
        ParameterError: A key is unknown, missing or out of its range; names the key.
    """
    params: Params = build_section(Params, content, "")
    return params


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate `params.yaml`, by the rules of YAML 1.2 as DVC does.

    Raises:
        ParameterError: The file is missing, is not YAML, repeats a key, or holds a parameter
            that is not what it must be; names the file and the key.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path}: missing; run from the folder that holds it") from None
    except DuplicateKeyError as error:
        problem = str(error.problem).split("with value")[0].strip()
        raise ParameterError(f"{path}: {problem} in line {error.problem_mark.line + 1}") from None
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError, KeyError, RecursionError) as error:  # what bad tags raise
        problem = " ".join(str(error).split())
        raise ParameterError(f"{path}: expected YAML: {problem}") from None
    try:
        return parse_params(content)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
