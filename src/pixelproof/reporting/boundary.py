"""How far images lie from the decision boundary, and whether hardening moved it."""

import numpy as np
import pandas as pd

from pixelproof.core.statistics.differences import sign_flip_p_value
from pixelproof.core.statistics.groups import as_groups, totals
from pixelproof.core.statistics.intervals import median_interval
from pixelproof.params.project import Params
from pixelproof.reporting.rows import Ledgers, among, groups_of


def boundary(ledgers: Ledgers, common: list[str], params: Params) -> pd.DataFrame:
    """How far the common images lie from each model's decision boundary (Equations 3 to 6).

    Args:
        ledgers: By model.
        common: The common set.
        params: For the origins and the tests.

    Returns:
        One row a model that was measured: model, images, the median distance with the bounds of
        its interval of order statistics, the mean of the paired differences to its original
        (above 0: the paper's r' > r), and their p-value by sign flips. Images whose gradient is
        zero lie infinitely far and stand in the median alone.
    """
    by_model = {model: distances(ledger, common) for model, ledger in ledgers.items()}
    table = []
    for model, measured in by_model.items():
        if measured.empty:
            continue
        row = {"model": model, "images": len(measured)}
        groups = groups_of(ledgers[model], list(measured.index))
        row |= median_interval(measured.to_numpy(dtype=float), groups=groups)._asdict()
        origin = params.origin(model)
        if origin != model:
            gaps = (measured - by_model[origin]).to_numpy(dtype=float)
            finite = np.isfinite(gaps)
            gaps = gaps[finite]
            row["difference_to_baseline"] = float(gaps.mean()) if len(gaps) else np.nan
            compare = params.compare
            units = gaps if groups is None else totals(gaps, as_groups(groups[finite]))
            row["p_value"] = sign_flip_p_value(units, compare.resamples, compare.seed)
        table.append(row)
    columns = ["model", "images", "value", "low", "high", "difference_to_baseline", "p_value"]
    return pd.DataFrame(table, columns=columns).rename(columns={"value": "median"})


def distances(ledger: pd.DataFrame, common: list[str]) -> "pd.Series[float]":
    """The distance of the common images to a model's decision boundary, by image."""
    rows = ledger[ledger["experiment"] == "boundary"]
    measured = rows.set_index("image")["margin"].astype(float)
    return measured.reindex(among(common, rows))
