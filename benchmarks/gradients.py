"""FGSM, beside the textbook's `loss.backward()` and beside foolbox.

    python -m benchmarks.gradients       a minute; needs the extra `demo`

EfficientNet-Lite0 at 224 px with its published weights, epsilon 1/255, batches of 16. One thread,
processor time. Ours is timed as it runs, in channels-last memory; the peers with the network as it
is published, in NCHW, and in channels-last memory as well. Before that, all must make the same
examples in NCHW, bit for bit.
"""

from pixelproof.system.tuning import keep_memory

keep_memory()  # as each stage does

import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from PIL import Image
from torch import Tensor, nn

from benchmarks.plain_network import PlainNetwork
from benchmarks.rounds import record, require_same, take_turns, times_as_fast
from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.data.demo import IMAGENET
from pixelproof.data.imagenet import imagenet_classes
from pixelproof.models.baseline import open_classifier
from pixelproof.params.baselines import Baseline

SIDE, BATCH, ROUNDS = 224, 16, 9
Attack = Callable[[], Tensor]


def as_uint8(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


def attacks(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Attack]:
    """The three ways to make the same examples of a model."""
    floats = images.float() / 255
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    linf = LinfFastGradientAttack(random_start=False)
    wrong = Misclassification(labels)

    def ours() -> Tensor:
        model.requires_grad_(False)  # as `attack_batches` does
        return fgsm(model, images, labels, epsilon=1)

    def naive() -> Tensor:
        model.requires_grad_(True)
        leaf = floats.clone().requires_grad_(True)
        loss = F.cross_entropy(model(leaf), labels)
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return as_uint8((leaf + leaf.grad.sign() / 255).clamp(0, 1).detach())

    def by_foolbox() -> Tensor:
        model.requires_grad_(True)
        return as_uint8(linf.run(wrapped, floats, wrong, epsilon=1 / 255))

    return {"ours": ours, "naive": naive, "foolbox": by_foolbox}


def real_images() -> Tensor:
    """The first images of ImageNet that foolbox carries, (B, 3, H, W) uint8."""
    sources, _ = IMAGENET.find()
    found = []
    for path in sorted(sources.values())[:BATCH]:
        with Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE))))
    return torch.from_numpy(np.stack(found).transpose(0, 3, 1, 2).copy())


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # of foolbox, that the model is in eval mode
    baseline = Baseline("efficientnet_lite0", weights="imagenet", epochs=0)
    classifier = open_classifier(baseline, imagenet_classes(), "baseline").eval()
    images = real_images()
    with torch.no_grad():
        labels = classifier(images).argmax(dim=1)
    plain = PlainNetwork(classifier)
    made = {name: attack() for name, attack in attacks(plain, images, labels).items()}
    for name in ("naive", "foolbox"):
        require_same(f"FGSM by {name}, in NCHW", made["ours"], made[name])
    ways = {f"{name}, NCHW": way for name, way in attacks(plain, images, labels).items()}
    del ways["ours, NCHW"]
    seconds = take_turns(attacks(classifier, images, labels) | ways, ROUNDS)
    figures = {}
    for name, words in {"naive": "`loss.backward()`", "foolbox": "foolbox"}.items():
        figures[f"fgsm_vs_{name}"] = times_as_fast(
            seconds, "ours", f"{name}, NCHW", f"{words}, the network as it is published, in NCHW"
        )
        figures[f"fgsm_vs_{name}_channels_last"] = times_as_fast(
            seconds, "ours", name, f"{words}, the network in channels-last memory, too"
        )
    record(figures)


if __name__ == "__main__":
    main()
