"""What `import pixelproof` offers, and what it leaves unloaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pixelproof


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_each_public_name_is_there_and_known_to_type_checkers() -> None:
    for name in pixelproof.__all__:
        assert getattr(pixelproof, name) is not None
    assert dir(pixelproof) == pixelproof.__all__ == sorted(pixelproof.__all__)
    tree = ast.parse(Path(pixelproof.__file__).read_text())
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == pixelproof._HOMES
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pixelproof.nothing  # noqa: B018


def test_importing_it_loads_nothing_and_its_names_no_pipeline() -> None:
    code = (
        "import sys, pixelproof\n"
        "assert not {'torch', 'numpy', 'pydantic'} & sys.modules.keys()\n"
        "for name in pixelproof.__all__: getattr(pixelproof, name)\n"
        "loaded = {'mlflow', 'dvc', 'prefect', 'pandas', 'lightning'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    assert python(code).returncode == 0, python(code).stderr


def test_a_missing_extra_is_one_line() -> None:
    done = python(
        "import sys; sys.modules['torchmetrics'] = None; from pixelproof import PixelIndex"
    )
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: PixelIndex needs the package torchmetrics: "
        "pip install 'pixelproof[metrics]'"
    )


class Corner(nn.Module):
    """Is misled by a bright corner, and by nothing else."""

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, :, 0, 0].mean(dim=1)
        return torch.stack([torch.full_like(corner, 0.5), corner], dim=1)


def test_sparse_rs_finds_the_pixel_that_matters() -> None:
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 1, 1] = torch.tensor([1, 2, 3])
    labels = torch.zeros(3, dtype=torch.int64)
    model = Corner().eval()
    worst = pixelproof.sparse_rs(model, images, labels, 1, queries=200)
    assert (model(worst.float() / 255).argmax(dim=1) == 1).all()
    assert (worst != images).any(dim=1).sum(dim=(1, 2)).tolist() == [1, 1, 1]
    assert (worst[:, :, 0, 0] == 255).all()
    alone = pixelproof.sparse_rs(model, images[1:2], labels[1:2], 1, queries=200)
    assert torch.equal(alone, worst[1:2]), "an image's search depends on no other"
    asked_little = pixelproof.sparse_rs(model, images, labels, 1, queries=1, ids=[1, 2, 3])
    assert not torch.equal(asked_little, worst)
    by_gradient = pixelproof.sparse_rs(model, images, labels, 1, queries=5, gradient_steps=1)
    assert torch.equal(by_gradient[:, :, 0, 0], worst[:, :, 0, 0])
