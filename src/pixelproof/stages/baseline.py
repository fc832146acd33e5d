"""Take an original classifier as it is, or fine-tune it on the unchanged training images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pixelproof.data.image_set import load_images
from pixelproof.data.seen import declared_images
from pixelproof.models.baseline import open_classifier
from pixelproof.models.check import try_network
from pixelproof.models.checkpoints import Checkpoint
from pixelproof.models.devices import find_device, room_for
from pixelproof.models.metadata import DECLARED, seen_images
from pixelproof.models.recipe import Recipe
from pixelproof.models.training import check_places, fine_tune, store_model
from pixelproof.params.baselines import Baseline
from pixelproof.params.compute import Compute
from pixelproof.params.select import Select
from pixelproof.paths import CHECKPOINTS, IMAGES, MODELS
from pixelproof.system.progress import say


def run(
    *,
    select: Select,
    baselines: Mapping[str, Baseline],
    compute: Compute,
    check_classes: Callable[[Sequence[str]], None],
    name: str,
) -> None:
    """Write `artifacts/models/NAME/` and `plots/curves/NAME.csv`."""
    baseline = baselines[name]
    images = load_images(IMAGES, "train", select)
    check_classes(images.classes)
    classifier = open_classifier(baseline, images.classes, name, say)
    classifier.side, classifier.fit = select.side, select.fit
    try_network(classifier, select.side, name)
    origin = Path(baseline.classifier)
    seen = set(seen_images(origin)) if (origin / "classifier.json").is_file() else set()
    if baseline.seen is not None:
        seen |= declared_images(baseline.seen, select)
        classifier.source = {**classifier.source, "seen": DECLARED}
    recipe = Recipe(baseline.epochs, baseline.learning_rate, baseline.batch_size, baseline.seed)
    checkpoint = Checkpoint(CHECKPOINTS / name, recipe, classifier, images, None)
    check_places(MODELS / name, checkpoint)
    curve = []
    if baseline.epochs:
        device = find_device(compute.device)
        with room_for(f"baselines.{name}.batch_size", baseline.batch_size):
            label = f"baseline {name}"
            curve = fine_tune(classifier, images, None, recipe, label, checkpoint, device)
        seen.update(images.ids.tolist())
    store_model(MODELS / name, classifier, seen, curve)
    checkpoint.remove()
