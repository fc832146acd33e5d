"""A comparison of all models, which the tables, figures and claims are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.statistics.groups import Groups
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.project import Params
from pixelproof.reporting.boundary import distances
from pixelproof.reporting.results import counted_images
from pixelproof.reporting.rows import Ledgers, groups_of, rows_of


@dataclass(frozen=True)
class Comparison:
    """All models: the ledgers of unseen images, and what was computed from them.

    Attributes:
        params: The whole of `params.yaml`.
        ledgers: By model, the held-out images that none has seen.
        common: The images that all models get right unchanged.
        table: What `metrics/results.csv` holds.
        boundary: What `metrics/boundary.csv` holds.
        summary: What `metrics/summary.json` holds.
        attacks: What `metrics/attacks.csv` holds.
    """

    params: Params
    ledgers: Ledgers
    common: list[str]
    table: pd.DataFrame
    boundary: pd.DataFrame
    summary: Mapping[str, Any]
    attacks: pd.DataFrame = field(default_factory=pd.DataFrame)

    def control_of(self, model: str) -> str | None:
        """The control arm that a model is measured against; None where there is none."""
        control, arms = self.params.compare.control, self.params.finetune.arms
        if control is None or control not in arms or control == model:
            return None
        same = self.params.origin(control) == self.params.origin(model)
        return control if same else None

    def levels(self, experiment: str, column: str, model: str | None = None) -> list[Any]:
        """The values of a setting that an experiment goes over, in their order."""
        rows = self.table[self.table["experiment"] == experiment]
        rows = rows if model is None else rows[rows["model"] == model]
        return sorted(rows.loc[rows["protocol"] == "held_out", column].dropna().unique())

    def wrong(self, model: str, experiment: str, **setting: Any) -> npt.NDArray[np.bool_]:
        """Which draws of which images are wrong, (images, draws), in one setting."""
        rows = rows_of(self.ledgers[model], experiment, **setting)
        return wrong_by_image(rows, counted_images(rows, self.common, experiment))

    def counted(self, model: str, experiment: str, **setting: Any) -> list[str]:
        """The images of `wrong`, in its order."""
        rows = rows_of(self.ledgers[model], experiment, **setting)
        return counted_images(rows, self.common, experiment)

    def at_reference(self, model: str) -> npt.NDArray[np.bool_]:
        """Which draws of the common images are wrong at the reference point."""
        point = self.params.compare.reference
        return self.wrong(model, point.experiment, n=point.n)

    def groups(self, images: list[str] | None = None) -> Groups:
        """The groups of some images, by default the common ones; None where each stands alone."""
        ledger = next(iter(self.ledgers.values()))
        return groups_of(ledger, self.common if images is None else images)

    def distances(self, model: str) -> "pd.Series[float]":
        """The distance of the common images to a model's decision boundary, by image."""
        return distances(self.ledgers[model], self.common)


def wrong_by_id(
    comparison: Comparison, model: str, experiment: str, **setting: Any
) -> dict[str, bool]:
    """By image, whether a model gets it wrong in one setting of an attack, one draw each."""
    rows = rows_of(comparison.ledgers[model], experiment, **setting)
    return dict(zip(rows["image"], rows["prediction"] != rows["label"], strict=True))
