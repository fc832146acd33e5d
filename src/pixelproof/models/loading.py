"""Loads a model folder whoever has written it: code that it names runs only where it is trusted."""

from pathlib import Path

from pixelproof.models.classifier import Classifier
from pixelproof.models.own_code import check_code
from pixelproof.models.storage import read_classifier


def load_classifier(folder: Path | str, *, trust_code: bool = False) -> Classifier:
    """Load a stored classifier, in eval mode; nothing is downloaded.

    Args:
        folder: A model folder.
        trust_code: Import the network that it names as `python:…`, though the project in the
            current folder does not name it (see `check_code`).

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: The weights are not those that were stored, or the network is code that
            the project does not name.
    """
    return read_classifier(Path(folder), _trust if trust_code else check_code)


def _trust(architecture: str, folder: Path) -> None:
    """Let any code run."""
