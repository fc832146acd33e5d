"""From trained models to a champion: fresh draws, a ledger a model, the gate, the registry.

This runs after the pipeline and outside DVC, because it changes something outside the repository.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping

from pixelproof.errors import DataError
from pixelproof.params.project import Params
from pixelproof.paths import IMAGES, MODELS
from pixelproof.promotion.actor import FLOW_RUN, who
from pixelproof.promotion.contestants import Contestants
from pixelproof.promotion.fresh_draws import Trial, gate_of, weights_of
from pixelproof.promotion.gate import Verdict, worth_a_look
from pixelproof.promotion.model_card import model_card
from pixelproof.promotion.outcome import FIRST, NOTHING, Result, sentence, write_result
from pixelproof.promotion.registration import register
from pixelproof.promotion.registry import Registry, open_registry
from pixelproof.promotion.version import (
    CHAMPION,
    CONTENT,
    FROM,
    JUDGED,
    OUTCOME,
    REASONS,
    REFUSED,
    Version,
)
from pixelproof.system import files


def _seed(weights: Mapping[str, str]) -> int:
    """The seed of the fresh draws: new for each challenger, and nobody can choose it.

    It depends only on the weights and the images: another try, or another setting, gives no
    second chance.
    """
    manifest = files.read_json(IMAGES / "manifest.json")
    content = [dict(weights), manifest["splits"]["held_out"]["sha256"]]
    return int(files.content_hash(content)[:15], 16)


def _key(params: Params, weights: Mapping[str, str]) -> str:
    """A hash of what a judgement depends on: weights, images and parameters."""
    manifest = files.read_json(IMAGES / "manifest.json")
    sections = (params.evaluate, params.compare, params.generate)
    asked = [dataclasses.asdict(section) for section in sections]
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
        note: Is called with each verdict before it takes effect.
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


def run_gate(params: Params, promote: bool, tell: Callable[[str], object]) -> Result:
    """Judge the challenger against the champion and its control; promote it where it passes.

    Without a champion the challenger's original becomes the first one.

    Args:
        params: Of the project, whose pipeline has gone through.
        promote: Register and promote; else only say what would be.
        tell: Is told, before anything is measured, which look it is and what power is left.

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
    _check_alias(registry, champion)
    if champion and promote:
        registry.promote(champion, champion, who())  # completes what an interrupted try has begun
    result = _known_result(params, registry, weights, champion) if champion else None
    if result is None:
        contest = Contestants(params, registry, folders, Trial(params, _seed(weights)))
        contest.meet(champion)
        result = _not_worth_it(contest, tell)
        if result is None:
            result = _contend(contest, weights) if promote else _dry_run(contest)
    return write_result(params, registry, result)


def _known_result(
    params: Params, registry: Registry, weights: Mapping[str, str], champion: Version
) -> Result | None:
    """The result where there is nothing to measure; None where there is."""
    name = gate_of(params).challenger
    known = registry.with_weights(weights["challenger"])
    if _promoted_here(champion, weights):
        return _repeated(champion, name)
    if reason := _nothing_to_do(params, weights, known, champion):
        number = known.number if known else None
        return Result(NOTHING, reason, False, champion.number, number)
    return None


def _check_alias(registry: Registry, champion: Version | None) -> None:
    """Take no lost alias for a first run, which would put the original in its place.

    Raises:
        DataError: There has been a champion, and there is none.
    """
    if champion is None and any(version.tags.get(FROM) for version in registry.versions()):
        raise DataError(
            f"{registry.name}: expected the alias {CHAMPION}, which is gone; say which version it "
            "is with `pixelproof promote NUMBER --why …`"
        )


def _promoted_here(champion: Version, weights: Mapping[str, str]) -> bool:
    """Whether an earlier try of this very flow run has promoted the challenger."""
    ours = FLOW_RUN in os.environ and champion.tags.get("promoted.by") == who()
    return ours and champion.weights == weights["challenger"]


def _repeated(champion: Version, name: str) -> Result:
    """The result of an attempt that died after promoting."""
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


def _not_worth_it(contest: Contestants, tell: Callable[[str], object]) -> Result | None:
    """The result where too little power is left to measure for; None where there is enough."""
    gate, champion = gate_of(contest.params), contest.champion
    rule = worth_a_look(contest.look(), gate)
    tell(rule.words)
    if rule.holds:
        return None
    verdict = Verdict("NOT ENOUGH EVIDENCE", (rule,), (), {})
    words = sentence(verdict, gate.challenger, champion)
    number = champion.number if champion else None
    return Result(verdict.outcome, words, False, number, verdict=verdict.content())


def _dry_run(contest: Contestants) -> Result:
    """Judge the challenger, and register and promote nothing; the look counts all the same."""
    champion = contest.champion
    verdict = contest.judge()
    words = sentence(verdict, gate_of(contest.params).challenger, champion)
    words += " (a dry run: nothing was promoted)"
    number, seed = champion.number if champion else None, contest.trial.seed
    return Result(verdict.outcome, words, False, number, None, seed, verdict.content())


def _first_champion(contest: Contestants) -> None:
    """Make the challenger's original the first champion, with its own measured verdict."""
    params, registry = contest.params, contest.registry
    name = params.origin(gate_of(params).challenger)
    alone = contest.alone("champion")
    version = register(params, registry, name, alone["pi"])
    content = {"outcome": FIRST, "models": {"champion": alone}}
    tags = {OUTCOME: FIRST, CONTENT: files.json_text(content), "seed": str(contest.trial.seed)}
    registry.note(version, tags, model_card(params, name, content))
    registry.promote(version, None, who())


def _contend(contest: Contestants, weights: Mapping[str, str]) -> Result:
    """Register the challenger with its verdict, and promote it where it passes."""
    params, registry, trial = contest.params, contest.registry, contest.trial
    if contest.champion is None:
        _first_champion(contest)
    name = gate_of(params).challenger
    version = register(params, registry, name, contest.alone("challenger")["pi"])

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
        registry.note(version, tags, model_card(params, name, content))

    verdict, met, promoted = settle(registry, version, judge, note, who())
    words = sentence(verdict, name, met)
    if promoted:
        words += f"; version {version.number} is the champion"
    number = version.number if promoted else met.number
    content = verdict.content()
    return Result(verdict.outcome, words, promoted, number, version.number, trial.seed, content)
