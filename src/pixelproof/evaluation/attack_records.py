"""What attacks did to each image, beside the ledger: how far their examples lie, and what failed.

The ledger holds predictions alone, an image that was attacked a row. Here stands an image that was
to be attacked, whatever became of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.evaluation.ledger import read_table
from pixelproof.system import files

if TYPE_CHECKING:  # whose module imports torch
    from pixelproof.core.attacks.distances import Distances

# An image that the model gets wrong unchanged is not attacked, and counts as fooled.
Outcome = Literal["attacked", "outside its budget", "wrong unchanged", "not attacked"]

COLUMNS = {
    "image": "string",
    "experiment": "string",
    "epsilon": "Int32",
    "steps": "Int32",
    "n": "Int32",
    "values": "string",
    "area": "Int32",
    "outcome": "string",
    "fooled": "boolean",
    "fooled_as_floats": "boolean",
    "l0": "Int32",
    "l2": "Float64",
    "linf": "Int16",
}


class AttackRecords:
    """Collects what the attacks on one model did.

    Attributes:
        problems: What went wrong with an attack first, in words, by experiment.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.problems: dict[str, str] = {}
        self._parts: list[pd.DataFrame] = []

    def add(
        self,
        experiment: str,
        image: npt.NDArray[np.object_],
        outcome: Outcome | npt.NDArray[np.object_],
        setting: Mapping[str, Any],
        *,
        fooled: npt.NDArray[np.bool_] | None = None,
        fooled_as_floats: npt.NDArray[np.bool_] | None = None,
        far: "Distances | None" = None,
    ) -> None:
        """Add some images of one attack.

        Args:
            experiment: Of the ledger.
            image: Their names.
            outcome: Of all, or of each.
            setting: As the ledger has it.
            fooled: Whether the model is wrong on the stored uint8 example.
            fooled_as_floats: Whether it was on what the attack found, before rounding.
            far: How far the stored examples lie from their images; l2 and linf in 1/255.
        """
        columns: dict[str, Any] = dict.fromkeys(COLUMNS)
        columns.update({key: value for key, value in setting.items() if key in COLUMNS})
        columns |= {"image": image, "experiment": experiment, "outcome": outcome}
        columns |= {"fooled": fooled, "fooled_as_floats": fooled_as_floats}
        if far is not None:
            columns |= {key: each.cpu().numpy() for key, each in far._asdict().items()}
        frame = pd.DataFrame(columns, index=range(len(image)))
        self._parts.append(frame.astype(COLUMNS))

    def write(self, path: Path) -> None:
        """Store the records as Parquet, whole or not at all."""
        empty = pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
        whole = pd.concat(self._parts, ignore_index=True) if self._parts else empty
        whole.attrs = {"problems": self.problems}
        with files.atomic(path) as temporary:
            whole.to_parquet(temporary, index=False, write_page_checksum=True)


def read_attacks(path: Path) -> pd.DataFrame:
    """Read what the attacks on a model did; `attrs` holds `problems`.

    Raises:
        DataError: It is missing.
        IntegrityError: It is not what `evaluate` writes.
    """
    return read_table(path, "what attacks did", COLUMNS)
