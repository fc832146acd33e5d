"""What is done to a network: its head is found and replaced, its weights are filled in."""

from typing import Any

import torch
from torch import nn

from pixelproof.errors import DataError, ParameterError
from pixelproof.models.architectures import State


def final_layer(network: nn.Module, outputs: int) -> tuple[str, nn.Module]:
    """The name and the module of a network's last linear or convolutional layer.

    Raises:
        ParameterError: No such layer has as many outputs as there are classes.
    """
    layer = None
    for name, module in network.named_modules():
        width = getattr(module, "out_features", getattr(module, "out_channels", None))
        if isinstance(module, nn.Linear | nn.Conv2d) and width == outputs:
            layer = (name, module)
    if layer is None:
        raise ParameterError(f"expected a final layer with {outputs} outputs; the network has none")
    return layer


def replace_head(network: nn.Module, outputs: int, classes: int, seed: int) -> nn.Module:
    """Put a new, seeded final layer for another number of classes in place of the old one."""
    name, old = final_layer(network, outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(old, nn.Conv2d):
            size: Any = old.kernel_size
            new: nn.Module = nn.Conv2d(old.in_channels, classes, size, bias=old.bias is not None)
        else:
            assert isinstance(old, nn.Linear)
            new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    if not name:
        return new
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, new)
    return network


def fill_weights(network: nn.Module, state: State, path: str) -> None:
    """Load a state dict, all of it and nothing else.

    Raises:
        DataError: Keys or shapes do not agree; names the first few.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    for words, keys in (("lacks", missing), ("does not know", unexpected), ("sizes", shapes)):
        if keys:
            raise DataError(f"{path}: not weights of this network: {words} {', '.join(keys[:3])}")
    network.load_state_dict(state, strict=False)


def outputs_of(state: State, network: nn.Module, outputs: int) -> int:
    """How many classes weights are for: the length of their final layer."""
    name, _ = final_layer(network, outputs)
    weight = state.get(f"{name}.weight" if name else "weight")
    return outputs if weight is None else int(weight.shape[0])


def count_outputs(network: nn.Module) -> int:
    """The outputs of a network whose number of classes is not known: its last layer's."""
    outputs = 0
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            outputs = module.weight.shape[0]
    return outputs
