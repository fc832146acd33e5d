"""Random changes against the worst that a search finds, at the same n and on the same images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.reporting.experiments import EXPERIMENTS, described
from pixelproof.reporting.rows import among, groups_of, rows_of, settings
from pixelproof.reporting.wording import percent, pixels


def worst_cases(ledger: pd.DataFrame, common: list[str], side: int) -> list[dict[str, Any]]:
    """Each search for the worst pixels beside the random draws, on the images that it took.

    Args:
        ledger: Of one model.
        common: The images that all models get right unchanged.
        side: The side of the images in pixels.

    Returns:
        A setting with `images`, the rates `random` (None where no such draws were measured) and
        `worst` with their intervals, and `pi` of the worst: the paper's Pi (Equation 7) of that
        rate, to be compared with other searches of as many queries alone.
    """
    cases = []
    for setting, rows in settings(ledger):
        searched = described(setting["experiment"]).beside is not None
        images = among(common, rows) if searched else []
        if not images:
            continue
        n, values, area = (setting[key] for key in ("n", "values", "area"))
        groups = groups_of(ledger, images)
        worst = rate_interval(wrong_by_image(rows, images), groups=groups)
        drawn = _drawn(ledger, n=n, values=values, area=area)
        random = None
        if len(drawn):
            random = rate_interval(wrong_by_image(drawn, images), groups=groups)
        pi = {
            key: pixel_index(rate, n, side, values, area) for key, rate in worst._asdict().items()
        }
        cases.append(
            {
                "experiment": setting["experiment"],
                "n": n,
                "values": values,
                "area": area,
                "queries": setting["steps"],
                "images": len(images),
                "random": random._asdict() if random else None,
                "worst": worst._asdict(),
                "pi": pi,
            }
        )
    return cases


def _drawn(ledger: pd.DataFrame, **setting: Any) -> pd.DataFrame:
    """The random draws of a setting, from whichever experiment measured it."""
    drawn = [name for name, entry in EXPERIMENTS.items() if entry.pi and entry.beside is None]
    parts = [rows_of(ledger, name, **setting) for name in drawn]
    return next((rows for rows in parts if len(rows)), ledger[:0])


def pi_worst(cases: list[dict[str, Any]], values: str, area: int) -> dict[str, Any] | None:
    """Pi of the worst case in a range of values and an area, at the largest n searched there."""
    alike = [case for case in cases if (case["values"], case["area"]) == (values, area)]
    if not alike:
        return None
    case = max(alike, key=_n)
    return {**case["pi"], **{key: case[key] for key in ("n", "queries", "images")}}


def worst_words(summary: Mapping[str, Any]) -> list[str]:
    """A line for each kind of pixels: what random ones change, and what the worst change.

    It speaks of the largest n that was measured both ways.
    """
    lines = []
    for experiment in [name for name, entry in EXPERIMENTS.items() if entry.beside]:
        found = {
            model: [
                case
                for case in entry.get("worst_cases", [])
                if case["experiment"] == experiment and case["random"]
            ]
            for model, entry in summary["models"].items()
        }
        measured = {model: max(cases, key=_n) for model, cases in found.items() if cases}
        if not measured:
            continue
        case = next(iter(measured.values()))
        changed, worst = pixels(case["n"], case["area"], case["values"]), f"the worst {case['n']}"
        first, *others = (
            (model, percent(one["random"]["value"]), percent(one["worst"]["value"]))
            for model, one in measured.items()
        )
        words = f"At random, {changed} change {first[1]} of the answers of {first[0]}"
        words += f", {worst} that a search finds {first[2]}"
        words += "".join(f"; of {model} {random} and {found}" for model, random, found in others)
        lines.append(f"{words} ({case['images']} images, {case['queries']} queries for each n).")
    return lines


def _n(case: Mapping[str, Any]) -> int:
    return int(case["n"])
