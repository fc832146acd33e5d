"""Attacks that are networks: trained against the model first, and stored."""

import torch
from safetensors.torch import save
from torch import Tensor

from pixelproof.core.attacks.transformation_network import train_transformation, transform
from pixelproof.core.counter_random import UInt64
from pixelproof.evaluation.measurement import Measurement
from pixelproof.evaluation.prediction import Attack
from pixelproof.models.classifier import Classifier


def trained_attack(measurement: Measurement, name: str) -> Attack:
    """Train a network to attack the model, on the training images, and store it.

    Args:
        measurement: Of the model; its folder `networks` gets `NAME.safetensors`.
        name: Of the attack's experiment.

    Raises:
        ValueError: There are no training images.
    """
    if measurement.trained_on is None:
        raise ValueError("expected training images to train the attack on, got none")
    entry, images = measurement.evaluate.named_attacks[name], measurement.trained_on()
    targets = measurement.classifier.targets(images.classes).numpy()[images.labels]
    network = train_transformation(
        measurement.classifier,
        images.pixels,
        targets,
        entry.budget,
        entry.number("steps"),
        entry.seed,
        measurement.device,
    )
    path = measurement.networks / f"{name.partition(':')[2]}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({key: one.contiguous() for key, one in network.state_dict().items()}))

    def examples(model: Classifier, batch: Tensor, labels: Tensor, image_ids: UInt64) -> Tensor:
        with torch.inference_mode():
            return transform(network, batch, entry.budget)

    return examples
