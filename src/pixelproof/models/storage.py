"""A model folder: a classifier is written to it, whole or not at all, and read from it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors.torch import load_file, save

from pixelproof.models.architectures import PYTHON, find_architecture
from pixelproof.models.classifier import Classifier
from pixelproof.models.metadata import FORMAT, METADATA, SEEN, read_metadata
from pixelproof.models.network import count_outputs, fill_weights, replace_head
from pixelproof.system import files

WEIGHTS = "model.safetensors"


def save_classifier(classifier: Classifier, folder: Path, seen: Iterable[int]) -> None:
    """Store a classifier whole or not at all.

    Args:
        classifier: Any.
        folder: Gets `model.safetensors`, `classifier.json` and `seen.txt`.
        seen: The ids of the images that it was trained or validated on.
    """
    state = {key: tensor.contiguous() for key, tensor in classifier.network.state_dict().items()}
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        weights = temporary / WEIGHTS
        weights.write_bytes(save(state))  # safetensors' own writing hides that a disk is full
        lines = sorted(f"{image:016x}\n" for image in seen)
        files.write_text(temporary / SEEN, "".join(lines))
        files.write_sealed(
            temporary / METADATA,
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
                "seen_sha256": files.sha256(temporary / SEEN),
            },
        )


def read_classifier(folder: Path, check_code: Callable[[str, Path], object]) -> Classifier:
    """Read a stored classifier, in eval mode; nothing is downloaded.

    Args:
        folder: A model folder.
        check_code: Is given the architecture and the folder where the network is code
            (`python:…`), which would run; raises where that code is not trusted.

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: The weights are not those that were stored, or `check_code` refuses.
    """
    metadata = read_metadata(folder)
    files.verify(folder / WEIGHTS, metadata["sha256"])
    classes, preprocessing = metadata["classes"], metadata["preprocessing"]
    architecture = str(metadata["architecture"])
    if architecture.startswith(PYTHON):
        check_code(architecture, folder)
    network = find_architecture(architecture).build(len(classes))
    outputs = count_outputs(network)
    if outputs != len(classes):  # a factory that builds for one number of classes only
        network = replace_head(network, outputs, len(classes), seed=0)
    fill_weights(network, load_file(folder / WEIGHTS), str(folder))
    classifier = Classifier(
        network,
        architecture,
        classes,
        tuple(preprocessing["mean"]),
        tuple(preprocessing["std"]),
        metadata["source"],
        preprocessing["side"],
        preprocessing["fit"],
    )
    return classifier.eval()
