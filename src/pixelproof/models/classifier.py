"""A name becomes a classifier that owns its preprocessing; classifiers are stored and loaded."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pixelproof.data.imagenet import imagenet_classes
from pixelproof.errors import DataError, IntegrityError, ParameterError
from pixelproof.models.architectures import (
    PYTHON,
    Architecture,
    State,
    Triple,
    find_architecture,
    read_state,
)
from pixelproof.models.class_names import is_known, match_classes
from pixelproof.models.own_code import check_code
from pixelproof.params.select import Fit
from pixelproof.system import files

if TYPE_CHECKING:
    from pixelproof.params.baselines import Baseline

FORMAT = 1
UNKNOWN, DECLARED = "unknown", "declared"  # what weights from elsewhere have seen


class Classifier(nn.Module):
    """A network together with its classes and the normalisation that its weights expect.

    Attributes:
        network: Takes normalised floats (B, 3, H, W) and returns logits (B, K).
        architecture: The name it was built by.
        classes: The names of the K classes, by index.
        source: Where its weights came from.
        side: The side in pixels of the images it was trained on, or None.
        fit: How an image becomes a square of that side.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        classes: Sequence[str],
        mean: Triple,
        std: Triple,
        source: dict[str, Any],
        side: int | None = None,
        fit: Fit = "stretch",
    ) -> None:
        """Wrap a network; `channels_last` because some networks are many times slower without."""
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.architecture = architecture
        self.classes = tuple(classes)
        self.source = source
        self.side = side
        self.fit: Fit = fit
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (B, 3, H, W), uint8, or floats in [0, 1] where a gradient is wanted.

        Returns:
            Logits (B, K).

        Raises:
            ValueError: The images are of another shape, size or type, or beyond [0, 1].
        """
        self._check(images)
        if images.dtype == torch.uint8:
            images = images.float() / 255
        normalised = (images - self.mean) / self.std
        logits: Tensor = self.network(normalised.contiguous(memory_format=torch.channels_last))
        return logits

    def _check(self, images: Tensor) -> None:
        side = self.side
        height, width = ("H", "W") if side is None else (side, side)
        expected = f"expected images (B, 3, {height}, {width})"
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"{expected}, got {tuple(images.shape)}")
        if side is not None and images.shape[2:] != (side, side):
            raise ValueError(
                f"{expected}, as it was trained on, got {tuple(images.shape)}; resize them, as "
                "`pixelproof predict` does"
            )
        if images.dtype == torch.uint8 or not images.numel():
            return
        if not images.is_floating_point():
            raise ValueError(f"expected uint8, or floats in [0, 1], got {images.dtype}")
        low, high = (float(one) for one in images.detach().aminmax())
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"expected floats in [0, 1], got {low:g} to {high:g}; give uint8, or divide by 255"
            )

    def targets(self, classes: Sequence[str]) -> Tensor:
        """The classifier's index of each of the data's classes.

        Raises:
            DataError: One has no match by name, WordNet id or index (see `match_classes`).
        """
        try:
            return torch.tensor(match_classes(classes, self.classes), dtype=torch.int64)
        except DataError as error:
            raise DataError(f"{self.architecture}: {error}") from None

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What to call each output: the data's name of the class where it has one.

        Raises:
            DataError: As `targets`.
        """
        named = {int(at): name for at, name in zip(self.targets(classes), classes, strict=True)}
        # What the data has no images of must not be taken for what it has.
        return tuple(
            named.get(at, f"{name} (class {at})" if name in classes else name)
            for at, name in enumerate(self.classes)
        )

    def set_trainable(self, part: Literal["whole", "head"]) -> list[nn.Parameter]:
        """Free the whole network or its final layer alone for training, freeze the rest.

        Returns:
            The parameters to train.
        """
        self.network.requires_grad_(part == "whole")
        _, head = final_layer(self.network, len(self.classes))
        head.requires_grad_(True)
        return [one for one in self.network.parameters() if one.requires_grad]


def final_layer(network: nn.Module, outputs: int) -> tuple[str, nn.Module]:
    """The name and the module of a network's last linear or convolutional layer.

    Raises:
        ParameterError: No such layer has as many outputs as there are classes.
    """
    found = None
    for name, module in network.named_modules():
        width = getattr(module, "out_features", getattr(module, "out_channels", None))
        if isinstance(module, nn.Linear | nn.Conv2d) and width == outputs:
            found = (name, module)
    if found is None:
        raise ParameterError(f"expected a final layer with {outputs} outputs; the network has none")
    return found


def _replace_head(network: nn.Module, outputs: int, classes: int, seed: int) -> nn.Module:
    """Put a new, seeded final layer for another number of classes in place of the old one."""
    name, old = final_layer(network, outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(old, nn.Conv2d):
            size: Any = old.kernel_size
            new: nn.Module = nn.Conv2d(old.in_channels, classes, size, bias=old.bias is not None)
        else:
            assert isinstance(old, nn.Linear)
            new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    if not name:
        return new
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, new)
    return network


def _fill(network: nn.Module, state: State, path: str) -> None:
    """Load a state dict, all of it and nothing else.

    Raises:
        DataError: Keys or shapes do not agree; names the first few.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    for words, keys in (("lacks", missing), ("does not know", unexpected), ("sizes", shapes)):
        if keys:
            raise DataError(f"{path}: not weights of this network: {words} {', '.join(keys[:3])}")
    network.load_state_dict(state, strict=False)


def _outputs_of(state: State, network: nn.Module, outputs: int) -> int:
    """How many classes weights are for: the length of their final layer."""
    name, _ = final_layer(network, outputs)
    weight = state.get(f"{name}.weight" if name else "weight")
    return outputs if weight is None else int(weight.shape[0])


def _count_outputs(network: nn.Module) -> int:
    """The outputs of a network whose number of classes is not known: its last layer's."""
    found = 0
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            found = module.weight.shape[0]
    return found


def _build(
    baseline: "Baseline", found: Architecture, classes: Sequence[str], name: str
) -> tuple[nn.Module, tuple[str, ...], dict[str, Any]]:
    """A network with its weights, the classes it has, and where the weights came from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(baseline.seed)
        if baseline.weights == "imagenet":
            if found.published is None:
                raise ParameterError(
                    f"baselines.{name}.weights: expected none or a file for {found.name}, "
                    "which has no published weights, got 'imagenet'"
                )
            network, own = found.build(None), found.classes()
            _fill(network, found.published(), found.name)
            return network, own, {"weights": "imagenet"}
        own = tuple(baseline.classes or classes)
        network = found.build(len(own))
        if baseline.weights == "none":
            outputs = _count_outputs(network)
            if outputs != len(own):
                raise ParameterError(
                    f"baselines.{name}.classes: expected the {outputs} classes of {found.name}, "
                    f"got {len(own)}"
                )
            return network, own, {"weights": "none", "seed": baseline.seed}
        path = Path(baseline.weights)
        state = read_state(path)
        outputs = _outputs_of(state, network, len(own))
        if outputs != len(own):
            published = found.classes()
            if len(published) != outputs or baseline.classes:
                raise ParameterError(
                    f"baselines.{name}.classes: expected the {outputs} classes of {path}, "
                    f"got {len(own)}"
                )
            network, own = found.build(outputs), published
        _fill(network, state, str(path))
        return network, own, {"weights": path.name, "sha256": files.sha256(path)}


def _why_new(
    classifier: Classifier, classes: Sequence[str], baseline: "Baseline", name: str
) -> str | None:
    """Why the head must be replaced, or None; two folders 0 and 1 are not two of a thousand.

    Raises:
        DataError: It knows some of the classes, which looks like a slip in the others. Among the
            thousand of ImageNet a few names are bound to be found, so there it is none.
    """
    if baseline.head == "new":
        return f"baselines.{name}.head says so"
    try:
        match_classes(classes, classifier.classes, len(classes) == len(classifier.classes))
    except DataError as error:
        known = [one for one in classes if is_known(one, classifier.classes)]
        if not known:
            return "the classifier knows none of them"
        published = classifier.classes == imagenet_classes()
        if published and baseline.epochs:
            return f"of ImageNet's thousand classes they have {', '.join(known)} alone"
        remedy = "give `epochs` of 1 or more, for a new head" if published else "say `head: new`"
        raise DataError(
            f"baselines.{name}: {error}; since {known[0]} is known: mend the folders' names, "
            f"or {remedy}"
        ) from None
    return None


def open_classifier(
    baseline: "Baseline",
    classes: Sequence[str],
    name: str,
    tell: Callable[[str], object] = lambda words: None,
) -> Classifier:
    """Make the classifier that a baseline of `params.yaml` names.

    Args:
        baseline: Its section.
        classes: The names of the data's classes, in their order.
        name: Of the baseline, for errors.
        tell: Is given what a person should know of: that the head is new, and why.

    Returns:
        A classifier with the weights asked for. Its head is kept where it knows every class of
        the data (see `match_classes`), else it is replaced by a new one for these classes, and
        its `source` says why.

    Raises:
        ParameterError: The name is unknown, or the head does not go with the other keys.
        DataError: The weights cannot be had or are another network's, or a class is missing.
        IntegrityError: A file of weights holds code, or is damaged.
    """
    if (Path(baseline.classifier) / "classifier.json").is_file():
        classifier = load_classifier(Path(baseline.classifier))
    else:
        try:
            found = find_architecture(baseline.classifier)
        except ParameterError as error:
            raise ParameterError(f"baselines.{name}.classifier: {error}") from None
        network, own, source = _build(baseline, found, classes, name)
        if baseline.weights not in ("imagenet", "none") or found.name.startswith(PYTHON):
            source["seen"] = UNKNOWN  # a factory may return trained weights, too
        mean, std = baseline.mean or found.mean, baseline.std or found.std
        classifier = Classifier(network, found.name, own, mean, std, source)
    if baseline.head == "keep":
        classifier.targets(classes)
    elif why := _why_new(classifier, classes, baseline, name):
        if baseline.epochs == 0:
            raise ParameterError(
                f"baselines.{name}.epochs: expected 1 or more, since the head is new and untrained "
                f"(the data's classes are {list(classes)}), got 0"
            )
        outputs = len(classifier.classes)
        classifier.network = _replace_head(
            classifier.network, outputs, len(classes), baseline.seed
        ).to(memory_format=torch.channels_last)
        classifier.classes = tuple(classes)
        classifier.source = {**classifier.source, "head": "new", "head_because": why}
        tell(f"baseline {name}: a new head for the {len(classes)} classes of the images: {why}")
    return classifier


def save_classifier(classifier: Classifier, folder: Path, seen: Iterable[int]) -> None:
    """Store a classifier whole or not at all.

    Args:
        classifier: Any.
        folder: Gets `model.safetensors`, `classifier.json` and `seen.txt`.
        seen: The ids of the images that it was trained or validated on.
    """
    state = {key: one.contiguous() for key, one in classifier.network.state_dict().items()}
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        weights = temporary / "model.safetensors"
        weights.write_bytes(save(state))  # its own writing has errors of its own on a full disk
        lines = sorted(f"{one:016x}\n" for one in seen)
        files.write_text(temporary / "seen.txt", "".join(lines))
        files.write_sealed(
            temporary / "classifier.json",
            {
                "format": FORMAT,
                "architecture": classifier.architecture,
                "classes": list(classifier.classes),
                "preprocessing": {
                    "side": classifier.side,
                    "fit": classifier.fit,
                    "mean": classifier.mean.flatten().tolist(),
                    "std": classifier.std.flatten().tolist(),
                },
                "source": classifier.source,
                "sha256": files.sha256(weights),
                "seen_sha256": files.sha256(temporary / "seen.txt"),
            },
        )


def load_classifier(folder: Path | str, *, trust_code: bool = False) -> Classifier:
    """Load a stored classifier, in eval mode; nothing is downloaded and no code of it runs.

    Args:
        folder: A model folder, whoever has written it.
        trust_code: Import the network that it names as `python:…`, though the project in the
            current folder does not name it (see `check_code`).

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: The weights are not those that were stored, or the network is code that
            the project does not name.
    """
    folder = Path(folder)
    if not (folder / "classifier.json").is_file():
        raise DataError(f"{folder}: expected a model folder with classifier.json; got none")
    about = files.read_sealed(folder / "classifier.json")
    if about.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder}: expected a model folder of format {FORMAT}, got {about.get('format')!r}"
        )
    files.verify(folder / "model.safetensors", about["sha256"])
    classes, preprocessing = about["classes"], about["preprocessing"]
    architecture = str(about["architecture"])
    if architecture.startswith(PYTHON) and not trust_code:
        check_code(architecture, folder)
    network = find_architecture(architecture).build(len(classes))
    outputs = _count_outputs(network)
    if outputs != len(classes):  # a factory that knows one number of classes alone
        network = _replace_head(network, outputs, len(classes), seed=0)
    _fill(network, load_file(folder / "model.safetensors"), str(folder))
    classifier = Classifier(
        network,
        architecture,
        classes,
        tuple(preprocessing["mean"]),
        tuple(preprocessing["std"]),
        about["source"],
        preprocessing["side"],
        preprocessing["fit"],
    )
    return classifier.eval()


def seen_images(folder: Path) -> frozenset[int]:
    """The ids of the images that a stored classifier was trained or validated on.

    Raises:
        DataError: The folder holds no list of them.
        IntegrityError: The list is not the one that was stored.
    """
    path = folder / "seen.txt"
    files.verify(path, files.read_sealed(folder / "classifier.json")["seen_sha256"])
    return frozenset(int(line, 16) for line in path.read_text().split())


def seen_is_known(folder: Path) -> bool:
    """Whether that is all that a stored classifier has seen.

    What is made of weights from elsewhere has seen what they have, which their owner may declare.

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: It is not the one that was stored.
    """
    source: dict[str, Any] = files.read_sealed(folder / "classifier.json")["source"]
    return source.get("seen") != UNKNOWN
