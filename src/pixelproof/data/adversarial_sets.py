"""A stored set of adversarial examples, and the images they came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.errors import IntegrityError
from pixelproof.system import files


@dataclass(frozen=True)
class AdversarialSet:
    """Examples that fool the classifier they were made from.

    Attributes:
        ids: (K,) uint64, the held-out images that they were made from.
        examples: (K, 3, H, W) uint8, memory-mapped.
        epsilon: The L-infinity radius in units of 1/255.
    """

    ids: npt.NDArray[np.uint64]
    examples: npt.NDArray[np.uint8]
    epsilon: int


def write_adversarial_set(
    folder: Path, ids: npt.NDArray[np.uint64], manifest: dict[str, Any]
) -> None:
    """Add ids and manifest to a folder in progress that holds `examples.npy`."""
    np.save(folder / "ids.npy", ids)
    checksums = {name: files.sha256(folder / name) for name in ("examples.npy", "ids.npy")}
    files.write_sealed(folder / "manifest.json", {**manifest, "sha256": checksums})


def load_adversarial_set(folder: Path) -> AdversarialSet:
    """Open a set.

    Raises:
        DataError: The set is missing.
        IntegrityError: Bytes are not those that were written.
    """
    manifest = files.read_sealed(folder / "manifest.json")
    for name, checksum in manifest["sha256"].items():
        files.verify(folder / name, checksum)
    ids = np.load(folder / "ids.npy")
    examples = np.load(folder / "examples.npy", mmap_mode="r")
    if len(ids) != len(examples):
        raise IntegrityError(
            f"{folder}: {len(ids)} ids for {len(examples)} examples; run `dvc repro -f attack`"
        )
    return AdversarialSet(ids, examples, manifest["epsilon"])
