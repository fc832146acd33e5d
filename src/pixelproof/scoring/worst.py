"""The worst pixels of a few images: a search, where the model gives scores."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.sparse import WorstChanges, worst_changes
from pixelproof.core.pixel_changes import Changes, apply_changes, draw_changes
from pixelproof.core.statistics.groups import Groups, as_groups
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.scoring.plan import SEARCHED, Plan
from pixelproof.scoring.result import About, Row, pi_of
from pixelproof.scoring.subjects import Subjects
from pixelproof.scoring.target import Target, UInt8
from pixelproof.scoring.until import Right

GRADIENT_STEPS = 10
STARTS = 2 + 2 * GRADIENT_STEPS  # queries that start a search, beside the random draws


class ScoringModule(nn.Module):
    """A target as a torch module of floats in [0, 1], without a gradient."""

    def __init__(self, target: Target) -> None:
        """Wrap a target that gives scores."""
        super().__init__()
        self.target = target

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, K) of images (B, 3, H, W) that are whole numbers by 255."""
        whole: Any = (images * 255).round().to(torch.uint8)
        if self.target.device is None:
            whole = whole.numpy()
        answers = self.target.answer(whole)
        return torch.from_numpy(np.array(answers.scores)).to(images.device)


def measure_worst(subjects: Subjects, plan: Plan, right: Right, groups: Groups = None) -> list[Row]:
    """Search the worst n pixels of the first images that the model gets right.

    Args:
        subjects: Read; the model gives scores.
        plan: With `worst`.
        right: The images.
        groups: Of all of them.

    Returns:
        A row for each n that the budget reaches.
    """
    side, count = subjects.pictures.side, min(SEARCHED, len(right.rows))
    arrays = np.stack([subjects.pictures.read(int(row)) for row in right.rows[:count]])
    chosen = None if groups is None else as_groups(groups[:count])
    rows, before = [], 0
    left = subjects.meter.affordable(count * plan.worst * len(plan.n))
    queries = left // (count * len(plan.n))
    if queries < min(plan.worst, plan.draws + STARTS):
        return []
    for found in _search(subjects.target, plan, right, arrays, queries):
        asked = int(found.queries.sum())
        subjects.meter.spend(asked - before)
        changes = Changes(found.changes.positions.cpu().numpy(), found.changes.values.cpu().numpy())
        placed = subjects.target.place(apply_changes(arrays, changes))
        wrong = subjects.codes(placed) != right.truth[:count]
        error = rate_interval(wrong[:, None], groups=chosen)
        pi = pi_of(error, found.n, side, plan.values, plan.area)
        flipped, spent = int(wrong.sum()), asked - before
        about: About = "images like these"
        rows.append(Row(found.n, count, spent, flipped, error, about, flipped, pi, worst=True))
        before = asked
        if subjects.meter.limit:
            break
    return rows


def _search(
    target: Target, plan: Plan, right: Right, arrays: UInt8, queries: int
) -> Iterator[WorstChanges]:
    count, side = len(arrays), arrays.shape[2]
    ids, device = right.ids[:count], target.device or torch.device("cpu")
    draws = [
        draw_changes(
            ids, plan.n[-1], (side, side), seed=plan.seed, draw=draw, values=plan.values,
            area=plan.area,
        )
        for draw in range(plan.draws)
    ]  # fmt: skip
    model = target.ask if isinstance(target.ask, nn.Module) else ScoringModule(target)
    return worst_changes(
        model.eval(),
        torch.from_numpy(arrays).to(device),
        torch.from_numpy(right.truth[:count]).to(device),
        ids,
        plan.n,
        PixelBudget(plan.values, plan.area),
        queries,
        draws=draws,
        gradient_steps=GRADIENT_STEPS if target.gradient else 0,
        seed=plan.seed,
    )
