"""What to do next, in commands, given the result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pixelproof.reporting.experiments import following, required
from pixelproof.reporting.verdict import Judgement, judgements


@dataclass(frozen=True)
class Step:
    """A suggestion: why, and the command, or the lines of `params.yaml`."""

    words: str
    command: str


def next_steps(summary: Mapping[str, Any]) -> list[Step]:
    """Suggested next steps, the most useful first.

    Args:
        summary: What `metrics/summary.json` holds.
    """
    judged = judgements(summary)
    if not judged:
        return [
            Step(
                "Harden a model: name an arm and its control under `finetune.arms` in params.yaml, "
                "and both under `models`.",
                "pixelproof profile list",
            )
        ]
    first, steps = judged[0], []
    for cause in first.causes:
        steps += list(_against(cause, first, summary))
    if first.answer == "take":
        steps += list(_take(first))
    other = next((judgement for judgement in judged[1:] if judgement.answer == "take"), None)
    if first.answer != "take" and other is not None:
        steps.append(
            Step(
                f"{other.model} stays within the margins; as it was picked by these very images, "
                "name it as the challenger and let fresh draws decide.",
                f"dvc exp run -S gate.challenger={other.model} && pixelproof gate",
            )
        )
    return steps


def _take(judgement: Judgement) -> Iterator[Step]:
    yield Step(
        "Have the gate judge it on fresh draws, and put it to use where it passes.",
        "pixelproof gate --promote",
    )
    yield Step(
        "Use it on images.",
        f"pixelproof predict artifacts/models/{judgement.model} IMAGE…",
    )


def _against(cause: str, judgement: Judgement, summary: Mapping[str, Any]) -> Iterator[Step]:
    """Steps against one of the reasons not to take a model."""
    if cause == "accuracy":
        yield Step(
            "Leave a share of the images unchanged in training: that costs less accuracy.",
            f"dvc exp run -S '+finetune.arms.{judgement.model}.mix=0.5'",
        )
        yield Step("Or train more gently.", "dvc exp run -S finetune.learning_rate=0.003")
    elif cause == "attack":
        yield Step(
            "Train on adversarial examples, too, which are made from the model as it stands.",
            f"dvc exp run -S '+finetune.arms.{judgement.model}.adversarial={{epsilon: 1}}'",
        )
        attack = summary["margins"]["attack"]
        yield Step(
            "Random pixels are no adversary. Where nobody can tamper with your images, allow more; "
            "where somebody can, keep the model in use.",
            f"dvc exp run -S gate.attack_margin={min(2 * attack, 0.9):g} && pixelproof gate",
        )
    elif cause == "nothing":
        point = summary["reference"]
        n = min(4 * point["n"], point["area"] ** 2)
        yield Step(
            "Ask for more: these models bear that many pixels.",
            f"dvc exp run -S 'evaluate.{point['experiment']}.n=[{point['n']},{n}]' "
            f"-S compare.reference.n={n}",
        )
    elif cause in ("images", "gain"):
        yield from _more_evidence(cause, judgement, summary)
    elif cause == "attacked":
        keys = " and ".join(f"`evaluate.{name}`" for name in required())
        yield Step(
            f"Measure the attacks: give {keys} their strengths in params.yaml, as "
            "`profiles/elpv.yaml` has them.",
            "dvc repro",
        )
    elif cause == "masking":
        yield Step(
            "Attack it without gradients and with more queries.",
            f"dvc exp run -S evaluate.{following('queries')[0]}.queries=500",
        )
    elif cause == "control":
        yield Step(
            "Add the control, the same fine-tuning on unchanged images: "
            "`clean: {baseline: …}` under `finetune.arms`, `clean` under `models` and as "
            "`compare.control` in params.yaml.",
            "dvc repro",
        )
    elif cause == "cost":
        yield Step("Compare the costs.", "dvc repro")


def _more_evidence(cause: str, judgement: Judgement, summary: Mapping[str, Any]) -> Iterator[Step]:
    """More images, more draws, and where nothing is gained another recipe."""
    folder = summary.get("made_from", {}).get("data", {}).get("path", "data")
    words = "Set more images: put them into their class folders."
    images = Step(words, f"dvc add {folder} && dvc repro")
    if cause == "images":
        yield images
        yield Step("Or hold out a larger share.", "dvc exp run -S select.held_out=0.5")
        return
    draws = summary["models"][judgement.model]["versus_baseline"]["draws"]
    yield Step(
        "Take more draws an image, which narrow the interval.",
        f"dvc exp run -S evaluate.draws={4 * draws}",
    )
    yield images
    yield Step(
        "Or harden longer, or on more pixels.",
        "dvc exp run -S finetune.epochs=6 "
        f"-S finetune.arms.{judgement.model}.n={summary['reference']['n']}",
    )
