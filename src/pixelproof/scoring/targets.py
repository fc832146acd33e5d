"""Finds the model that a person names: by name, in a file or a folder, behind an address."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pixelproof.errors import DataError, ParameterError
from pixelproof.scoring.target import Target, TargetOptions

# By the scheme of an address, what opens it: MLflow's are opened by `tracking`, which knows MLflow.
Openers = Mapping[str, Callable[[str, TargetOptions], Target]]

_TORCH = (".pt", ".pth", ".pt2", ".ts", ".torchscript")
_KINDS = (
    "a name (efficientnet_lite0, torchvision:NAME), a model folder, a file (.onnx, TorchScript, "
    "torch.export), package.module:function, models:/NAME@ALIAS, runs:/ID/PATH or "
    "http(s)://…/invocations"
)


def find_target(model: Any, options: TargetOptions, openers: Openers | None = None) -> Target:
    """The model that is named or given.

    Args:
        model: One of the kinds above as text or path; a torch module; a function from a uint8
            batch to scores or labels; or an object whose method `predict` is one, as MLflow's.
        options: What a person says of it.
        openers: By scheme (`models:`), what opens such an address.

    Raises:
        ParameterError: It is none of these, or the options do not go with it.
        DataError: It cannot be loaded.
        IntegrityError: Loading it could run code, and it is not trusted.
    """
    if not isinstance(model, str | Path):
        return _given(model, options)
    name = str(model)
    scheme = name.partition(":")[0] + ":"
    if openers and scheme in openers:
        return openers[scheme](name, options)
    if scheme in ("http:", "https:"):
        from pixelproof.scoring.remote import remote_target

        return remote_target(name, options)
    if scheme in ("models:", "runs:"):
        raise ParameterError(f"{name}: expected a loaded model: mlflow.pyfunc.load_model({name!r})")
    path = Path(name)
    if path.exists() or path.suffix in (".onnx", *_TORCH):
        return _on_disk(path, options)
    module, _, function = name.partition(":")
    dotted = function.isidentifier() and all(part.isidentifier() for part in module.split("."))
    if dotted and module not in ("torchvision", "python"):
        from pixelproof.scoring.functions import function_target

        return function_target(name, options)
    from pixelproof.scoring.networks import published_target

    try:
        return published_target(name, options)
    except ParameterError as error:
        hint = str(error).rpartition("; did you mean")
        near = f"; did you mean{hint[2]}" if hint[1] else ""
        raise ParameterError(f"expected {_KINDS}; got {name!r}{near}") from None


def _on_disk(path: Path, options: TargetOptions) -> Target:
    if path.is_dir():
        from pixelproof.scoring.networks import folder_target

        return folder_target(path, options)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".onnx":
        from pixelproof.scoring.onnx import onnx_target

        return onnx_target(path, options)
    if path.suffix in _TORCH:
        from pixelproof.scoring.exported import file_target

        return file_target(path, options)
    raise DataError(f"{path}: expected .onnx or one of {', '.join(_TORCH)}, got {path.suffix!r}")


def _given(model: Any, options: TargetOptions) -> Target:
    """A model that Python code hands over."""
    source = getattr(model, "__name__", type(model).__name__)
    if hasattr(model, "named_modules"):  # without importing torch for what is none of it
        from pixelproof.models.classifier import Classifier
        from pixelproof.models.devices import find_device
        from pixelproof.scoring.networks import module_target, own_target

        if any(part.training for part in model.modules()):
            raise ParameterError(f"{source}: expected a model in eval mode; call `model.eval()`")
        if isinstance(model, Classifier):
            return own_target(model, source, options)
        return module_target(model.to(find_device(options.device)), source, options)
    from pixelproof.scoring.functions import callable_target

    function = model if callable(model) else getattr(model, "predict", None)
    if not callable(function):
        got = type(model).__name__
        raise ParameterError(f"model: expected {_KINDS}, a torch module or a function; got {got}")
    return callable_target(function, source, options)
