"""An original classifier: built or loaded as `baselines` says, its head replaced where needed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pixelproof.data.imagenet import imagenet_classes
from pixelproof.errors import DataError, ParameterError
from pixelproof.models.architectures import PYTHON, Architecture, find_architecture, read_state
from pixelproof.models.class_names import is_known, match_classes
from pixelproof.models.classifier import Classifier
from pixelproof.models.loading import load_classifier
from pixelproof.models.metadata import METADATA, UNKNOWN
from pixelproof.models.network import count_outputs, fill_weights, outputs_of, replace_head
from pixelproof.params.baselines import Baseline
from pixelproof.system import files

# A network with its weights, the classes it knows, and where the weights came from.
Built = tuple[nn.Module, tuple[str, ...], dict[str, Any]]


def open_classifier(
    baseline: Baseline,
    classes: Sequence[str],
    name: str,
    tell: Callable[[str], object] = lambda words: None,
) -> Classifier:
    """Make the classifier that a baseline of `params.yaml` names.

    Args:
        baseline: Its section.
        classes: The names of the data's classes, in their order.
        name: Of the baseline, for errors.
        tell: Is given what a person should know: that the head is new, and why.

    Returns:
        A classifier with the weights asked for. Its head is kept where it knows every class of
        the data (see `match_classes`), else it is replaced by a new one for these classes, and
        its `source` says why.

    Raises:
        ParameterError: The name is unknown, or the head does not go with the other keys.
        DataError: The weights cannot be had or are another network's, or a class is missing.
        IntegrityError: A file of weights holds code, or is damaged.
    """
    if (Path(baseline.classifier) / METADATA).is_file():
        classifier = load_classifier(Path(baseline.classifier))
    else:
        classifier = _build(baseline, classes, name)
    if baseline.head == "keep":
        classifier.targets(classes)
    elif why := _why_new(classifier, classes, baseline, name):
        _renew_head(classifier, classes, baseline, name, why)
        tell(f"baseline {name}: a new head for the {len(classes)} classes of the images: {why}")
    return classifier


def _build(baseline: Baseline, classes: Sequence[str], name: str) -> Classifier:
    """A classifier of the architecture that a baseline names."""
    try:
        architecture = find_architecture(baseline.classifier)
    except ParameterError as error:
        raise ParameterError(f"baselines.{name}.classifier: {error}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(baseline.seed)
        if baseline.weights == "imagenet":
            network, known, source = _published(architecture, name)
        elif baseline.weights == "none":
            network, known, source = _untrained(baseline, architecture, classes, name)
        else:
            network, known, source = _from_file(baseline, architecture, classes, name)
    if baseline.weights not in ("imagenet", "none") or architecture.name.startswith(PYTHON):
        source["seen"] = UNKNOWN  # a factory may return trained weights, too
    mean, std = baseline.mean or architecture.mean, baseline.std or architecture.std
    return Classifier(network, architecture.name, known, mean, std, source)


def _published(architecture: Architecture, name: str) -> Built:
    """A network with the weights that its authors have published."""
    if architecture.published is None:
        raise ParameterError(
            f"baselines.{name}.weights: expected none or a file for {architecture.name}, "
            "which has no published weights, got 'imagenet'"
        )
    network = architecture.build(None)
    fill_weights(network, architecture.published(), architecture.name)
    return network, architecture.classes(), {"weights": "imagenet"}


def _untrained(
    baseline: Baseline, architecture: Architecture, classes: Sequence[str], name: str
) -> Built:
    """A network as it is built; a person's own factory may return trained weights."""
    known = tuple(baseline.classes or classes)
    network = architecture.build(len(known))
    outputs = count_outputs(network)
    if outputs != len(known):
        raise ParameterError(
            f"baselines.{name}.classes: expected the {outputs} classes of {architecture.name}, "
            f"got {len(known)}"
        )
    return network, known, {"weights": "none", "seed": baseline.seed}


def _from_file(
    baseline: Baseline, architecture: Architecture, classes: Sequence[str], name: str
) -> Built:
    """A network with the weights of a file."""
    known = tuple(baseline.classes or classes)
    network = architecture.build(len(known))
    path = Path(baseline.weights)
    state = read_state(path)
    outputs = outputs_of(state, network, len(known))
    if outputs != len(known):
        published = architecture.classes()
        if len(published) != outputs or baseline.classes:
            raise ParameterError(
                f"baselines.{name}.classes: expected the {outputs} classes of {path}, "
                f"got {len(known)}"
            )
        network, known = architecture.build(outputs), published
    fill_weights(network, state, str(path))
    return network, known, {"weights": path.name, "sha256": files.sha256(path)}


def _why_new(
    classifier: Classifier, classes: Sequence[str], baseline: Baseline, name: str
) -> str | None:
    """Why the head must be replaced, or None.

    Numeric folder names match only if the numbers of classes agree: 0 and 1 are the folders of a
    data set of two classes, not two of ImageNet's thousand.

    Raises:
        DataError: It knows some of the classes, which looks like a slip in the others. Among the
            thousand of ImageNet a few names are bound to be found, so there it is none.
    """
    if baseline.head == "new":
        return f"baselines.{name}.head says so"
    try:
        match_classes(classes, classifier.classes, len(classes) == len(classifier.classes))
    except DataError as error:
        known = [folder for folder in classes if is_known(folder, classifier.classes)]
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


def _renew_head(
    classifier: Classifier, classes: Sequence[str], baseline: Baseline, name: str, why: str
) -> None:
    """Give a classifier a new, untrained head for the data's classes.

    Raises:
        ParameterError: The baseline is not trained.
    """
    if baseline.epochs == 0:
        raise ParameterError(
            f"baselines.{name}.epochs: expected 1 or more, since the head is new and untrained "
            f"(the data's classes are {list(classes)}), got 0"
        )
    network = replace_head(classifier.network, len(classifier.classes), len(classes), baseline.seed)
    classifier.network = network.to(memory_format=torch.channels_last)
    classifier.classes = tuple(classes)
    classifier.source = {**classifier.source, "head": "new", "head_because": why}
