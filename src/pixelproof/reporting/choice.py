"""The choice between recipes: tries on images that are cut from the training ones, and a rule.

A recipe that is chosen by the held-out images is proved by nothing. So each try is measured with
`select.validation`, and the rule is fixed before the tries are made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelproof.errors import DataError
from pixelproof.reporting.experiments import required
from pixelproof.reporting.wording import margin

MOST = 1 / 3  # of the control's errors


@dataclass(frozen=True)
class Try:
    """A recipe and what it came to.

    Attributes:
        name: Of the experiment.
        arm: The arm that the recipe makes.
        recipe: Its section of the parameters.
        summary: What `metrics/summary.json` holds of it.
    """

    name: str
    arm: str
    recipe: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def entry(self) -> Mapping[str, Any]:
        """What the summary says of its arm."""
        entry: Mapping[str, Any] = self.summary["models"][self.arm]
        return entry

    @property
    def rate(self) -> float:
        """How often it errs at the reference point."""
        return float(self.entry["error_rate"]["value"])

    @property
    def ratio(self) -> float:
        """Its errors at the reference point, as a share of the control's."""
        control = self.summary["models"][self.summary["control"]]["error_rate"]["value"]
        return self.rate / control if control else float("inf")

    @property
    def accuracy(self) -> float:
        """Its clean accuracy."""
        return float(self.entry["clean_accuracy"]["value"])

    @property
    def gain(self) -> float:
        """Its clean accuracy minus the original's."""
        return float(self.entry["cost"]["accuracy"]["versus_baseline"]["difference"])

    @property
    def attacked(self) -> float:
        """How much more often than the original the attack that is worst for it fools it."""
        attacks = self.entry["cost"]["attacks"].values()
        return max((float(attack["difference"]) for attack in attacks), default=0.0)

    def against(self) -> Iterator[str]:
        """The reasons that rule it out, in words."""
        allowed = self.summary["margins"]
        if self.ratio > MOST * (1 + 1e-9):  # a third exactly is not more than a third
            yield "errs more than a third as often as the control"
        if self.attacked >= allowed["attack"]:
            yield f"an attack fools it {margin(allowed['attack'])} or more above its original"
        if -self.gain >= allowed["accuracy"]:
            yield f"costs {margin(allowed['accuracy'])} of accuracy or more"
        if self.entry.get("masked_gradients"):
            yield "its gradients look masked"


def choose(tries: Sequence[Try]) -> Try | None:
    """Choose by the rule: of the tries that nothing rules out, the one with the best accuracy.

    Ruled out is what errs more than a third as often as the control at the reference point, what
    loses the gate's margin of accuracy against its original, what an attack on itself fools more
    often than its original by the gate's margin, and what seems to mask its gradients; all by the
    point estimates. Where two are equally accurate, the one with fewer errors is chosen.

    Args:
        tries: Of one search.

    Returns:
        The chosen one; None where all are ruled out.

    Raises:
        DataError: The tries are not of one search, or too few images were measured.
    """
    for one in tries:
        _check(one, tries[0])
    left = [one for one in tries if not any(one.against())]
    return max(left, key=lambda one: (one.accuracy, -one.ratio), default=None)


def _check(one: Try, first: Try) -> None:
    summary = one.summary
    if not summary.get("validation"):
        raise DataError(
            f"{one.name}: expected a try on images cut from the training ones, got one on the "
            "held-out images; set select.validation, so that the choice does not see them"
        )
    if "cost" not in summary["models"].get(one.arm, {}):
        raise DataError(f"{one.name}: expected figures of the arm {one.arm}, got none")
    if summary.get("control") is None:
        raise DataError(f"{one.name}: expected a control (compare.control), got none")
    for key in ("validation", "reference"):
        if summary[key] != first.summary[key]:
            raise DataError(
                f"{one.name}: expected the {key} of {first.name}, {first.summary[key]}, got "
                f"{summary[key]}; choose among tries of one search"
            )
    made = {attack["experiment"] for attack in one.entry["cost"]["attacks"].values()}
    if missing := [name for name in required() if name not in made]:
        raise DataError(
            f"{one.name}: expected evaluate.{missing[0]}, by which a recipe may be ruled out, got "
            "none"
        )
    images = [other.summary["made_from"]["data"]["content"] for other in (one, first)]
    if images[0] != images[1]:
        raise DataError(f"{one.name}: expected the images of {first.name}, got others")
    wanted = summary["margins"]["images"]
    if summary["common_images"] < wanted:
        raise DataError(
            f"{one.name}: expected at least {wanted} images that all models get right "
            f"(gate.images), got {summary['common_images']}; raise select.validation"
        )


COLUMNS = ("try", "recipe", "accuracy %", "minus original", "wrong %", "of control", "attack", "")


def rows(tries: Sequence[Try], chosen: Try | None) -> list[list[str]]:
    """A line a try, the head first: what it is, what it came to, and what became of it."""
    lines = [list(COLUMNS)]
    for one in tries:
        said = "chosen" if one is chosen else "; ".join(one.against())
        lines.append(
            [
                one.name,
                in_short(one.recipe),
                f"{100 * one.accuracy:.1f}",
                f"{100 * one.gain:+.1f}",
                f"{100 * one.rate:.1f}",
                f"{one.ratio:.2f}",
                f"{100 * one.attacked:+.1f}",
                said,
            ]
        )
    return lines


def in_short(recipe: Mapping[str, Any]) -> str:
    """An arm's section as YAML in one line, as it is copied into `params.yaml`."""
    parts = []
    for key, value in recipe.items():
        words = in_short(value) if isinstance(value, Mapping) else _plain(value)
        parts.append(f"{key}: {words}")
    return f"{{{', '.join(parts)}}}"


def _plain(value: object) -> str:
    return "null" if value is None else str(value)
