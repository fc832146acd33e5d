"""Small-scale retraining (Section 6.2): one classifier an arm, the controls among them."""

from collections.abc import Callable, Sequence

from pixelproof.data.drawn_changes import load_change_set
from pixelproof.data.image_set import load_images
from pixelproof.models.attacked_images import Attacks
from pixelproof.models.checkpoints import Checkpoint
from pixelproof.models.devices import find_device, room_for
from pixelproof.models.loading import load_classifier
from pixelproof.models.metadata import seen_images
from pixelproof.models.recipe import Recipe
from pixelproof.models.training import check_places, fine_tune, store_model
from pixelproof.params.compute import Compute
from pixelproof.params.finetune import Finetune
from pixelproof.params.select import Select
from pixelproof.paths import CHANGES, CHECKPOINTS, IMAGES, MODELS


def run(
    *,
    select: Select,
    finetune: Finetune,
    compute: Compute,
    check_classes: Callable[[Sequence[str]], None],
    name: str,
) -> None:
    """Write `artifacts/models/ARM/` and `plots/curves/ARM.csv`."""
    arm = finetune.arms[name]
    images = load_images(IMAGES, "train", select)
    check_classes(images.classes)
    origin = MODELS / arm.baseline
    classifier = load_classifier(origin)
    changes = load_change_set(CHANGES / "train", name, images) if arm.n else None
    recipe = Recipe(
        finetune.epochs,
        finetune.learning_rate,
        finetune.batch_size,
        finetune.seed if arm.seed is None else arm.seed,
        n=arm.n,
        mix=arm.mix,
        fresh=finetune.fresh,
        train=arm.train,
        augment=arm.augment,
        adversarial=arm.adversarial,
        worst=arm.worst,
        values=arm.values,
        area=arm.area,
    )
    checkpoint = Checkpoint(CHECKPOINTS / name, recipe, classifier, images, changes)
    check_places(MODELS / name, checkpoint)
    attacks = Attacks(classifier, images.ids, recipe) if recipe.attacked else None
    device = find_device(compute.device)
    with room_for("finetune.batch_size", finetune.batch_size):
        label = f"finetune {name}"
        curve = fine_tune(classifier, images, changes, recipe, label, checkpoint, device, attacks)
    seen = {*seen_images(origin), *images.ids.tolist()}
    store_model(MODELS / name, classifier, seen, curve)
    checkpoint.remove()
