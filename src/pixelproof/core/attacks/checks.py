"""What every attack refuses."""

from torch import nn


def check_mode(model: nn.Module) -> None:
    """Refuse a model in training mode, whose dropout and batch statistics mislead an attack."""
    if any(module.training for module in model.modules()):
        raise ValueError("expected a model in eval mode, got one in training mode")


def check_epsilon(epsilon: int) -> None:
    """Refuse an L-infinity radius that is no integer from 1 to 255."""
    if type(epsilon) is not int or not 1 <= epsilon <= 255:
        raise ValueError(f"epsilon: expected an integer from 1 to 255 (1/255 each), got {epsilon}")


def check_number(name: str, number: int, least: int = 1, most: int | None = None) -> None:
    """Refuse a number that is below the least or above the most that an attack can use."""
    if number < least or (most is not None and number > most):
        expected = f"from {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: expected a number {expected}, got {number}")
