"""Models that hide their gradient, planted, and one that does not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.boundary import boundary_distance
from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.core.attacks.iterated_fgsm import iterated_fgsm
from pixelproof.core.attacks.pgd import pgd
from pixelproof.core.attacks.square import square_attack
from pixelproof.evaluation.ledger import LedgerWriter
from pixelproof.params.project import Params, parse_params
from pixelproof.promotion.rules import gradients_there
from pixelproof.reporting.boundary import boundary
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gradient_masking import gradient_checks, masked
from pixelproof.reporting.results import results
from pixelproof.reporting.rows import common_images

SIDE, COUNT, EPSILONS, STEPS, QUERIES = 8, 80, (2, 4), 5, 100
IDS = np.arange(COUNT, dtype=np.uint64)
BENDS = 40.0


class Honest(nn.Module):
    """Two classes: which half is the brighter one."""

    scale = 100.0

    def forward(self, images: Tensor) -> Tensor:
        left, right = images[..., : SIDE // 2], images[..., SIDE // 2 :]
        gap = self.scale * (left.mean(dim=(1, 2, 3)) - right.mean(dim=(1, 2, 3)))
        return torch.stack([gap, -gap], dim=1)


class Saturated(Honest):
    """The same decisions; the loss is zero, and so is its gradient."""

    scale = 1e6


class Quantised(Honest):
    """The same decisions; the input is rounded to 8 bits, which has no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 255).round() / 255)


class Shattered(Honest):
    """The same decisions; the gap is bent so steeply that its gradient points anywhere."""

    def forward(self, images: Tensor) -> Tensor:
        gap = super().forward(images)[:, 0]
        bent = gap + 4 / BENDS * torch.sin(BENDS * gap)  # of the sign of the gap
        return torch.stack([bent, -bent], dim=1)


class Randomised(Honest):
    """Nearly the same decisions; the answer to the same image is another each time."""

    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        return found + 0.05 * torch.randn(found.shape)


def ledger(
    model: nn.Module, images: Tensor, labels: Tensor, borrowed: Tensor, probed: bool
) -> pd.DataFrame:
    writer = LedgerWriter(["left", "right"])
    names = np.array([f"{at:016x}" for at in range(COUNT)], dtype=object)
    truth = np.array(["left", "right"], dtype=object)[labels.numpy()]

    def add(experiment: str, examples: Tensor, **setting: object) -> None:
        with torch.no_grad():
            logits = model(examples.float() / 255)
        found, gap = logits.argmax(dim=1).numpy(), logits[:, 0].numpy()
        writer.add(experiment, names, truth, found, gap, split="held_out", draw=0, **setting)

    add("clean", images, n=0)
    add("transfer_fgsm", borrowed, epsilon=EPSILONS[0], steps=1)
    add("stuck", images, n=4, values="stuck", area=SIDE)
    for epsilon in EPSILONS:
        add("whitebox_fgsm", fgsm(model, images, labels, epsilon), epsilon=epsilon, steps=1)
        found = iterated_fgsm(model, images, labels, epsilon, STEPS)
        add("whitebox_iterated", found, epsilon=epsilon, steps=STEPS)
        found = square_attack(model, images, labels, IDS, epsilon, QUERIES)
        add("gradient_free", found, epsilon=epsilon, steps=QUERIES)
    if probed:
        for lender in ("champion", "control"):
            honest = Honest().eval()
            lent = iterated_fgsm(honest, images, labels, EPSILONS[0], STEPS, strongest=True)
            add(f"transfer_{lender}", lent, epsilon=EPSILONS[0], steps=STEPS)
        found = pgd(model, images, labels, IDS, EPSILONS[0], STEPS, restarts=5)
        add("pgd:restarts", found, epsilon=EPSILONS[0], steps=STEPS)
        add("bim:unbounded", iterated_fgsm(model, images, labels, 128, 40), epsilon=128, steps=40)
        add("repeated", images, n=0)
    distance = boundary_distance(model, images, labels).numpy()
    predicted = labels.numpy()
    writer.add("boundary", names, truth, predicted, distance, split="held_out", n=0, draw=0)
    return writer.table()


def params() -> Params:
    return parse_params(
        {
            "select": {"side": SIDE},
            "baselines": {"base": {"classifier": "efficientnet_lite0"}},
            "finetune": {"arms": {"clean": {"baseline": "base"}, "hard": {"baseline": "base"}}},
            "models": {
                "base": {"origin": "base"},
                "clean": {"origin": "base"},
                "hard": {"origin": "base"},
            },
            "attack": {"epsilon": EPSILONS[0]},
            "evaluate": {"draws": 1, "stuck": {"n": [4]}},
            "compare": {"reference": {"experiment": "stuck", "n": 4}, "resamples": 1000},
        }
    )


def compared(make: Callable[[], nn.Module]) -> Comparison:
    """Three models, the last of which is planted."""
    torch.manual_seed(0)
    images = torch.randint(100, 156, (COUNT, 3, SIDE, SIDE), dtype=torch.uint8)
    labels = (Honest()(images.float() / 255).argmax(dim=1)).to(torch.int64)
    images[labels == 0, :, :, : SIDE // 2] += 1  # so that all are right by a little more
    images[labels == 1, :, :, SIDE // 2 :] += 1
    borrowed = fgsm(Honest().eval(), images, labels, EPSILONS[0])
    models = {"base": Honest(), "clean": Honest(), "hard": make()}
    settings = params()
    ledgers = {
        name: ledger(model.eval(), images, labels, borrowed, name == "hard")
        for name, model in models.items()
    }
    common = common_images(ledgers)
    table, far = results(ledgers, common, SIDE), boundary(ledgers, common, settings)
    return Comparison(settings, ledgers, common, table, far, {})


def flags(make: Callable[[], nn.Module]) -> dict[str, list[str]]:
    """What is held against each of the three models."""
    comparison = compared(make)
    checks = gradient_checks(comparison)
    return {name: masked(checks, name) for name in comparison.ledgers}


def test_an_honest_model_has_nothing_held_against_it() -> None:
    assert flags(Honest) == {"base": [], "clean": [], "hard": []}


def test_an_attack_that_has_not_converged_is_told_but_hides_nothing() -> None:
    comparison = compared(Honest)
    strong = comparison.ledgers["hard"]
    strong = strong[strong["experiment"] != "whitebox_fgsm"]  # which two steps must not fall below
    weak = strong.copy()
    chosen = weak["experiment"] == "whitebox_iterated"
    weak.loc[chosen, "steps"] = 2
    weak.loc[chosen, "prediction"] = weak.loc[chosen, "label"]  # fools none in two steps
    both = pd.concat([strong, weak[chosen]], ignore_index=True)
    ledgers = {**comparison.ledgers, "hard": both}
    table = results(ledgers, comparison.common, SIDE)
    checks = gradient_checks(replace(comparison, ledgers=ledgers, table=table))
    failed = [(one.words, one.about) for one in checks if not one.holds]
    assert failed == [
        (f"{STEPS} steps fool no more than 2, at epsilon {epsilon}", "convergence")
        for epsilon in EPSILONS
    ]
    assert masked(checks, "hard") == []


@pytest.mark.parametrize("planted", [Saturated, Quantised])
def test_a_hidden_gradient_is_noticed(planted: Callable[[], nn.Module]) -> None:
    found = flags(planted)
    assert found["base"] == found["clean"] == []
    assert "its own examples fool no fewer than its original's, at epsilon 2" in found["hard"]
    for epsilon in EPSILONS:
        words = f"{QUERIES} queries without a gradient fool no more than {STEPS} steps"
        assert f"{words}, at epsilon {epsilon}" in found["hard"]
    assert ("no image has a gradient of zero" in found["hard"]) == (planted is Quantised)


PLANTED: dict[Callable[[], nn.Module], str] = {
    Saturated: "40 steps at epsilon 128 fool at least 95 %",
    Quantised: "no image has a gradient of zero",
    Shattered: "40 steps at epsilon 128 fool at least 95 %",
    Randomised: "it answers the same when it is asked again",
}


@pytest.mark.parametrize("make", [Honest, *PLANTED])
def test_the_gate_takes_none_that_hides_its_gradient(make: Callable[[], nn.Module]) -> None:
    comparison = compared(make)
    rule = gradients_there(
        {
            "champion": comparison.ledgers["base"],
            "control": comparison.ledgers["clean"],
            "challenger": comparison.ledgers["hard"],
        },
        comparison.common,
        comparison.params,
    )
    assert rule.holds == (make is Honest), rule.words
    assert PLANTED.get(make, "") in rule.words


def test_a_shattered_gradient_is_seen_by_each_of_its_signs() -> None:
    held = flags(Shattered)["hard"]
    steps, weak = STEPS, EPSILONS[0]
    for lender in ("champion", "control"):
        words = f"its own examples fool no fewer than the {lender}'s, in {steps} steps at epsilon"
        assert f"{words} {weak}" in held
    starts = "random starts fool at most 5 points more than none"
    assert f"{starts}, in {steps} steps at epsilon {weak}" in held
