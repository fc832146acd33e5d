"""The ledger of a model: one row for each prediction."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.errors import DataError, IntegrityError
from pixelproof.system import files

COLUMNS = {
    "image": "string",
    "group": "string",
    "label": "string",
    "split": "string",
    "experiment": "string",
    "epsilon": "Int16",
    "steps": "Int32",
    "n": "Int32",
    "values": "string",
    "area": "Int32",
    "draw": "Int32",
    "prediction": "string",
    "margin": "float32",
}
# What pyarrow raises at a damaged file; the last of them where a flipped bit names an unknown type.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, NotImplementedError)


class LedgerWriter:
    """Collects the rows of one model's ledger, an experiment at a time."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Start an empty ledger whose predictions are indices into `classes`."""
        self._classes = np.array(classes, dtype=object)
        self._parts: list[pd.DataFrame] = []

    def add(
        self,
        experiment: str,
        image: npt.NDArray[np.object_],
        label: npt.NDArray[np.object_],
        predicted: npt.NDArray[np.int64],
        margin: npt.NDArray[np.float32],
        **setting: object,
    ) -> None:
        """Add the predictions of some images in one setting (group, epsilon, steps, n, …)."""
        columns: dict[str, Any] = dict.fromkeys(COLUMNS)
        columns.update(setting)
        columns |= {"image": image, "label": label, "experiment": experiment}
        columns |= {"prediction": self._classes[predicted], "margin": margin}
        frame = pd.DataFrame(columns, index=range(len(image)))
        self._parts.append(frame.astype(COLUMNS))

    def table(self) -> pd.DataFrame:
        """All rows so far."""
        if not self._parts:
            return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
        return pd.concat(self._parts, ignore_index=True)

    def write(self, path: Path, computed: Mapping[str, str | int]) -> None:
        """Store the ledger as Parquet, whole or not at all.

        Args:
            path: Of the file.
            computed: The device and the number of threads, on which predictions depend as well.
                Stored in the file, as `read_ledger(path).attrs`.
        """
        whole = self.table()
        whole.attrs = dict(computed)
        with files.atomic(path) as temporary:
            whole.to_parquet(temporary, index=False, write_page_checksum=True)


def read_ledger(path: Path) -> pd.DataFrame:
    """Read a model's ledger.

    Raises:
        DataError: It is missing.
        IntegrityError: It is not a ledger.
    """
    return read_table(path, "a ledger", COLUMNS, {"group": "string"})


def read_table(
    path: Path, kind: str, columns: Iterable[str], added: Mapping[str, str] = MappingProxyType({})
) -> pd.DataFrame:
    """Read a Parquet file that `evaluate` has written, and verify its checksums.

    Args:
        path: The file.
        kind: What it holds, in the error.
        columns: Its columns, in their order.
        added: Those, with their types, that files of earlier versions lack; they are empty then.

    Raises:
        DataError: It is missing.
        IntegrityError: It is damaged, or its columns are others.
    """
    if not path.is_file():
        raise DataError(f"{path}: missing; run `dvc repro` to make it")
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        raise IntegrityError(f"{path}: expected {kind}: {reason}; {files.remedy(path)}") from None
    for place, name in enumerate(columns):
        if name in added and name not in table and len(table.columns) >= place:
            table.insert(place, name, pd.Series(pd.NA, table.index, dtype=added[name]))
    if list(table.columns) != list(columns):
        raise IntegrityError(
            f"{path}: expected columns {list(columns)}, got {list(table)}; {files.remedy(path)}"
        )
    return table


def wrong_by_image(rows: pd.DataFrame, images: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which draws of which images are wrong, from the rows of one setting.

    Args:
        rows: A ledger's rows of one experiment and setting.
        images: The images wanted, in the order wanted; each must have every draw.

    Returns:
        (images, draws).

    Raises:
        IntegrityError: An image lacks a draw.
    """
    wrong = (rows["prediction"] != rows["label"]).astype("boolean")
    table = wrong.groupby([rows["image"], rows["draw"]]).first().unstack("draw")
    table = table.reindex(pd.Index(images))
    if table.isna().to_numpy().any():
        raise IntegrityError("a ledger lacks a draw of an image; run `dvc repro -f evaluate`")
    return np.asarray(table.to_numpy(dtype=bool))
