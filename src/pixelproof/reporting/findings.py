"""Single images: flips by direction, regressions, and the size of a pixel on the sensor."""

from typing import Any

import numpy as np

from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gallery import paths_by_id
from pixelproof.reporting.wording import percent

REGRESSED = 12
DIRECTIONS = 10  # of flips, the most frequent


def flips(comparison: Comparison) -> list[dict[str, Any]]:
    """Flips by direction: the missed defects first, then those to a defect, then the others."""
    summary, defects = comparison.summary, comparison.params.compare.defects
    directions: dict[tuple[str, str], dict[str, int]] = {}
    for model, entry in summary["models"].items():
        for label, taken in entry["flips"].items():
            for prediction, count in taken.items():
                directions.setdefault((label, prediction), {})[model] = count
    trials = _trials(comparison)
    chosen = sorted(directions.items(), key=lambda direction: -sum(direction[1].values()))[
        :DIRECTIONS
    ]
    rows = []
    for (label, prediction), counts in chosen:
        missed, alarm = label in defects, prediction in defects
        kind = "" if missed == alarm else "missed defect" if missed else "false alarm"
        cells = []
        for model in summary["models"]:
            count, total = counts.get(model, 0), trials[label]
            cells.append(f"{count} of {total} ({percent(count / total)})")
        rows.append({"label": label, "prediction": prediction, "kind": kind, "cells": cells})
    order = ["missed defect", "false alarm", ""]
    return sorted(rows, key=lambda row: (order.index(row["kind"]), row["label"]))


def _trials(comparison: Comparison) -> dict[str, int]:
    """The number of changed images of each class at the reference point, draws counted."""
    ledger = next(iter(comparison.ledgers.values()))
    clean = ledger[(ledger["experiment"] == "clean") & ledger["image"].isin(comparison.common)]
    draws = comparison.params.evaluate.draws
    return {
        str(label): draws * int(count) for label, count in clean["label"].value_counts().items()
    }


def regressed(comparison: Comparison, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """By hardened model: which images flip more often than under its original."""
    paths, shown = paths_by_id(manifest), []
    for model, arm in comparison.params.finetune.arms.items():
        gap = comparison.at_reference(model).mean(axis=1)
        gap = gap - comparison.at_reference(arm.baseline).mean(axis=1)
        worst = np.argsort(-gap, kind="stable")[:REGRESSED]
        names = [
            f"{paths[comparison.common[at]]} ({100 * gap[at]:+.0f} points)"
            for at in worst
            if gap[at] > 0
        ]
        better, worse = int((gap < 0).sum()), int((gap > 0).sum())
        shown.append({"model": model, "better": better, "worse": worse, "names": names})
    return shown


def sensor(comparison: Comparison, manifest: dict[str, Any]) -> str:
    """The size of a changed pixel in pixels of the camera."""
    select = comparison.params.select
    widths = np.array([image["width"] for image in manifest["images"]])
    heights = np.array([image["height"] for image in manifest["images"]])
    if select.fit != "stretch":
        widths = heights = np.minimum(widths, heights)
    cut = 7 / 8 if select.fit == "imagenet" else 1.0
    width, height = float(np.median(widths)), float(np.median(heights))
    across, down = cut * width / select.side, cut * height / select.side
    size = f"median image {width:.0f} × {height:.0f}"
    if across * down < 1:
        return (
            f"The images are smaller than the side they are scaled to ({size}, enlarged to "
            f"{select.side}): one pixel of the camera covers {1 / across:.2g} × {1 / down:.2g} "
            "pixels here, so a single faulty pixel of the camera changes more than one pixel "
            "changed here does."
        )
    weaker = "a single faulty pixel of the camera is weaker than that."
    if across * down == 1:
        weaker = "a single faulty pixel of the camera is just that."
    return (
        f"One changed pixel stands for {across:.2g} × {down:.2g} pixels of the camera "
        f"({size}, resized to {select.side}); {weaker}"
    )
