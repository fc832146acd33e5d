"""What a result means for a person: the gain of hardening, its cost, and whether to take it.

Made from `metrics/summary.json` alone, so that the page, the terminal, MLflow and a flow say the
same. The cost is compared with the gate's margins; the gate itself judges on fresh draws.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pixelproof.reporting.experiments import described, required
from pixelproof.reporting.repetitions import method_words
from pixelproof.reporting.wording import bounded_percent, margin, percent, points, reference

Answer = Literal["take", "do not take", "too little evidence", "no control"]
Entry = Mapping[str, Any]
Summary = Mapping[str, Any]
LEVEL = 0.05
OTHERS = 4  # hardened models beside the first that the verdict names


@dataclass(frozen=True)
class Judgement:
    """The judgement of a hardened model.

    Attributes:
        model: Its name.
        answer: Whether to take it.
        gain: What it gains, in words.
        cost: What it costs, in words.
        why: What the answer rests on, in words.
        causes: The reasons against it: gain, nothing, accuracy, attack, masking, images, attacked,
            control, cost.
    """

    model: str
    answer: Answer
    gain: str
    cost: str
    why: str
    causes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The whole judgement in one sentence."""
        head = {
            "take": f"Take {self.model}",
            "do not take": f"Do not take {self.model}",
            "too little evidence": f"Too little evidence to take {self.model}",
            "no control": f"No answer for {self.model}",
        }[self.answer]
        return f"{head}: {self.gain}; {self.cost}. {self.why}"


def hardened(summary: Summary) -> list[str]:
    """The hardened models, the one that the gate is about first."""
    models = summary["models"]
    names = [name for name, entry in models.items() if "cost" in entry]
    if "margins" not in summary:  # of a version that did not compare costs
        names = [name for name, entry in models.items() if {*entry} >= {*_PAIR}]
    first = summary.get("margins", {}).get("challenger")
    return sorted(names, key=lambda name: name != first)


_PAIR = ("versus_baseline", "versus_control")


def judge(summary: Summary, model: str) -> Judgement:
    """Judge a hardened model by its gain over the control and the gate's margins."""
    entry = summary["models"][model]
    gains = _gains(summary, entry)
    margins, cost = summary.get("margins", {}), entry.get("cost", {})
    lacks = dict(_lacks(summary, cost))
    against = dict(_against(entry, cost, margins))
    if not gains:
        against = _no_gain(summary, entry) | against
    answer: Answer = "take"
    if "versus_control" not in entry:
        answer, lacks = "no control", {}
        against = {"control": "without a control nothing says what is the merit of the pixels"}
    elif lacks:
        answer, against = "too little evidence", lacks
    elif against:
        answer = "do not take"
    allowed = _allowed(margins)
    words = "; ".join(against.values())
    if answer == "take":
        words = f"the cost lies within {allowed}"
    return Judgement(
        model,
        answer,
        _gain_words(summary, model),
        _cost_words(summary, model),
        f"{words[:1].upper()}{words[1:]}.",
        tuple(against),
    )


def _gains(summary: Summary, entry: Entry) -> bool:
    """Whether it errs less than the control and the original, beyond chance."""
    pair = [entry[key] for key in _PAIR if key in entry]
    certain = [gap["high"] < 0 and gap.get("p_value_holm", gap["p_value"]) <= LEVEL for gap in pair]
    return bool(certain) and all(certain)


def _no_gain(summary: Summary, entry: Entry) -> dict[str, str]:
    if any(entry[key]["low"] > 0 for key in _PAIR if key in entry):
        return {"gain": "there is a loss instead of a gain"}
    if not any(model["error_rate"]["value"] for model in summary["models"].values()):
        return {"nothing": "no prediction flips here, so there is nothing to gain"}
    return {"gain": "there is no certain gain"}


def _allowed(margins: Entry) -> str:
    accuracy, attack = (margins.get(key, 0) for key in ("accuracy", "attack"))
    return f"the gate's margins ({margin(accuracy)} of accuracy, {100 * attack:g} of attacks)"


def _lacks(summary: Summary, cost: Entry) -> Iterator[tuple[str, str]]:
    """What is missing before the gate's margins can be applied."""
    margins = summary.get("margins")
    if margins is None:
        yield "cost", "what it costs was not compared when this was made: run `dvc repro`"
        return
    images = summary["common_images"]
    if images < margins["images"]:
        wanted = margins["images"]
        yield "images", f"all models get {images} images right, where the gate wants {wanted}"
    for key, gaps in (("accuracy", cost["accuracy"]), ("attack", cost["attacks"])):
        few = [gap["images"] for gap in gaps.values() if gap["tellable"] >= margins[key]]
        if few:
            yield "images", f"{min(few)} images cannot tell {margin(margins[key])} of {key}"
    made = {attack["experiment"] for attack in cost["attacks"].values()}
    missing = [f"`evaluate.{name}`" for name in required() if name not in made]
    if missing:
        yield "attacked", f"attacks on the model itself were not measured ({', '.join(missing)})"


def _against(entry: Entry, cost: Entry, margins: Entry) -> Iterator[tuple[str, str]]:
    """The reasons against a model, by the margins of the gate."""
    accuracy = [gap for gap in cost.get("accuracy", {}).values() if _beyond(gap, margins)]
    if accuracy:
        worst = min(accuracy, key=lambda gap: gap["difference"])
        allowed = f"{margin(margins['accuracy'])} of accuracy that the gate allows"
        certain = worst["high"] < -margins["accuracy"]
        yield (
            "accuracy",
            f"it costs more than the {allowed}"
            if certain
            else f"it is not certain that it costs less than the {allowed}",
        )
    attacks = cost.get("attacks", {}).values()
    if attacks:
        worst = max(attacks, key=lambda attack: attack["high"])
        if worst["high"] >= margins["attack"]:
            allowed = f"{margin(margins['attack'])} more often, as the gate allows"
            certain = worst["low"] > margins["attack"]
            yield (
                "attack",
                f"attacks fool it more than {allowed}"
                if certain
                else f"it is not certain that attacks fool it less than {allowed}",
            )
    if entry.get("masked_gradients"):
        yield "masking", "its gradients look masked, so that attacks by gradient prove nothing"


def _beyond(gap: Entry, margins: Entry) -> bool:
    return bool(gap["low"] <= -margins["accuracy"])


def _gain_words(summary: Summary, model: str) -> str:
    entry, control = summary["models"][model], summary["control"]
    key = "versus_control" if "versus_control" in entry else "versus_baseline"
    gap = entry[key]
    other, name = "its original", ""
    if key == "versus_control":
        other, name = f"its control {control}", str(control)
    rate = entry["error_rate"]["value"]
    than = summary["models"][name]["error_rate"]["value"] if name else rate - gap["difference"]
    rates = f"{percent(rate)} against {percent(than)}, {points(gap)} points"
    if gap["high"] < 0:
        words = f"errs {rate / than:.2f} times as often as {other}"
    elif gap["low"] > 0:
        words = f"errs more often than {other}"
    else:
        words = f"cannot be told apart from {other}"
    also = entry["versus_baseline"]
    if key == "versus_control" and gap["high"] < 0 <= also["high"]:
        words += f" but cannot be told apart from its original ({points(also)} points)"
    images = f"on {gap['images']} images"
    return f"with {reference(summary)}, {images}, it {words} ({rates})"


def _cost_words(summary: Summary, model: str) -> str:
    cost, models = summary["models"][model].get("cost"), summary["models"]
    right = percent(models[model]["clean_accuracy"]["value"])
    if not cost:
        return f"of unchanged images it gets {right} right"
    accuracy = cost["accuracy"]
    original = models[model]["clean_accuracy"]["value"] - accuracy["versus_baseline"]["difference"]
    beside = f"its original {percent(original)}"
    if "versus_control" in accuracy:
        beside += f", its control {percent(models[summary['control']]['clean_accuracy']['value'])}"
    words = f"of unchanged images it gets {right} right ({beside})"
    worst = min(accuracy.values(), key=lambda gap: gap["difference"])
    if any(gap["high"] < 0 for gap in accuracy.values()):
        words += f", a cost of {_plain(-worst['difference'])}"
    elif any(_beyond(gap, summary["margins"]) for gap in accuracy.values()):
        words += f", a cost of {_plain(max(0.0, -worst['difference']))} that may be chance"
    else:
        words += ", no measurable cost"
    return f"{words}; {_attack_words(cost['attacks'])}"


def _plain(gap: float) -> str:
    return f"{100 * gap:.1f} points"


def _attack_words(attacks: Mapping[str, Entry]) -> str:
    if not attacks:
        return "attacks on itself were not measured"
    more = [attack for attack in attacks.values() if attack["low"] > 0]
    if not more:
        return "attacks on itself fool it no more often than its original"
    worst = max(more, key=lambda attack: attack["difference"])
    how = described(worst["experiment"]).sentence.format_map(worst)
    if worst.get("epsilon"):
        how += f" of {worst['epsilon']}/255"
    rates = f"{percent(worst['rate'])} against {percent(worst['other'])}"
    return (
        f"{how} on itself fools it {_plain(worst['difference'])} more "
        f"often than its original ({rates})"
    )


def judgements(summary: Summary) -> list[Judgement]:
    """The judgements of the hardened models, the gate's challenger first."""
    return [judge(summary, name) for name in hardened(summary)]


def _in_short(summary: Summary, judgement: Judgement) -> str:
    entry = summary["models"][judgement.model]
    key = "versus_control" if "versus_control" in entry else "versus_baseline"
    return f"{judgement.model} {points(entry[key])} points of errors: {judgement.answer}"


def verdict(summary: Summary) -> str:
    """What the result means: gain, cost and answer of the first hardened model, then the others."""
    return " ".join([*spared(summary), _verdict(summary), *_method(summary)])


def spared(summary: Summary) -> list[str]:
    """That images cut from the training ones were measured; empty where held-out ones were."""
    share = summary.get("validation")
    words = (
        f"A choice, and no proof: measured on {percent(share or 0)} of the training images, cut "
        "off by select.validation; the held-out ones are spared."
    )
    return [words] if share else []


def _method(summary: Summary) -> list[str]:
    """What can be said of the method: nothing by one training seed."""
    if summary.get("methods") or not hardened(summary):
        return method_words(summary)
    return ["One training seed: this is said of these models, not of the method."]


def _verdict(summary: Summary) -> str:
    judged = judgements(summary)
    if not judged:
        rates = [f"{m} errs on {bounded_percent(e['error_rate'])} %" for m, e in _models(summary)]
        return (
            f"With {reference(summary)}, on {summary['common_images']} images that all models get "
            f"right unchanged: {'; '.join(rates)}. No model was hardened, so there is none to take."
        )
    others = [_in_short(summary, judgement) for judgement in judged[1 : 1 + OTHERS]]
    if len(judged) > 1 + OTHERS:
        others.append(f"and {len(judged) - 1 - OTHERS} more")
    beside = f" Beside it: {'; '.join(others)}." if others else ""
    return f"{judged[0].sentence}{beside}"


def _models(summary: Summary) -> list[tuple[str, Entry]]:
    return list(summary["models"].items())
