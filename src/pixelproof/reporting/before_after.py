"""Compares two results of different times, paired where they share images and draws."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.statistics.differences import (
    Difference,
    paired_difference,
    unpaired_difference,
)
from pixelproof.core.statistics.groups import Groups
from pixelproof.errors import DataError, ParameterError
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.compare import Compare, Reference
from pixelproof.params.generate import Generate
from pixelproof.reporting.experiments import described
from pixelproof.reporting.rows import SETTING, groups_of, of_split, rows_of
from pixelproof.reporting.wording import share

DRAWN_BY = ("test_seed", "positions", "channels")  # what test draws of an image depend on
Wrong = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """What was measured at one time.

    Attributes:
        name: As the user gave it.
        ledgers: By model; held-out images and perhaps others.
        params: The content of `params.yaml` of that time, whose keys may be older than this code.
        one_model: Whether a single model was given, to be compared whatever its name.
        origin: Its images, commit and date, in words; a line each.
    """

    name: str
    ledgers: Mapping[str, pd.DataFrame]
    params: Mapping[str, Any]
    one_model: bool = False
    origin: tuple[str, ...] = ()

    def parameter(self, section: type, key: str) -> Any:
        """A parameter of a section, or its default."""
        given = self.params.get(section.__name__.lower()) or {}
        default = next(field.default for field in fields(section) if field.name == key)
        return given.get(key, default) if isinstance(given, Mapping) else default

    @property
    def reference(self) -> tuple[str, int]:
        """The reference point: the experiment and n."""
        given = self.parameter(Compare, "reference")
        if isinstance(given, Reference):
            return given.experiment, given.n
        return str(given.get("experiment", Reference.experiment)), int(given.get("n", Reference.n))


@dataclass(frozen=True)
class Against:
    """One experiment on one model, at two times.

    Attributes:
        model: Its name, or both names.
        setting: The experiment and its strength, in words.
        rates: The error rates, first and second.
        difference: The second minus the first.
        images: How many, in each.
        draws: The draws an image, in each.
        paired: Whether by image.
        why: What is shared, or what is not.
    """

    model: str
    setting: str
    rates: tuple[float, float]
    difference: Difference
    images: tuple[int, int]
    draws: tuple[int, int]
    paired: bool
    why: str


def compare_sides(first: Side, second: Side) -> list[Against]:
    """Compare every model that both have, in every experiment at the first's reference point.

    Args:
        first: What it was before.
        second: What it was after.

    Raises:
        ParameterError: They have no model in common.
        DataError: They have no experiment in common.
    """
    compared = []
    for model, other, name in _models(first, second):
        ledgers = (
            of_split(first.ledgers[model], "held_out"),
            of_split(second.ledgers[other], "held_out"),
        )
        for setting, words in _settings(ledgers, first.reference[1]):
            difference = _compare(first, second, ledgers, setting)
            if difference is not None:
                compared.append(Against(name, words, *difference))
    if not compared:
        raise DataError(f"{first.name} and {second.name}: no experiment that both have run")
    return compared


def _models(first: Side, second: Side) -> list[tuple[str, str, str]]:
    """The models to compare: their names in the first and the second, and in the table."""
    if first.one_model and second.one_model:
        (one,), (other,) = first.ledgers, second.ledgers
        return [(one, other, one if one == other else f"{one}, {other}")]
    shared = [name for name in first.ledgers if name in second.ledgers]
    if not shared:
        names = f"{', '.join(first.ledgers)} and {', '.join(second.ledgers)}"
        raise ParameterError(
            f"{first.name} and {second.name}: expected models of the same name, got {names}; two "
            "runs of one model each are compared whatever their names"
        )
    return [(name, name, name) for name in shared]


def _settings(
    ledgers: tuple[pd.DataFrame, pd.DataFrame], n: int
) -> Iterator[tuple[dict[str, Any], str]]:
    """The settings that both ledgers have at n changed pixels, or without any."""
    kept = []
    for ledger in ledgers:
        known = ledger[SETTING].drop_duplicates()
        at = known["n"].isna() | known["n"].isin([0, n])
        compared = known["experiment"].map(lambda name: described(name).errors)
        kept.append(known[at & compared])
    side = max((int(area) for area in ledgers[0]["area"].dropna()), default=None)
    shared = kept[0].merge(kept[1])  # on all columns; missing values match each other
    for row in shared.to_dict("records"):
        setting = {key: None if pd.isna(value) else value for key, value in row.items()}
        yield setting, _words(setting, side)


def _words(setting: Mapping[str, Any], side: int | None) -> str:
    name, epsilon, steps = setting["experiment"], setting["epsilon"], setting["steps"]
    entry, words = described(name), [str(name)]
    if setting["n"]:
        known = side if entry.over == "area" else setting["area"]
        words.append(f"n {setting['n']}" + (f" ({share(setting['n'], known)})" if known else ""))
    if entry.over == "values":
        words.append(str(setting["values"]))
    if entry.over == "area":
        words.append(f"side {setting['area']}")
    if epsilon:
        words.append(f"epsilon {epsilon}")
    if steps and steps > 1:
        words.append(f"{steps} {entry.counted or 'steps'}")
    return " ".join(words)


def _compare(
    first: Side,
    second: Side,
    ledgers: tuple[pd.DataFrame, pd.DataFrame],
    setting: Mapping[str, Any],
) -> tuple[Any, ...] | None:
    """The fields of `Against` from `rates` on; None where one side has no image."""
    rows = [rows_of(ledger, **setting) for ledger in ledgers]
    images = [sorted(chosen["image"].unique()) for chosen in rows]
    shared = sorted(set(images[0]) & set(images[1]))
    if not all(images):
        return None
    paired = 2 * len(shared) >= min(map(len, images))  # of fewer, most images would be left out
    wrong = [
        wrong_by_image(chosen, shared if paired else own)
        for chosen, own in zip(rows, images, strict=True)
    ]
    sizes = [len(names) for names in images]
    counts = f"{len(shared)} shared of {sizes[0]} and {sizes[1]} images"
    if set(sizes) == {len(shared)}:
        counts = "same images"
    groups = [
        groups_of(ledger, shared if paired else own)
        for ledger, own in zip(ledgers, images, strict=True)
    ]
    if paired:
        undrawn = setting["n"] in (None, 0)
        known = next((of for of in groups if of is not None), None)
        difference, draws = _paired(first, second, wrong, undrawn, known)
        why = f"{counts}, {draws}" if draws else counts
    else:
        difference = _unpaired(first, wrong, groups)
        why = f"other images: {counts}"
    return (
        (float(wrong[0].mean()), float(wrong[1].mean())),
        difference,
        (len(wrong[0]), len(wrong[1])),
        (wrong[0].shape[1], wrong[1].shape[1]),
        paired,
        why,
    )


def _unpaired(first: Side, wrong: list[Wrong], groups: list[Groups]) -> Difference:
    resamples, seed = first.parameter(Compare, "resamples"), first.parameter(Compare, "seed")
    return unpaired_difference(
        wrong[1], wrong[0], resamples=resamples, seed=seed, groups=(groups[1], groups[0])
    )


def _by_image(
    first: Side, wrong: Sequence[npt.NDArray[Any]], by_draw: bool, groups: Groups
) -> Difference:
    resamples, seed = first.parameter(Compare, "resamples"), first.parameter(Compare, "seed")
    return paired_difference(
        wrong[1], wrong[0], resamples=resamples, seed=seed, by_draw=by_draw, groups=groups
    )


def _paired(
    first: Side, second: Side, wrong: list[Wrong], undrawn: bool, groups: Groups
) -> tuple[Difference, str]:
    """The difference by image, and by draw where the draws are the same; and how, in words."""
    drawn = [[side.parameter(Generate, key) for key in DRAWN_BY] for side in (first, second)]
    if undrawn or drawn[0] == drawn[1]:
        count = min(draws.shape[1] for draws in wrong)
        wrong[:] = [draws[:, :count] for draws in wrong]  # draw number i is the same in both
        by_draw = not undrawn and drawn[0][1] == "shared"
        found = _by_image(first, wrong, by_draw, groups)
        return found, "" if undrawn else "same draws"
    means = [draws.mean(axis=1, keepdims=True) for draws in wrong]
    changed = [key for key, *two in zip(DRAWN_BY, *drawn, strict=True) if two[0] != two[1]]
    words = f"other draws ({', '.join(changed)}): by image alone"
    return _by_image(first, means, False, groups), words
