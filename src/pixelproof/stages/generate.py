"""Draw the small-distance samples that the arms train on and that all models are tested on."""

from pixelproof.data.drawn_changes import Wanted, draws_name, write_change_set
from pixelproof.data.image_set import load_images
from pixelproof.params.evaluate import Evaluate
from pixelproof.params.finetune import Finetune
from pixelproof.params.generate import Generate
from pixelproof.params.select import Select
from pixelproof.paths import CHANGES, IMAGES
from pixelproof.system.progress import progress


def train_draws(finetune: Finetune) -> dict[str, Wanted]:
    """What each arm trains on: a draw an epoch, or one.

    Each arm has a file of its own, so that a change to one arm leaves the others' inputs as
    they are; arms with the same values and area still share their draws, which are nested.
    """
    return {
        name: Wanted(arm.values, arm.area, arm.n, finetune.train_draws)
        for name, arm in finetune.arms.items()
    }


def test_draws(evaluate: Evaluate, side: int) -> dict[str, Wanted]:
    """What the experiments test on: one entry for each (values, area), nested to the largest n."""
    settings = [(grid.values, grid.area, max(grid.n)) for grid in evaluate.grids(side)]
    adversarial = evaluate.adversarial_pixels
    if adversarial:
        settings.append(("full", None, max(adversarial.n)))
    return _nested(settings, evaluate.draws)


def paper_draws(evaluate: Evaluate, side: int) -> dict[str, Wanted]:
    """What the protocol `paper` tests on: other draws of the training images."""
    settings = [(grid.values, grid.area, max(grid.n)) for grid in evaluate.paper_grids(side)]
    return _nested(settings, evaluate.draws)


def _nested(settings: list[tuple[str, int | None, int]], draws: int) -> dict[str, Wanted]:
    wanted: dict[str, Wanted] = {}
    for values, area, n in settings:
        name = draws_name(values, area)
        known = wanted[name].n if name in wanted else 0
        wanted[name] = Wanted(values, area, max(known, n), draws)
    return wanted


def run(*, select: Select, generate: Generate, finetune: Finetune, evaluate: Evaluate) -> None:
    """Write `artifacts/changes/train/` and `artifacts/changes/test/`."""
    side = select.side
    parts = [
        ("train", "train", train_draws(finetune), generate.seed),
        ("test", "held_out", test_draws(evaluate, side), generate.test_seed),
    ]
    if evaluate.paper_grids(side):
        parts.append(("test/paper", "train", paper_draws(evaluate, side), generate.test_seed))
    for name, split, wanted, seed in parts:
        images = load_images(IMAGES, split, select)
        total = len(images.ids) * len(wanted)
        with progress(total, f"generate {name}") as update:
            write_change_set(CHANGES / name, wanted, images, generate, seed, update)
