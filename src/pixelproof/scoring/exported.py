"""Targets in files of torch: TorchScript, torch.export, and modules that were pickled whole."""

import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch

from pixelproof.errors import DataError, IntegrityError
from pixelproof.models.devices import find_device
from pixelproof.scoring.networks import module_target
from pixelproof.scoring.target import Target, TargetOptions

Kind = Literal["script", "export", "pickle"]


def kind_of(path: Path) -> Kind:
    """What a file of torch holds, without loading it.

    Raises:
        DataError: It is no archive of torch.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path}: expected a file of TorchScript or torch.export, got another ({error})"
        ) from None
    if "archive_format" in names:
        return "export"
    return "script" if any(name.startswith("code/") for name in names) else "pickle"


def file_target(path: Path, options: TargetOptions) -> Target:
    """A network in a file; TorchScript is run as it is, what can run other code asks for trust.

    Raises:
        DataError: The file holds no network.
        IntegrityError: Loading it could run code, and it is not trusted.
    """
    kind = kind_of(path)
    if kind != "script" and not options.trust:
        what = "torch.export's loader" if kind == "export" else "a pickle"
        raise IntegrityError(
            f"{path}: {what} can run any code of whoever wrote the file; save it as TorchScript "
            "or ONNX, or say --trust where it is your own"
        )
    device = find_device(options.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's age, of what was traced
        try:
            module = _load(path, kind, device)
        except Exception as error:  # each format raises errors of its own for damage
            reason = str(error).strip().split("\n")[0][:300]
            raise DataError(f"{path}: cannot be loaded: {reason}") from None
    if not isinstance(module, torch.nn.Module):
        raise DataError(
            f"{path}: expected a network, got {type(module).__name__}; weights alone need the "
            "code of their network: name it in params.yaml, or save the network as TorchScript"
        )
    return module_target(module, str(path), options, gradient=kind != "export")


def _load(path: Path, kind: Kind, device: torch.device) -> Any:
    if kind == "script":
        return torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    if kind == "export":  # its mode was settled when it was exported
        program = torch.export.load(path)
        if device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        return program.module()
    content = torch.load(path, map_location=device, weights_only=False)
    return content.eval() if isinstance(content, torch.nn.Module) else content
