"""Robust accuracy as the field reports it: the images that no attack of a budget fools."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.reporting.experiments import Setting, described
from pixelproof.reporting.rows import record_groups, settings
from pixelproof.reporting.wording import bounded_percent

NORMS = {"linf": "L-infinity", "l2": "L2", "l0": "L0"}
Budget = tuple[str, int]


def with_budget(records: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """What the attacks did whose entries say in which norm their budget is, by setting."""
    return [
        (setting, rows)
        for setting, rows in settings(records)
        if described(setting["experiment"]).norm is not None
    ]


def budget_of(setting: Setting) -> Budget:
    """The norm of an attack's budget, and how much it is: pixels, or units of 1/255."""
    norm = str(described(setting["experiment"]).norm)
    return norm, int(setting["n"] if norm == "l0" else setting["epsilon"])


def budget_words(norm: str, budget: int) -> str:
    """A budget in words.

    >>> [budget_words("linf", 2), budget_words("l0", 64)]
    ['L-infinity 2/255', 'L0 64 pixels']
    """
    return f"{NORMS[norm]} {budget}" + (" pixels" if norm == "l0" else "/255")


def robust_accuracy(records: pd.DataFrame) -> list[dict[str, Any]]:
    """For each budget, the share of the images that are right whatever attack is tried.

    Counted are the images that every attack of the budget was tried on, and those among them that
    are wrong unchanged, which no attack need be tried on. An attack with more constraints (stuck
    pixels, say) is one of its budget.

    Args:
        records: What attacks did to each image of one model.

    Returns:
        By budget: `images`, `wrong_unchanged`, `fooled` (those among them), `robust` with its
        interval, and of each attack how many right images it fooled and how many it alone did.
        A budget whose attacks have no image in common is left out.
    """
    groups: dict[Budget, dict[str, pd.DataFrame]] = {}
    for setting, rows in with_budget(records):
        attacks = groups.setdefault(budget_of(setting), {})
        attacks[_name(setting)] = rows.set_index("image")
    found = (_of_budget(budget, attacks) for budget, attacks in sorted(groups.items()))
    return [entry for entry in found if entry is not None]


def _name(setting: Setting) -> str:
    """An attack with what tells it from others of its budget."""
    entry, name = described(setting["experiment"]), str(setting["experiment"])
    if setting["steps"] is not None and entry.counted:
        name += f", {setting['steps']} {entry.counted}"
    return name


def _of_budget(budget: Budget, attacks: Mapping[str, pd.DataFrame]) -> dict[str, Any] | None:
    tried = [set(rows.index[rows["outcome"] != "not attacked"]) for rows in attacks.values()]
    images = sorted(set.intersection(*tried))
    if not images:
        return None
    outcomes = {name: rows.loc[images] for name, rows in attacks.items()}
    unchanged = next(iter(outcomes.values()))["outcome"] == "wrong unchanged"
    wrong = unchanged.to_numpy(dtype=bool)
    by_attack = np.stack(
        [rows["fooled"].fillna(False).to_numpy(dtype=bool) for rows in outcomes.values()]
    )
    fooled = wrong | by_attack.any(axis=0)
    groups = record_groups(next(iter(outcomes.values())))
    alone = by_attack & (by_attack.sum(axis=0) == 1)
    return {
        "norm": budget[0],
        "budget": budget[1],
        "images": len(images),
        "wrong_unchanged": int(wrong.sum()),
        "fooled": int(fooled.sum()),
        "robust": rate_interval(~fooled[:, None], groups=groups)._asdict(),
        "attacks": {
            name: {"fooled": int(by_attack[at].sum()), "alone": int(alone[at].sum())}
            for at, name in enumerate(outcomes)
        },
    }


def robust_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of the page; empty where no model was attacked."""
    rows = [
        [
            model,
            budget_words(found["norm"], found["budget"]),
            bounded_percent(found["robust"]),
            f"{found['images'] - found['fooled']} of {found['images']}",
            str(found["wrong_unchanged"]),
            " · ".join(
                f"{name} {counts['fooled']} ({counts['alone']})"
                for name, counts in found["attacks"].items()
            ),
        ]
        for model, entry in summary["models"].items()
        for found in entry.get("robust_accuracy", [])
    ]
    table = {
        "title": "Robust accuracy",
        "note": "The share of the images that no attack of a budget fools, the worst of all "
        "attacks image by image; of the held-out images that all of them were tried on. An image "
        "that is wrong unchanged counts as fooled. Of each attack: how many right images it "
        "fooled, and in brackets how many no other did.",
        "head": ["model", "budget", "robust %", "images", "wrong unchanged", "fooled (alone)"],
        "rows": rows,
    }
    return [table] if rows else []
