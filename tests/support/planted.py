"""Ledgers of models whose worth is planted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.params.project import Params, parse_params

IMAGES, DRAWS, N, SIDE = 300, 4, 8, 16


def params(**gate: Any) -> Params:
    return parse_params(
        {
            "select": {"side": SIDE},
            "baselines": {"base": {"classifier": "efficientnet_lite0"}},
            "finetune": {"arms": {"clean": {"baseline": "base"}, "hard": {"baseline": "base"}}},
            "models": {
                "base": {"origin": "base"},
                "clean": {"origin": "base"},
                "hard": {"origin": "base"},
            },
            "evaluate": {"draws": DRAWS, "stuck": {"n": [N]}},
            "compare": {"reference": {"experiment": "stuck", "n": N}, "resamples": 500},
            "gate": {"challenger": "hard", "images": 100, "draws": DRAWS, **gate},
        }
    )


def ledger(
    flips: float,
    *,
    seed: int = 0,
    stuck: int = 0,
    accuracy: float = 1.0,
    fooled: Mapping[str, float] | None = None,
    margin: float = 1.0,
    images: int = IMAGES,
    draws: int = DRAWS,
    parts: int = 0,
) -> pd.DataFrame:
    """A model that flips so often, is right so often, and is fooled so often by each attack.

    The first images are the ones that are right, flip and are fooled, so that what is planted is
    there exactly; `seed` moves the flips to others. The first `stuck` images flip in each draw.
    """
    writer = LedgerWriter(["bad", "good"])  # with `parts` the images are of so many, by turns
    names = np.array([f"{at:016x}" for at in range(images)], dtype=object)
    truth = np.full(images, "good", dtype=object)
    random = np.random.default_rng(seed)
    part = np.array([f"{at % max(1, parts)}" for at in range(images)], dtype=object)

    def add(experiment: str, rows: Any, right: Any, **setting: Any) -> None:
        margins = np.where(right, margin, -margin).astype(np.float32)
        predicted = right.astype(np.int64)
        shared = {"split": "held_out", "group": part[rows] if parts else None, **setting}
        writer.add(experiment, names[rows], truth[rows], predicted, margins, **shared)

    every = np.arange(images)
    right = every < round(accuracy * images)
    add("clean", every, right, n=0, draw=0)
    rows = np.flatnonzero(right)
    for draw in range(draws):
        kept = (random.random(len(rows)) >= flips) & (rows >= stuck)
        add("stuck", rows, kept, n=N, values="stuck", area=SIDE, draw=draw)
    attacks = {"whitebox_fgsm": 0.5, "whitebox_iterated": 0.9} if fooled is None else fooled
    for name, share in attacks.items():
        steps = 1 if name == "whitebox_fgsm" else 10
        add(name, rows, rows >= share * images, epsilon=1, steps=steps, draw=0)
    return writer.table()
