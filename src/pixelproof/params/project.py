"""`params.yaml` as frozen, validated objects: its sections, and what must hold among them."""

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from pixelproof.errors import ParameterError
from pixelproof.params.attack import Attack
from pixelproof.params.baselines import Baseline
from pixelproof.params.compare import Compare
from pixelproof.params.compute import Compute
from pixelproof.params.evaluate import Evaluate, Grid, Worst
from pixelproof.params.finetune import Finetune
from pixelproof.params.gate import Gate
from pixelproof.params.generate import Generate
from pixelproof.params.kinds import Name
from pixelproof.params.models import Model
from pixelproof.params.named_attacks import TRAINED
from pixelproof.params.section import in_words, section
from pixelproof.params.select import Select
from pixelproof.params.validation import choose, require
from pixelproof.paths import PARAMS

SHOWN = 10  # of many names, in an error


@section
class Params:
    """The whole of `params.yaml`: one section a stage, and what they share."""

    baselines: dict[Name, Baseline]
    """The original classifiers, by name."""
    finetune: Finetune
    models: dict[Name, Model]
    """All baselines, then all arms, in their order."""
    select: Select = field(default_factory=Select)
    generate: Generate = field(default_factory=Generate)
    attack: Attack = field(default_factory=Attack)
    evaluate: Evaluate = field(default_factory=Evaluate)
    compare: Compare = field(default_factory=Compare)
    gate: Gate | None = None
    """What a hardened model must show to take the place of the one in use; null: none may."""
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        arms = self.finetune.arms
        require(bool(self.baselines), "baselines", "one or more originals", {})
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
            if arm.worst is not None:
                key = f"finetune.arms.{name}.worst"
                self._check_room(key, arm.worst.n, arm.area)
                whole = self.generate.channels == "all"
                require(whole, key, "null, since generate.channels is first", arm.worst.n)
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
        return self.evaluate.paper_grids(self.select.side)

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
                    f"{name!r}; name in params.yaml those whose misses are to be named first, or []"
                )

    @staticmethod
    def _check_own(name: str, baseline: Baseline) -> None:
        """A user's own network: only its section says what its outputs and inputs are."""
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
        self._check_searches()
        for name, attack in (self.evaluate.attacks or {}).items():
            untrained = self.select.split != "none" or attack.attack not in TRAINED
            words = "another kind, since there are no training images"
            require(untrained, f"evaluate.attacks.{name}.attack", words, attack.attack)
            self._check_room(f"evaluate.attacks.{name}", attack.n or 0, None)
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

    def _check_searches(self) -> None:
        """A search for the worst pixels has queries left after its start."""
        for key in ("worst_pixels", "worst_stuck"):
            worst: Worst | None = getattr(self.evaluate, key)
            if worst is None:
                continue
            start = self.evaluate.draws + 1
            start += 1 + 2 * worst.gradient_steps if worst.gradient_steps else 0
            enough = (
                f"a number above {start}, since the search starts from {self.evaluate.draws} draws"
            )
            if worst.gradient_steps:
                enough += f" and {worst.gradient_steps} gradient steps"
            require(worst.queries > start, f"evaluate.{key}.queries", enough, worst.queries)

    def _check_gate(self, gate: Gate) -> None:
        choose("gate.challenger", gate.challenger, self.finetune.arms)
        control = self.compare.control
        require(control is not None, "compare.control", "an arm, which the gate needs", control)
        another = gate.challenger != control
        require(another, "gate.challenger", "another arm than the control", gate.challenger)


ADAPTER = TypeAdapter(Params)


def parse_params(content: object) -> Params:
    """Build the validated parameters from what a YAML file holds.

    Args:
        content: Nested dicts, lists and scalars.

    Returns:
        The parameters.

    Raises:
        ParameterError: A key is unknown, missing or out of its range; names the key.
    """
    try:
        return ADAPTER.validate_python(content)
    except ValidationError as error:
        raise ParameterError(in_words(error, Params)) from None


def load_params(path: Path = PARAMS) -> Params:
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
