"""The state of an unfinished training, from which an interrupted run goes on."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from pixelproof.data.drawn_changes import ChangeSet
from pixelproof.data.image_set import ImageSet
from pixelproof.models.classifier import Classifier
from pixelproof.models.recipe import Recipe
from pixelproof.system import files


class Checkpoint:
    """The state after an epoch, kept under a key that stands for the whole configuration."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        classifier: Classifier,
        images: ImageSet,
        changes: ChangeSet | None,
    ) -> None:
        """Key the checkpoint by the recipe, the start, the images and the changes."""
        drawn = changes.sha256 if changes else ""
        key = hashlib.sha256(json.dumps([recipe.key, drawn, torch.__version__]).encode())
        for array in (images.ids, images.labels):
            key.update(array.tobytes())
        for name, tensor in classifier.network.state_dict().items():
            key.update(name.encode() + tensor.contiguous().numpy().tobytes())
        self.folder = folder
        self.path = folder / key.hexdigest()[:16]

    def remove(self) -> None:
        """Delete this model's checkpoints, once its final weights are stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the stored state, whole or not at all."""
        with files.atomic(self.path) as temporary:
            temporary.mkdir()
            try:
                with (temporary / "state.pt").open("wb") as file:
                    torch.save(state, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # how torch reports a full disk
                    raise error.__context__ from None
                raise
            files.write_text(temporary / "sha256", files.sha256(temporary / "state.pt"))

    def load(self) -> dict[str, Any] | None:
        """The stored state, or None where no whole one is left.

        A process that is killed while it replaces or removes a checkpoint leaves a part of the
        old one, and perhaps the whole new one beside it.

        Raises:
            IntegrityError: The file is not what was written.
        """
        for folder in (self.path, files.partial(self.path)):
            path, checksum = folder / "state.pt", folder / "sha256"
            if not (path.is_file() and checksum.is_file()):
                continue
            files.verify(path, checksum.read_text())
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        return None
