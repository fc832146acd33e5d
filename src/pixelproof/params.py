"""`params.yaml` as frozen, validated objects: one section a stage, unknown keys refused."""

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from pixelproof.core.changes import parse_values
from pixelproof.errors import ParameterError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def _require(holds: bool, key: str, expected: str, got: object) -> None:
    if not holds:
        raise ParameterError(f"{key}: expected {expected}, got {got!r}")


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
        _require(
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
    size: int = 128
    fit: Literal["stretch", "crop"] = "stretch"
    split: Literal["hash", "none"] = "hash"
    seed: int = 2021
    held_out: float = 0.3
    train_images: int | None = None
    held_out_images: int | None = None
    group: Group | None = None
    strategy: Literal["random"] = "random"
    unreadable: float = 0.01

    def __post_init__(self) -> None:
        _require(8 <= self.size <= 4096, "size", "a side of 8 to 4096 pixels", self.size)
        _require(0 <= self.seed < 2**63, "seed", "an integer from 0", self.seed)
        _require(0 < self.held_out < 1, "held_out", "a share between 0 and 1", self.held_out)
        _require(0 <= self.unreadable <= 1, "unreadable", "a share from 0 to 1", self.unreadable)
        for key in ("train_images", "held_out_images"):
            number = getattr(self, key)
            _require(number is None or number >= 1, key, "null or a number from 1", number)


@dataclass(frozen=True)
class Baseline:
    """An original classifier: where it comes from, and how it is fine-tuned."""

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

    def __post_init__(self) -> None:
        _require(self.epochs >= 0, "epochs", "a number from 0", self.epochs)
        _check_training(self.learning_rate, self.batch_size, self.seed)
        if self.std is not None:
            _require(min(self.std) > 0, "std", "three numbers above 0", self.std)
        if self.classes is not None:
            distinct = len(set(self.classes)) == len(self.classes) >= 2
            _require(distinct, "classes", "two or more distinct names", self.classes)


@dataclass(frozen=True)
class Generate:
    """How small-distance samples are drawn (Algorithm 1)."""

    seed: int = 2021
    test_seed: int = 2022
    positions: Literal["per_image", "shared"] = "per_image"
    channels: Literal["all", "first"] = "all"
    batch_size: int = 256

    def __post_init__(self) -> None:
        _require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)
        for key in ("seed", "test_seed"):
            seed = getattr(self, key)
            _require(0 <= seed < 2**63, key, "an integer from 0", seed)


@dataclass(frozen=True)
class Arm:
    """One hardened or control classifier; n = 0 fine-tunes on unchanged images."""

    baseline: str
    n: int = 0
    values: str = "full"
    area: int | None = None
    mix: float = 0.0
    train: Literal["whole", "head"] = "whole"

    def __post_init__(self) -> None:
        _require(self.n >= 0, "n", "a number of pixels from 0 (0: unchanged images)", self.n)
        _require(self.area is None or self.area >= 1, "area", "null or a side from 1", self.area)
        _require(0 <= self.mix < 1, "mix", "a share from 0, below 1", self.mix)
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
        _require(self.epochs >= 1, "epochs", "a number from 1", self.epochs)
        _check_training(self.learning_rate, self.batch_size, self.seed)

    @property
    def train_draws(self) -> int:
        """How many draws an image the arms train on: one an epoch where they are fresh."""
        return self.epochs if self.fresh else 1


@dataclass(frozen=True)
class Attack:
    """FGSM examples from the originals."""

    epsilon: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        _check_epsilon("epsilon", self.epsilon)
        _require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)


@dataclass(frozen=True)
class Pixels:
    """A grid of pixel counts over one area."""

    n: tuple[int, ...]
    area: int | None = None

    def __post_init__(self) -> None:
        _require(bool(self.n) and min(self.n) >= 1, "n", "numbers of pixels from 1", self.n)
        _require(len(set(self.n)) == len(self.n), "n", "each number once", self.n)
        _require(self.area is None or self.area >= 1, "area", "null or a side from 1", self.area)


@dataclass(frozen=True)
class Whitebox:
    """The strengths of an attack on each model itself."""

    epsilon: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(bool(self.epsilon), "epsilon", "one or more strengths", self.epsilon)
        for epsilon in self.epsilon:
            _check_epsilon("epsilon", epsilon)
        _require(len(set(self.epsilon)) == len(self.epsilon), "epsilon", "each once", self.epsilon)


@dataclass(frozen=True)
class Evaluate:
    """The experiments; one left out or null is not run."""

    draws: int = 4
    batch_size: int = 64
    pixels: Pixels | None = None
    stuck: Pixels | None = None
    transfer_fgsm: bool = True
    whitebox_fgsm: Whitebox | None = None

    def __post_init__(self) -> None:
        _require(self.draws >= 1, "draws", "a number from 1", self.draws)
        _require(self.batch_size >= 1, "batch_size", "a number from 1", self.batch_size)

    @property
    def changes(self) -> dict[str, tuple[str, Pixels]]:
        """The experiments that change pixels at random: name -> (values, grid)."""
        grids = {"pixels": ("full", self.pixels), "stuck": ("stuck", self.stuck)}
        return {name: (values, grid) for name, (values, grid) in grids.items() if grid}


@dataclass(frozen=True)
class Reference:
    """The point at which models are compared in one number."""

    experiment: Literal["pixels", "stuck"] = "stuck"
    n: int = 256


@dataclass(frozen=True)
class Compare:
    """Intervals and tests."""

    reference: Reference = Reference()
    control: str | None = "clean"
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.resamples >= 100, "resamples", "a number from 100", self.resamples)


@dataclass(frozen=True)
class Params:
    """The whole of `params.yaml`."""

    baselines: dict[str, Baseline]
    finetune: Finetune
    models: tuple[str, ...]
    select: Select = field(default_factory=Select)
    generate: Generate = field(default_factory=Generate)
    attack: Attack = field(default_factory=Attack)
    evaluate: Evaluate = field(default_factory=Evaluate)
    compare: Compare = field(default_factory=Compare)

    def __post_init__(self) -> None:
        arms = self.finetune.arms
        _require(bool(self.baselines), "baselines", "one or more originals", {})
        for key, names in (("baselines", self.baselines), ("finetune.arms", arms)):
            for name in names:
                _require(NAME.fullmatch(name) is not None, key, "names of a-z, 0-9, - and _", name)
        twice = sorted(set(self.baselines) & set(arms))
        _require(not twice, "finetune.arms", "names that no baseline has", twice)
        expected = [*self.baselines, *arms]
        _require(
            list(self.models) == expected,
            "models",
            f"all baselines, then all arms, in their order: {expected}",
            list(self.models),
        )
        for name, arm in arms.items():
            choose(f"finetune.arms.{name}.baseline", arm.baseline, self.baselines)
            self._check_room(f"finetune.arms.{name}", arm.n, arm.area)
            training = self.select.split == "none"
            _require(not training, "select.split", "hash, since there are arms to train", "none")
        self._check_evaluation()

    def origin(self, model: str) -> str:
        """The name of the original classifier that a model is or was hardened from."""
        return model if model in self.baselines else self.finetune.arms[model].baseline

    def _check_room(self, key: str, n: int, area: int | None) -> None:
        side = self.select.size if area is None else area
        expected = f"at most select.size = {self.select.size}"
        _require(side <= self.select.size, f"{key}.area", expected, area)
        _require(n <= side * side, f"{key}.n", f"at most the {side * side} pixels of the area", n)

    def _check_evaluation(self) -> None:
        for name, (_, grid) in self.evaluate.changes.items():
            self._check_room(f"evaluate.{name}", max(grid.n), grid.area)
        reference = self.compare.reference
        grids = self.evaluate.changes
        choose("compare.reference.experiment", reference.experiment, grids)
        counts = grids[reference.experiment][1].n
        _require(
            reference.n in counts, "compare.reference.n", f"one of {list(counts)}", reference.n
        )
        if self.compare.control is not None and self.finetune.arms:
            choose("compare.control", self.compare.control, self.finetune.arms)


def _check_training(learning_rate: float, batch_size: int, seed: int) -> None:
    _require(0 < learning_rate <= 10, "learning_rate", "a number above 0, to 10", learning_rate)
    _require(batch_size >= 1, "batch_size", "a number from 1", batch_size)
    _require(0 <= seed < 2**63, "seed", "an integer from 0", seed)


def _check_epsilon(key: str, epsilon: int) -> None:
    _require(1 <= epsilon <= 255, key, "an integer from 1 to 255, in units of 1/255", epsilon)


def choose(key: str, name: str, known: Mapping[str, object]) -> None:
    """Check that a name is known.

    Raises:
        ParameterError: It is not; names the key and the nearest name.
    """
    if name not in known:
        raise ParameterError(
            f"{key}: expected one of {list(known)}, got {name!r}{nearest(name, known)}"
        )


def nearest(name: object, known: Iterable[str]) -> str:
    """A suggestion to end an error with; empty where nothing is near."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _scalar(kind: type, value: object, key: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    hint = ""
    if kind is int and isinstance(value, float) and "epsilon" in key:
        hint = "; it counts in units of 1/255, so 8/255 is written 8"
    elif kind in (int, float) and isinstance(value, str):
        hint = "; a number stands without quotes"
    if type(value) is not kind:
        raise ParameterError(f"{key}: expected {kind.__name__}, got {value!r}{hint}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{key}: expected a finite number, got {value!r}")
    return value


def _sequence(kinds: tuple[Any, ...], value: object, key: str) -> tuple[Any, ...]:
    items = [value] if isinstance(value, int | float) and kinds[-1] is Ellipsis else value
    if not isinstance(items, list):
        raise ParameterError(f"{key}: expected a list, got {value!r}")
    if kinds[-1] is not Ellipsis and len(items) != len(kinds):
        raise ParameterError(f"{key}: expected {len(kinds)} entries, got {len(items)}")
    return tuple(_convert(kinds[0], item, f"{key}[{at}]") for at, item in enumerate(items))


def _convert(kind: Any, value: object, key: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(one for one in get_args(kind) if one is not type(None)), value, key)
    if origin is Literal:
        choices = get_args(kind)
        if value not in choices or isinstance(value, bool):
            near = nearest(value, choices)
            raise ParameterError(f"{key}: expected one of {list(choices)}, got {value!r}{near}")
        return value
    if origin is tuple:
        return _sequence(get_args(kind), value, key)
    if origin is dict:
        entries = _mapping(value, key)
        return {
            name: _convert(get_args(kind)[1], entries[name], f"{key}.{name}") for name in entries
        }
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, key)
    return _scalar(kind, value, key)


def _mapping(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ParameterError(f"{key or 'params.yaml'}: expected keys and values, got {value!r}")
    for name in value:
        if not isinstance(name, str):
            raise ParameterError(f"{key or 'params.yaml'}: expected names as keys, got {name!r}")
    return value


def _section(kind: Any, value: object, key: str) -> Any:
    hints = get_type_hints(kind)
    given = {}
    for name, entry in _mapping(value, key).items():
        full = f"{key}.{name}" if key else name
        if name not in hints:
            raise ParameterError(f"{full}: unknown key{nearest(name, hints)}")
        given[name] = _convert(hints[name], entry, full)
    for entry in dataclasses.fields(kind):
        required = entry.default is entry.default_factory is dataclasses.MISSING
        if required and entry.name not in given:
            raise ParameterError(f"{key}.{entry.name}".lstrip(".") + ": missing")
    try:
        return kind(**given)
    except ParameterError as error:
        raise ParameterError(f"{key}.{error}".lstrip(".")) from None


def parse_params(content: object) -> Params:
    """Build the validated parameters from what a YAML file holds.

    Args:
        content: Nested dicts, lists and scalars.

    Returns:
        The parameters.

    Raises:
        ParameterError: A key is unknown, missing or out of its range; names the key.
    """
    params: Params = _section(Params, content, "")
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
    except (YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ParameterError(f"{path}: expected YAML: {problem}") from None
    try:
        return parse_params(content)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
