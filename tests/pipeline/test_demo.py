import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelproof.cli.main import main
from pixelproof.data import demo
from pixelproof.data.demo import ELPV, ELPV_MD5, IMAGENET, IMAGENET_MD5, fetch, provide_data
from pixelproof.data.imagenet import wordnet_ids
from pixelproof.data.reading import read_image, to_array
from pixelproof.errors import DataError, IntegrityError, ServiceError
from pixelproof.models.baseline import open_classifier
from pixelproof.params.baselines import Baseline
from pixelproof.params.project import load_params
from tests.conftest import ROOT


def dvc(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def elpv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elpv") / "data"
    fetch(ELPV, folder)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the committed pointer and nothing else."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copy(ROOT / "data.dvc", tmp_path)
    return tmp_path


def test_the_demo_set_is_the_packages_own_files(elpv: Path) -> None:
    assert len(list((elpv / "functional").iterdir())) == 1508
    assert len(list((elpv / "defective").iterdir())) == 715
    chosen, words = demo._elpv_files()
    assert words == "1508 functional, 715 defective; 401 ambiguous images left out"
    for name, source in list(chosen.items())[::200]:
        assert (elpv / name).read_bytes() == source.read_bytes()
    assert "all there already" in fetch(ELPV, elpv)


def test_a_persons_images_are_never_touched(tmp_path: Path) -> None:
    mine = tmp_path / "data" / "mine" / "1.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="holds something other than the demo set"):
        fetch(ELPV, tmp_path / "data")
    assert mine.read_bytes() == b"mine"
    assert len(list((tmp_path / "data").rglob("*"))) == 2


def test_the_demo_set_is_fetched_verified_and_other_bytes_refused(repository: Path) -> None:
    pointer = (repository / "data.dvc").read_bytes()
    assert ELPV_MD5.encode() in pointer
    assert provide_data(repository).endswith("verified")
    assert provide_data(repository).endswith("there already; verified")
    victim = repository / "data" / "defective" / "cell0001.png"
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.unlink()
    victim.write_bytes(data)
    with pytest.raises(IntegrityError, match="not the demo set that data.dvc names; delete"):
        provide_data(repository)
    assert (repository / "data.dvc").read_bytes() == pointer
    shutil.rmtree(repository / "data")
    assert provide_data(repository).endswith("verified")


def test_the_images_of_imagenet_are_the_packages_own_files(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    for _ in range(2):
        assert main(["fetch", "imagenet-sample"]) == 0
        said = capsys.readouterr().out
        assert "data-imagenet-sample: 20 images of 19 classes of ImageNet" in said
        assert said.endswith("verified\n")
    assert "all there already" in said
    pointer = (repository / "data-imagenet-sample.dvc").read_text()
    assert IMAGENET_MD5 in pointer
    dvc(repository, "add", "data-imagenet-sample")
    assert (repository / "data-imagenet-sample.dvc").read_text() == pointer, "as DVC writes it"
    source = demo._package_data("", "foolbox", "")
    written = list((repository / "data-imagenet-sample").glob("*/*"))
    assert len(written) == 20
    for path in written:
        assert path.parent.name == wordnet_ids()[int(path.stem.split("_")[-1])]
        assert path.read_bytes() == (source / path.name).read_bytes()
    assert not (repository / "data").exists()
    assert "foolbox" not in sys.modules


def test_other_bytes_than_those_of_the_pointer_are_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository / "data-imagenet-sample"
    package = tmp_path / "package"
    shutil.copytree(demo._package_data("", "foolbox", ""), package)
    monkeypatch.setattr(demo, "_package_data", lambda *names: package)
    fetch(IMAGENET, folder)
    victim = next(folder.glob("*/*"))
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.unlink()
    victim.write_bytes(data)
    with pytest.raises(DataError, match="holds something other than the demo set"):
        fetch(IMAGENET, folder)
    (package / victim.name).write_bytes(data)  # another version of the package
    with pytest.raises(IntegrityError, match=r"not the demo set that data-imagenet-sample\.dvc"):
        fetch(IMAGENET, folder)


def test_dvc_misses_no_images_that_nobody_fetched() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.dvc"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert tracked.stdout.split() == ["data.dvc"]


@pytest.mark.parametrize("one", [ELPV, IMAGENET], ids=lambda one: one.name)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: demo.DemoSet
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=rf"{one.name}: the package .* pip install 'pixelproof\[d"):
        fetch(one, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_package_without_the_images_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_package_data", lambda *names: tmp_path)
    with pytest.raises(DataError, match="imagenet-sample: .* has no images"):
        fetch(IMAGENET, tmp_path / "data")


@pytest.mark.parametrize("text", ["", "outs: [", "outs: []", "outs:\n- path: data\n", "<<<<<<<"])
def test_a_damaged_pointer_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(DataError, match=r"data\.dvc: expected what `dvc add data` writes"):
        provide_data(tmp_path)


def test_a_dvc_that_cannot_look_does_not_blame_the_images(repository: Path) -> None:
    (repository / "data").mkdir()
    (repository / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(ServiceError, match="could not be verified: .*onfig"):
        provide_data(repository)


def test_images_of_ones_own_are_pulled_or_left_to_dvc(repository: Path, tmp_path: Path) -> None:
    (repository / "data.dvc").unlink()
    with pytest.raises(DataError, match=r"data\.dvc: missing"):
        provide_data(repository)
    (repository / "data" / "a").mkdir(parents=True)
    (repository / "data" / "a" / "1.txt").write_text("one")
    dvc(repository, "add", "data")
    assert provide_data(repository).endswith("your own images")
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(ServiceError, match="could not be pulled; set a remote"):
        provide_data(repository)


def test_the_published_network_gets_eighteen_of_the_twenty_right(tmp_path: Path) -> None:
    fetch(IMAGENET, tmp_path / "images")
    classes = sorted(one.name for one in (tmp_path / "images").iterdir())
    paths = [(at, path) for at, one in enumerate(classes) for path in tmp_path.glob(f"*/{one}/*")]
    select = load_params(ROOT / "profiles" / "imagenet-sample.yaml").select
    arrays = [to_array(read_image(path).image, select.side, select.fit) for _, path in paths]
    published = Baseline("efficientnet_lite0", head="keep", epochs=0)
    classifier = open_classifier(published, classes, "lite0").eval()
    targets = classifier.targets(classes)[[at for at, _ in paths]]
    with torch.inference_mode():
        found = classifier(torch.from_numpy(np.stack(arrays))).argmax(dim=1)
    assert int((found == targets).sum()) == 18
