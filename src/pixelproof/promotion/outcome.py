"""What became of a challenger: for a person, for the flow, and beside the pipeline's run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelproof.params.project import Params
from pixelproof.paths import GATE, MODELS
from pixelproof.promotion.fresh_draws import gate_of, weights_of
from pixelproof.promotion.gate import Verdict
from pixelproof.promotion.registry import Registry
from pixelproof.promotion.version import Version
from pixelproof.system import files
from pixelproof.tracking import records

FIRST, NOTHING = "FIRST", "NOTHING TO DO"


@dataclass(frozen=True)
class Result:
    """What became of a challenger, or what a champion is worth.

    Attributes:
        outcome: PASSED, REJECTED, NOT ENOUGH EVIDENCE or NOTHING TO DO; of a champion that was
            measured, STEADY, WORSE or NOT COMPARABLE.
        words: What it means, in a sentence.
        promoted: Whether the challenger has become the champion by it.
        champion: The version in use when all is done; None without a registry's one.
        version: The challenger's; None where it was not registered.
        seed: Of the fresh draws; None where nothing was measured.
        verdict: What the gate says, rule by rule.
        address: The page of the run that it belongs to.
    """

    outcome: str
    words: str
    promoted: bool = False
    champion: int | None = None
    version: int | None = None
    seed: int | None = None
    verdict: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    address: str | None = None


def sentence(verdict: Verdict, name: str, champion: Version | None) -> str:
    """A verdict in a sentence."""
    against = f"version {champion.number}" if champion else "its original"
    if verdict.outcome == "PASSED":
        pi = [rule.words for rule in verdict.rules if rule.name == "pi_champion"]
        return ": ".join([f"PASSED: {name} against {against}", *pi])
    return f"{verdict.outcome}: {name} against {against}: it lacks {verdict.reasons}"


def write_result(params: Params, registry: Registry, result: Result) -> Result:
    """Write a result down, and put it into the description of the pipeline's run."""
    tracker, path = registry.tracker, GATE / "verdict.json"
    about = {"weights": weights_of(MODELS / gate_of(params).challenger)}  # `show` compares them
    files.write_json(path, dataclasses.asdict(result) | about)
    parent = tracker.find_pipeline(records.pipeline_key(params))
    if parent is None:
        return result
    result = dataclasses.replace(result, address=tracker.address(parent))
    files.write_json(path, dataclasses.asdict(result) | about)
    if result.verdict:  # "nothing to do" must not hide what was decided
        tracker.describe(parent, result.words)
        tracker.keep(parent, path)
    if Path("dvc.lock").is_file():
        tracker.keep(parent, Path("dvc.lock"))
    return result
