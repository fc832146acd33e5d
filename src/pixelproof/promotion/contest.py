"""From trained models to a champion: fresh draws, three ledgers, the gate, the registry.

What runs after the pipeline and outside DVC, because it changes something outside the repository.
"""

import dataclasses
import getpass
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pixelproof.data.image_set import hex_id
from pixelproof.errors import DataError, ParameterError
from pixelproof.models.metadata import seen_images, seen_is_known
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.paths import GATE, IMAGES, MODELS
from pixelproof.promotion.fresh_draws import Trial, gate_of, reference, weights_of
from pixelproof.promotion.gate import Verdict, decide
from pixelproof.promotion.model_card import model_card
from pixelproof.promotion.registry import (
    CHAMPION,
    CONTENT,
    FROM,
    JUDGED,
    OUTCOME,
    REASONS,
    REFUSED,
    Registry,
    Version,
)
from pixelproof.reporting.comparison import without
from pixelproof.system import files
from pixelproof.tracking import records
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.sending import Sender
from pixelproof.tracking.store import check_store, enabled

FLOW_RUN = "PIXELPROOF_FLOW_RUN"  # the id of the Prefect run that this is part of
FIRST, NOTHING = "FIRST", "NOTHING TO DO"
PI_TAGS = ("pi", "pi_low", "pi_high", "pi.reference")  # what `monitor` compares with


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


def who() -> str:
    """Who is at work: the flow run, else the user and the machine."""
    flow = os.environ.get(FLOW_RUN)
    if flow:
        return f"flow run {flow}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def open_registry(gate: Gate) -> Registry:
    """The registry of the store in use.

    Raises:
        ParameterError: Tracking is off.
        ServiceError: The store does not answer.
    """
    if not enabled():
        raise ParameterError(
            "PIXELPROOF_TRACKING: expected it unset, since MLflow holds the champion; got off"
        )
    store = check_store()
    return Registry(Tracker(store), gate.name)


@dataclass
class Contest:
    """A challenger, its control, and the champion it meets."""

    params: Params
    registry: Registry
    folders: dict[str, Path]
    trial: Trial
    ledgers: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)

    def ledger(self, label: str) -> pd.DataFrame:
        """The ledger of one of the three, measured once."""
        if label not in self.ledgers:
            self.ledgers[label] = self.trial.measure(self.folders[label], label)
        return self.ledgers[label]

    def meet(self, champion: Version) -> None:
        """Bring the champion that is to be met; another than before is measured anew."""
        known = self.folders.get("champion")
        if known is None or weights_of(known) != champion.weights:
            self.folders["champion"] = self.registry.download(champion, GATE / "champions")
            self.ledgers.pop("champion", None)

    def alone(self, label: str) -> dict[str, Any]:
        """What one of the three is worth by itself, on images that it has not seen."""
        seen = {hex_id(one) for one in seen_images(self.folders[label])}
        return self.trial.alone(without(self.ledger(label), seen))

    def judge(self) -> Verdict:
        """Let the gate decide, without the images that any of the three has seen."""
        labels = ("challenger", "champion", "control")
        seen = {hex_id(one) for label in labels for one in seen_images(self.folders[label])}
        challenger, champion, control = (without(self.ledger(one), seen) for one in labels)
        unknown = [label for label in labels if not seen_is_known(self.folders[label])]
        return decide(challenger, champion, control, self.trial.params, unknown)


def _seed(weights: Mapping[str, str]) -> int:
    """The seed of the fresh draws: new with each challenger, and nobody's choice.

    It hangs on the weights and the images alone: to try again, or with another setting, is no
    second chance.
    """
    manifest = files.read_json(IMAGES / "manifest.json")
    content = [dict(weights), manifest["splits"]["held_out"]["sha256"]]
    return int(files.content_hash(content)[:15], 16)


def _key(params: Params, weights: Mapping[str, str]) -> str:
    """What a judgement rests on: the models' weights, the images and what is asked of them."""
    manifest = files.read_json(IMAGES / "manifest.json")
    asked = [dataclasses.asdict(one) for one in (params.evaluate, params.compare, params.generate)]
    gate = dataclasses.asdict(gate_of(params))
    images = manifest["splits"]["held_out"]["sha256"]
    return files.content_hash([dict(weights), images, asked, gate])


def settle(
    registry: Registry,
    version: Version,
    judge: Callable[[Version], Verdict],
    note: Callable[[Version, Verdict], object],
    by: str,
) -> tuple[Verdict, Version, bool]:
    """Judge a version against the champion, and promote it where it passes.

    Where another champion has come meanwhile, it is judged against that one: of several that
    race, whoever is better than all the others ends as champion.

    Args:
        registry: Of the model.
        version: The challenger's.
        judge: Gives the verdict against a champion.
        note: Is told each verdict before it takes effect.
        by: Who promotes.

    Returns:
        The last verdict, the champion it was given against, and whether the version is champion.

    Raises:
        DataError: There is no champion.
    """
    while True:
        champion = registry.at(CHAMPION)
        if champion is None:
            raise DataError(f"{registry.name}: expected a champion to be judged against, got none")
        if champion.number == version.number:
            registry.promote(version, champion, by)  # what an interrupted try has left undone
            return Verdict("PASSED", (), (), {}), champion, True
        verdict = judge(champion)
        note(champion, verdict)
        if verdict.outcome != "PASSED":
            return verdict, champion, False
        if registry.promote(version, champion, by):
            return verdict, champion, True


def run_gate(params: Params, promote: bool) -> Result:
    """Judge the challenger against the champion and its control; promote it where it passes.

    Without a champion the challenger's original becomes the first one.

    Args:
        params: Of the project, whose pipeline has gone through.
        promote: Register and promote; else only say what would be.

    Returns:
        What became of it; also written to `artifacts/gate/verdict.json`.

    Raises:
        ParameterError: There is no gate, or tracking is off.
        DataError: A model or the images are missing.
        ServiceError: MLflow does not answer.
    """
    gate = gate_of(params)
    registry = open_registry(gate)
    folders = {
        "challenger": MODELS / gate.challenger,
        "control": MODELS / str(params.compare.control),
    }
    weights = {label: weights_of(folder) for label, folder in folders.items()}
    champion = registry.at(CHAMPION)
    known = registry.with_weights(weights["challenger"])
    _check_alias(registry, champion)
    if champion and promote:
        registry.promote(champion, champion, who())  # what an interrupted try has left undone
    if champion and _promoted_here(champion, weights):
        return _write(params, registry, _told_again(champion, gate.challenger))
    if champion and (reason := _nothing_to_do(params, weights, known, champion)):
        number = known.number if known else None
        return _write(params, registry, Result(NOTHING, reason, False, champion.number, number))
    seed = _seed(weights)
    contest = Contest(params, registry, folders, Trial(params, seed))
    if champion is None and promote:
        champion = _first_champion(contest)
    if promote:
        return _write(params, registry, _contend(contest, weights))
    if champion is None:
        contest.folders["champion"] = MODELS / params.origin(gate.challenger)
    else:
        contest.meet(champion)
    verdict = contest.judge()
    words = f"{sentence(verdict, gate.challenger, champion)} (a dry run: nothing was promoted)"
    number = champion.number if champion else None
    content = verdict.content()
    return _write(
        params, registry, Result(verdict.outcome, words, False, number, None, seed, content)
    )


def _check_alias(registry: Registry, champion: Version | None) -> None:
    """Take no lost alias for a first run, which would put the original in its place.

    Raises:
        DataError: There has been a champion, and there is none.
    """
    if champion is None and any(one.tags.get(FROM) for one in registry.versions()):
        raise DataError(
            f"{registry.name}: expected the alias {CHAMPION}, which is gone; say which version it "
            "is with `pixelproof promote NUMBER --why …`"
        )


def _promoted_here(champion: Version, weights: Mapping[str, str]) -> bool:
    """Whether an earlier try of this very flow run has promoted the challenger."""
    ours = FLOW_RUN in os.environ and champion.tags.get("promoted.by") == who()
    return ours and champion.weights == weights["challenger"]


def _told_again(champion: Version, name: str) -> Result:
    """What an earlier try would have said, had it come to that."""
    tags = champion.tags
    words = f"{tags.get(OUTCOME)}: {name}; version {champion.number} is the champion"
    seed = int(tags["seed"]) if "seed" in tags else None
    number = champion.number
    return Result(tags.get(OUTCOME, ""), words, True, number, number, seed, champion.verdict)


def _nothing_to_do(
    params: Params, weights: Mapping[str, str], known: Version | None, champion: Version
) -> str:
    """Why there is nothing to judge; empty where there is."""
    name = gate_of(params).challenger
    if weights["challenger"] == champion.weights:
        return f"nothing to do: {name} is the champion already, version {champion.number}"
    if known is None:
        return ""
    if refused := known.tags.get(REFUSED):
        return (
            f"nothing to do: {name} is version {known.number}, which was taken out of use "
            f"{refused}; `pixelproof promote` overrides it"
        )
    key = _key(params, {**weights, "champion": champion.weights})
    if known.tags.get(JUDGED) == key and known.tags.get(OUTCOME) != "PASSED":
        return (
            f"nothing to do: {name} is version {known.number}, judged against version "
            f"{champion.number} before: {known.tags[OUTCOME]}"
        )
    return ""


def sentence(verdict: Verdict, name: str, champion: Version | None) -> str:
    """A verdict in a sentence."""
    against = f"version {champion.number}" if champion else "its original"
    if verdict.outcome == "PASSED":
        pi = [rule.words for rule in verdict.rules if rule.name == "pi_champion"]
        return ": ".join([f"PASSED: {name} against {against}", *pi])
    return f"{verdict.outcome}: {name} against {against}: it lacks {verdict.reasons}"


def _register(contest: Contest, name: str, label: str) -> Version:
    """Register a model of the workspace, with what it is worth by itself."""
    params, registry = contest.params, contest.registry
    record = dataclasses.replace(records.training(params, name), started=time.time())
    pipeline = records.pipeline_key(params)
    model, run = Sender(registry.tracker).keep_model(record, pipeline)
    tags = _origin_tags(params, name, registry.tracker.find_pipeline(pipeline) or "")
    weights = weights_of(contest.folders[label])
    version = registry.register(weights, model, run, tags)
    pi = contest.alone(label)["pi"]
    values = (f"{pi['value']:.6g}", f"{pi['low']:.6g}", f"{pi['high']:.6g}", reference(params))
    registry.note(version, dict(zip(PI_TAGS, values, strict=True)))
    return version


def _origin_tags(params: Params, name: str, pipeline: str) -> dict[str, str]:
    """Where a version comes from."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "src", "params.yaml", "dvc.yaml", "*.dvc"],
        capture_output=True,
        text=True,
        check=False,
    )
    tags = {
        "model": name,
        "git.commit": done.stdout.strip(),
        "git.changed": "yes" if changed.stdout.strip() else "no",
        "dvc.data": records.data_digest(params),
        "dvc.lock": files.sha256(Path("dvc.lock")) if Path("dvc.lock").is_file() else "",
        "params": files.sha256(Path("params.yaml")),
        "mlflow.pipeline_run": pipeline,
        "prefect.flow_run": os.environ.get(FLOW_RUN, ""),
    }
    return {key: value for key, value in tags.items() if value}


def _first_champion(contest: Contest) -> Version:
    """Make the challenger's original the first champion, with its own measured verdict."""
    params, registry = contest.params, contest.registry
    name = params.origin(gate_of(params).challenger)
    contest.folders["champion"] = MODELS / name
    version = _register(contest, name, "champion")
    content = {"outcome": FIRST, "models": {"champion": contest.alone("champion")}}
    tags = {OUTCOME: FIRST, CONTENT: files.json_text(content), "seed": str(contest.trial.seed)}
    registry.note(version, tags, model_card(params, name, content))
    registry.promote(version, None, who())
    return version


def _contend(contest: Contest, weights: Mapping[str, str]) -> Result:
    """Register the challenger with its verdict, and promote it where it passes."""
    params, registry, trial = contest.params, contest.registry, contest.trial
    gate = gate_of(params)
    version = _register(contest, gate.challenger, "challenger")

    def judge(champion: Version) -> Verdict:
        contest.meet(champion)
        return contest.judge()

    def note(champion: Version, verdict: Verdict) -> None:
        content = {**verdict.content(), "champion": champion.number, "seed": trial.seed}
        tags = {
            JUDGED: _key(params, {**weights, "champion": champion.weights}),
            OUTCOME: verdict.outcome,
            REASONS: verdict.reasons,
            CONTENT: files.json_text(content),
            "seed": str(trial.seed),
        }
        registry.note(version, tags, model_card(params, gate.challenger, content))

    verdict, met, promoted = settle(registry, version, judge, note, who())
    words = sentence(verdict, gate.challenger, met)
    if promoted:
        words += f"; version {version.number} is the champion"
    champion = version.number if promoted else met.number
    return Result(
        verdict.outcome, words, promoted, champion, version.number, trial.seed, verdict.content()
    )


def _write(params: Params, registry: Registry, result: Result) -> Result:
    """Write a result down, and put it into the description of the pipeline's run."""
    tracker, path = registry.tracker, GATE / "verdict.json"
    about = {"weights": weights_of(MODELS / gate_of(params).challenger)}  # what `show` goes by
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


def promote_by_hand(params: Params, number: int | None, by: str | None, why: str) -> str:
    """Make a version the champion, whatever the gate said; says what was done.

    Args:
        params: For the name of the model.
        number: Of the version; None is the newest.
        by: Who decides it; None is who is at work.
        why: The reason, which is kept with it.

    Raises:
        ParameterError: There is no such version or no reason.
        ServiceError: MLflow does not answer.
    """
    if not why.strip():
        raise ParameterError("--why: expected a reason, got none")
    registry = open_registry(gate_of(params))
    version = registry.override(number, by or who(), why)
    return f"version {version.number} of {registry.name} is the champion"


def roll_back(params: Params, by: str | None, why: str) -> str:
    """Make the previous champion champion again; says what was done.

    Raises:
        ParameterError: There is nothing to go back to.
        ServiceError: MLflow does not answer.
    """
    registry = open_registry(gate_of(params))
    left = registry.roll_back(by or who(), why)
    champion = registry.at(CHAMPION)
    number = champion.number if champion else None
    if left is None:
        return f"version {number} of {registry.name} is the champion already"
    return f"version {number} of {registry.name} is the champion again, {left.number} was left"
