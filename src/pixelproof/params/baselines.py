"""The section `baselines`: the original classifiers, by name."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pixelproof.params.kinds import Count, Expected, LearningRate, Seed, Several, Triple, three
from pixelproof.params.section import section

DISTINCT = "two or more distinct names"
Positive = Annotated[float, Field(gt=0)]


@section
class Baseline:
    """An original classifier: where it comes from, and how it is fine-tuned."""

    classifier: str
    """What it is: a name (`efficientnet_lite0`), `torchvision:NAME`, a model folder, or a network
    of your own as `python:package.module:factory`."""
    weights: str = "imagenet"
    """Its weights: `imagenet` (as published), `none`, or a file (safetensors, or a state dict of
    torch)."""
    head: Literal["auto", "keep", "new"] = "auto"
    """Whether the last layer is replaced. `auto`: where it does not know every class of the data;
    `keep` and `new` insist."""
    classes: (
        Annotated[
            tuple[str, ...],
            Several(2, DISTINCT, distinct=DISTINCT),
        ]
        | None
    ) = None
    """The classes of its outputs, in their order; a network of your own needs them. null: those
    that its weights were trained on, or the data's where it has none."""
    mean: Triple | None = None
    """What is subtracted from the channels (red, green, blue, each from 0 to 1); a network of your
    own needs it. null: that of the architecture."""
    std: (
        Annotated[
            tuple[Positive, Positive, Positive],
            Expected("three numbers above 0"),
            BeforeValidator(three),
        ]
        | None
    ) = None
    """What the channels are then divided by; a network of your own needs it. null: that of the
    architecture."""
    epochs: Annotated[int, Field(ge=0, le=10_000), Expected("a number from 0 to 10,000")] = 7
    """How often fine-tuning goes through the training images; 0 takes the classifier as it is."""
    learning_rate: LearningRate = 0.01
    """The peak of the one-cycle schedule."""
    batch_size: Count = 16
    """Images in a step of training."""
    seed: Seed = 1
    """Of a new head, and of the order of the images."""
    architecture: (
        Annotated[str, Field(pattern=r"^python:"), Expected("python:package.module:factory")] | None
    ) = None
    """The code that a model folder may name as its network, `python:package.module:factory`: it
    is run only where this project names it, too."""
    seen: str | None = None
    """Which images its weights have seen: `none`, a folder of images, a manifest of `select`, or a
    file with an image id a line. null: unknown, unless `classifier` is a model folder that says."""
