"""The champion is measured alone on fresh draws, so that a rise of Pi is noticed."""

import dataclasses
import math
import secrets
from collections.abc import Mapping
from typing import Any

from pixelproof.data.image_set import hex_id
from pixelproof.errors import DataError
from pixelproof.models.metadata import seen_images, seen_is_known
from pixelproof.params.project import Params
from pixelproof.paths import GATE
from pixelproof.promotion.fresh_draws import Trial, gate_of, reference
from pixelproof.promotion.outcome import Result
from pixelproof.promotion.registry import open_registry
from pixelproof.promotion.version import CHAMPION, Version
from pixelproof.reporting.rows import without
from pixelproof.reporting.wording import estimate, interval
from pixelproof.system import files

_BOUNDS = {"": "value", "_low": "low", "_high": "high"}  # by the ending of a metric's name


def measure_champion(params: Params) -> Result:
    """Measure the champion alone on fresh draws, and say whether Pi has risen.

    Returns:
        STEADY, WORSE where Pi is certainly above what it was when it was promoted, or NOT
        COMPARABLE; also written to `artifacts/gate/monitor.json`.

    Raises:
        DataError: There is no champion, or the images are missing.
        ParameterError: There is no gate, or tracking is off.
        ServiceError: MLflow does not answer.
    """
    gate = gate_of(params)
    registry = open_registry(gate)
    champion = registry.at(CHAMPION)
    if champion is None:
        raise DataError(f"{gate.name}: expected a champion, got none; run `pixelproof gate`")
    folder = registry.download(champion, GATE / "champions")
    seed = secrets.randbits(62)
    trial = Trial(params, seed)
    seen = {hex_id(image) for image in seen_images(folder)}
    figures = trial.alone(without(trial.measure(folder, "champion"), seen))
    outcome, words = compare_with_promotion(champion, figures, reference(params))
    if not seen_is_known(folder):
        words += "; which images it has seen is unknown"
    verdict = {"outcome": outcome, "models": {"champion": figures}}
    address = registry.tracker.address(champion.run) if champion.run else None
    result = Result(outcome, words, False, champion.number, None, seed, verdict, address)
    files.write_json(GATE / "monitor.json", dataclasses.asdict(result))
    if champion.run:
        metrics = {f"monitor/pi{end}": figures["pi"][key] for end, key in _BOUNDS.items()}
        metrics["monitor/clean_accuracy"] = figures["clean_accuracy"]["value"]
        registry.tracker.measure(champion.run, metrics)
    return result


def compare_with_promotion(
    champion: Version, figures: Mapping[str, Any], point: str
) -> tuple[str, str]:
    """Whether a champion is worse than it was, and what that rests on in a sentence.

    Both figures are uncertain. The interval of their difference is by Newcombe's method ("Interval
    estimation for the difference between independent proportions", 1998), from both intervals.

    Args:
        champion: The version, with Pi and its interval when it was promoted.
        figures: Its figures now.
        point: The reference point, in words.
    """
    pi = figures["pi"]
    now = estimate(pi)
    words = f"version {champion.number}: Pi is {now} at {point}, on {figures['images']} images"
    known = champion.tags.get("pi.reference")
    if known != point:
        at = f"at {known}" if known else "without a figure"
        return "NOT COMPARABLE", f"{words}; it was promoted {at}, so that nothing compares"
    then = {key: float(champion.tags[f"pi{end}"]) for end, key in _BOUNDS.items()}
    rise = pi["value"] - then["value"]
    least = rise - math.hypot(pi["value"] - pi["low"], then["high"] - then["value"])
    most = rise + math.hypot(pi["high"] - pi["value"], then["value"] - then["low"])
    words += (
        f", and was {estimate(then)} when it was promoted: {interval(rise, least, most, sign='+')}"
    )
    return ("WORSE" if least > 0 else "STEADY"), words
