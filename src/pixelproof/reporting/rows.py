"""Which rows of a ledger count: by split, images seen, experiment and setting."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pixelproof.core.statistics.groups import Groups, as_groups
from pixelproof.errors import DataError

SETTING = ["experiment", "epsilon", "steps", "n", "values", "area"]
Ledgers = Mapping[str, pd.DataFrame]


def without(ledger: pd.DataFrame, seen: Collection[str]) -> pd.DataFrame:
    """A ledger without the images that any compared model was trained on.

    Where images are of parts, a part of which one image was seen is left out as a whole: the others
    are too much like it.
    """
    known = ledger["image"].isin(list(seen))
    if "group" in ledger:
        known |= ledger["group"].isin(ledger.loc[known, "group"].dropna().unique())
    return ledger[~known]


def of_split(ledger: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of the images of a split: `held_out`, or `train` of the protocol `paper`."""
    return ledger[ledger["split"] == split]


def rows_of(ledger: pd.DataFrame, experiment: str, **setting: Any) -> pd.DataFrame:
    """The rows of a ledger in one experiment and setting; None is where a column is empty."""
    chosen = ledger["experiment"] == experiment
    for column, value in setting.items():
        same = ledger[column].isna() if value is None else ledger[column] == value
        chosen &= same.fillna(False).astype(bool)
    return ledger[chosen]


def groups_of(ledger: pd.DataFrame, images: Sequence[str]) -> Groups:
    """The groups of images (`select.group`), from a ledger that holds them unchanged.

    Args:
        ledger: Of any model.
        images: Their ids, (N,).

    Returns:
        (N,) codes; None where images stand alone.
    """
    return group_codes(group_names(ledger), images)


def group_codes(names: "pd.Series[str]", images: Sequence[str]) -> Groups:
    """The groups of images, by what `group_names` found in their ledger."""
    return _codes(names.reindex(pd.Index(images))) if len(images) else None


def group_names(ledger: pd.DataFrame) -> "pd.Series[str]":
    """The group of each image in a ledger; missing where images stand alone."""
    return rows_of(ledger, "clean").drop_duplicates("image").set_index("image")["group"]


def _codes(names: "pd.Series[str]") -> Groups:
    return None if names.isna().any() else as_groups(names.to_numpy(dtype=str))


def with_groups(records: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """What attacks did, with a column `group` of the images, from the model's ledger."""
    named = records.assign(group=records["image"].map(group_names(ledger)))
    named.attrs = records.attrs
    return named


def record_groups(rows: pd.DataFrame) -> Groups:
    """The groups of the images in rows of `with_groups`, (rows,); None where there are none."""
    return _codes(rows["group"]) if "group" in rows and len(rows) else None


def common_images(ledgers: Ledgers, limit: int | None = None, split: str = "held-out") -> list[str]:
    """The images that every model classifies right unchanged (Section 6, the paper's rule).

    Args:
        ledgers: By model.
        limit: At most so many; those with the smallest ids, a hash of their content.
        split: What the images are called in the error.

    Raises:
        DataError: There is none; says how many each model gets right.
    """
    right = []
    for ledger in ledgers.values():
        clean = ledger[ledger["experiment"] == "clean"]
        right.append(set(clean.loc[clean["prediction"] == clean["label"], "image"]))
    common = sorted(set.intersection(*right))
    if not common:
        counts = [f"{name} {len(images)}" for name, images in zip(ledgers, right, strict=True)]
        raise DataError(
            f"no {split} image is classified right by all of {', '.join(ledgers)}, so there is "
            f"nothing to compare them on (right: {', '.join(counts)}); train longer, or compare "
            "fewer models"
        )
    return common[:limit]


def among(images: list[str], rows: pd.DataFrame) -> list[str]:
    """Those of the images that an experiment was run on."""
    taken = set(rows["image"])
    return [image for image in images if image in taken]


def settings(ledger: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each experiment and setting, in the order they were run."""
    named = []
    for key, rows in ledger.groupby(SETTING, dropna=False, sort=False, observed=True):
        pairs = zip(SETTING, key, strict=True)
        named.append(({name: _plain(value) for name, value in pairs}, rows))
    return named


def _plain(value: Any) -> Any:
    """A cell as a plain Python value; None where it is missing."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def key_of(setting: Mapping[str, Any]) -> str:
    """A setting as a key, such as `whitebox_fgsm_epsilon1_steps1`."""
    strength = [f"{name}{value}" for name, value in setting.items() if name != "experiment"]
    return "_".join([str(setting["experiment"]), *strength])
