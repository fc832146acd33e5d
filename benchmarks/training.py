"""Fine-tuning, beside a plain loop.

    python -m benchmarks.training        a minute or two

The loop is written after torchvision's reference (`references/classification/train.py`): a
DataLoader, and the loss and the accuracy of each batch kept. It gets the same network, the same
batches in the same order and the same precision; in NCHW, as the reference has it, and in the
channels-last memory of ours as well. There both must end in the same weights, bit for bit.
EfficientNet-Lite0 at 128 px, random weights. One thread, processor time.
"""

from pixelproof.system.tuning import keep_memory

keep_memory()  # as each stage does

from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain_network import PlainNetwork
from benchmarks.rounds import record, require_same, take_turns, times_as_fast
from pixelproof.data.image_set import ImageSet
from pixelproof.models import training
from pixelproof.models.baseline import open_classifier
from pixelproof.models.classifier import Classifier
from pixelproof.models.recipe import Recipe
from pixelproof.params.baselines import Baseline

COUNT, SIDE, ROUNDS = 128, 128, 7
RECIPE = Recipe(epochs=1, learning_rate=0.01, batch_size=16, seed=1)


def plain_loop(model: nn.Module, images: ImageSet) -> None:
    """Train for an epoch."""
    batches = training._batches(COUNT, RECIPE, 0)
    dataset = TensorDataset(torch.from_numpy(images.pixels), torch.from_numpy(images.labels))
    loader = DataLoader(
        dataset,
        batch_sampler=[rows.tolist() for rows in batches],
        generator=torch.Generator(),  # else it takes a number from those of dropout
    )
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, training.MOMENTUM, weight_decay=1e-4, nesterov=True
    )
    schedule = OneCycleLR(optimizer, RECIPE.learning_rate, len(batches))
    loss_sum = correct = 0.0
    model.train()
    for image, target in loader:
        output = model(image)
        loss = F.cross_entropy(output, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        loss_sum += loss.item() * len(image)
        correct += (output.argmax(dim=1) == target).sum().item()


def main() -> None:
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    ids, labels = np.arange(COUNT, dtype=np.uint64), np.arange(COUNT) % 2
    images = ImageSet(ids, labels, pixels, ("a", "b"), ("",) * COUNT, "train")
    baseline = Baseline("efficientnet_lite0", weights="none", epochs=1)
    start = open_classifier(baseline, images.classes, "baseline")
    for module in start.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = training.BATCH_NORM_MOMENTUM
    trained: dict[str, Classifier] = {}

    def ours() -> None:
        trained["ours"] = deepcopy(start)
        training.fine_tune(trained["ours"], images, None, RECIPE, "ours")

    def plain() -> None:
        torch.manual_seed(RECIPE.seed * 1_000_003)  # of dropout, as ours
        trained["plain"] = deepcopy(start)
        plain_loop(trained["plain"], images)

    def in_nchw() -> None:
        plain_loop(PlainNetwork(start), images)

    seconds = take_turns({"ours": ours, "plain": plain, "NCHW": in_nchw}, ROUNDS)
    weights = {name: classifier.state_dict() for name, classifier in trained.items()}
    for name, values in weights["ours"].items():
        require_same(f"trained weights, {name}", values, weights["plain"][name])
    loop = "a loop after torchvision's reference, the same batches and precision"
    formats = {"": ("NCHW", "in NCHW, as it has it"), "_channels_last": ("plain", "channels last")}
    record(
        {
            f"train_vs_reference{suffix}": times_as_fast(seconds, "ours", name, f"{loop}, {words}")
            for suffix, (name, words) in formats.items()
        }
    )


if __name__ == "__main__":
    main()
