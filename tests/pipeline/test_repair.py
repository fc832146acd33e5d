"""Damage of every kind, and what comes of the advice that its error gives, followed literally."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pixelproof.cli.stage import execute
from pixelproof.errors import IntegrityError, PixelproofError
from pixelproof.models import training
from pixelproof.operations.repair import repair
from pixelproof.params.project import load_params
from pixelproof.reporting.show import show
from pixelproof.system.files import sha256
from tests.conftest import draw_image
from tests.support.repository import ENVIRONMENT, run, running
from tests.support.toys import Toys
from tests.support.waiting import wait

CACHE = Path(".dvc/cache/files/md5")


@pytest.fixture(scope="module")
def whole(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run, then changed images and parameters, and run again."""
    root = toys.committed(tmp_path_factory.mktemp("whole"))
    draw_image(0, 999).save(root / "data" / "bad" / "999.png")
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("resamples: 500", "resamples: 600"))
    run(root, "dvc", "repro", off=True)
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "second")
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with another inode for each file; the working directory."""
    root = tmp_path / "project"
    shutil.copytree(whole, root, symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("PIXELPROOF_TRACKING", "off")
    return root


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def object_of(path: Path) -> Path:
    name = md5_of(path)
    return CACHE / name[:2] / name[2:]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file, in place; its time and mode stay."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stage(name: str, *item: str) -> Callable[[], None]:
    return lambda: execute(name, load_params(), *item)


def unfinished_training() -> None:
    """Leave a checkpoint, as a training that is interrupted does."""

    class InterruptedError(Exception):
        pass

    epoch_images = training._epoch_images

    def stop(*arguments: object) -> Iterator[object]:
        if arguments[-1] == 1:
            raise InterruptedError
        return epoch_images(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(training, "_epoch_images", stop)
        execute("finetune", load_params(), "clean")


def objects() -> dict[str, str]:
    """DVC's objects whose bytes are sound, and what those are."""
    found = {}
    for path in CACHE.glob("??/*"):
        name = path.parent.name + path.name
        if name.removesuffix(".dir") == md5_of(path):
            found[name] = sha256(path)
    return found


def follow(error: PixelproofError, left_out: tuple[str, ...] = ()) -> str:
    """Run the commands that an error names, in their order; what they say."""
    commands = re.findall(r"`([^`]+)`", str(error))
    assert commands, error
    return "\n".join(
        run(Path(), *shlex.split(one), off=True) for one in commands if one not in left_out
    )


DAMAGED = {
    "manifest": ("artifacts/images/manifest.json", stage("baseline", "baseline")),
    "array": ("artifacts/images/train.npy", stage("baseline", "baseline")),
    "change set": ("artifacts/changes/train/stuck-8.npy", stage("finetune", "stuck-8")),
    "its ids": ("artifacts/changes/test/ids.npy", stage("evaluate", "clean")),
    "its manifest": ("artifacts/changes/test/manifest.json", stage("evaluate", "clean")),
    "weights": ("artifacts/models/clean/model.safetensors", stage("evaluate", "clean")),
    "classifier": ("artifacts/models/clean/classifier.json", stage("evaluate", "clean")),
    "seen list": ("artifacts/models/clean/seen.txt", stage("compare")),
    "adversarial set": ("artifacts/adversarial/baseline/examples.npy", stage("evaluate", "clean")),
    "ledger": ("artifacts/ledger/clean.parquet", stage("compare")),
}


def provoked(kind: str) -> IntegrityError:
    path, command = DAMAGED[kind]
    with pytest.raises(IntegrityError, match=re.escape(path)) as caught:
        command()
    return caught.value


@pytest.mark.parametrize("kind", DAMAGED)
def test_the_advice_mends_a_damaged_file(root: Path, kind: str) -> None:
    path = Path(DAMAGED[kind][0])
    expected, before = sha256(path), objects()
    flip(path)
    said = follow(provoked(kind))
    assert f"{path}: damaged; put back from DVC's cache" in said
    assert "Running stage" not in said
    assert sha256(path) == expected
    assert objects() == before
    assert "Nothing is damaged" in repair(Path())


def test_the_advice_has_made_anew_what_no_copy_is_left_of(root: Path) -> None:
    paths = {kind: Path(path) for kind, (path, _) in DAMAGED.items()}
    expected = {path: sha256(path) for path in paths.values()}
    flipped = {object_of(path): path for path in paths.values()}
    for path in flipped:
        flip(path)
    for path in paths.values():
        path.unlink()
    run(Path(), "dvc", "checkout", "-q")  # trusts its cache
    before = objects()
    said = follow(provoked("manifest"))
    for damaged, path in flipped.items():  # all models have seen the same images
        done = "put back" if path.name == "seen.txt" else "removed"
        assert f"{damaged}: damaged; {done}" in said
        assert f"{path}: damaged; {done}" in said
        assert sha256(path) == expected[path]
    assert before.items() <= objects().items(), "nothing sound is deleted, no older version"
    assert run(Path(), "dvc", "status", "-q") == ""
    assert "Nothing is damaged" in repair(Path())


def test_the_advice_mends_what_was_damaged_before_dvc_hashed_it(root: Path) -> None:
    path = Path("artifacts/ledger/clean.parquet")
    expected, before = sha256(path), objects()
    flip(path)
    path.write_bytes(path.read_bytes())  # now, so that DVC hashes it
    run(Path(), "dvc", "commit", "-q", "-f", "evaluate@clean")
    damaged = md5_of(path)
    assert damaged in objects()
    follow(provoked("ledger"))
    assert sha256(path) == expected
    assert damaged not in objects()
    assert before.items() <= objects().items()


def test_the_advice_mends_a_checkpoint(root: Path) -> None:
    unfinished_training()
    (state,) = Path("artifacts/checkpoints/clean").glob("*/state.pt")
    flip(state)
    with pytest.raises(IntegrityError, match="state.pt: damaged") as caught:
        execute("finetune", load_params(), "clean")
    assert f"{state}: damaged; removed" in follow(caught.value)
    execute("finetune", load_params(), "clean")


@pytest.mark.parametrize(
    ("name", "text"), [("summary.json", "{"), ("summary.json", "{}"), ("results.csv", "a\n1\n")]
)
def test_the_advice_mends_figures(root: Path, name: str, text: str) -> None:
    (Path("metrics") / name).write_text(text)
    with pytest.raises(IntegrityError, match=f"{name}: expected ") as caught:
        show()
    follow(caught.value)
    show()


def test_the_advice_on_changes_that_were_drawn_for_other_images(root: Path) -> None:
    draw_image(1, 998).save(Path("data/good/998.png"))
    stage("select")()
    with pytest.raises(IntegrityError, match="drawn for other images") as caught:
        stage("evaluate", "clean")()
    follow(caught.value)
    stage("evaluate", "clean")()


def test_objects_are_put_back_from_the_workspace(root: Path) -> None:
    expected = objects()
    image, weights = Path("data/bad/000.png"), Path("artifacts/models/clean/model.safetensors")
    copies = {object_of(one): one for one in (image, weights)}
    lists = sorted(CACHE.glob("??/*.dir"))
    for path in [*copies, *lists]:
        flip(path)
    said = repair(Path())
    for path, copy in copies.items():
        assert f"{path}: damaged; put back from {copy}\n" in said
    assert run(Path(), "dvc", "status", "-q") == ""
    assert objects().items() <= expected.items()
    old = {path.parent.name + path.name for path in lists if f"{path}: damaged; removed" in said}
    assert expected.keys() - objects().keys() == old, "lists of older versions, which none has"
    assert 0 < len(old) < len(lists)


def damaged_image() -> Path:
    """An image that is damaged in DVC's cache and in the workspace."""
    image = Path("data/bad/000.png")
    flip(object_of(image))
    image.unlink()
    run(Path(), "dvc", "checkout", "-q")
    return image


def test_a_persons_image_comes_from_the_remote(root: Path, tmp_path: Path) -> None:
    expected, pointer = sha256(Path("data/bad/000.png")), Path("data.dvc").read_text()
    run(root, "dvc", "remote", "add", "-q", "-d", "team", str(tmp_path / "remote"))
    run(root, "dvc", "push", "-q", "data.dvc")
    image = damaged_image()
    said = run(root, "pixelproof", "repair")
    assert "damaged; fetched from the remote" in said
    assert f"{image}: damaged; put back from DVC's cache" in said
    assert sha256(image) == expected
    assert "didn't change" in run(root, "dvc", "repro", "select", off=True)
    assert Path("data.dvc").read_text() == pointer


@pytest.mark.parametrize("link", ["copy", "symlink"])
def test_a_persons_image_without_a_copy_is_kept_aside(root: Path, link: str) -> None:
    before = objects()
    run(root, "dvc", "config", "cache.type", link)
    image = damaged_image()
    assert image.is_symlink() == (link == "symlink")
    damaged, others = sha256(image), set(Path("data").rglob("*")) - {image}
    mine = Path("data/bad/001.png")
    mine.unlink()
    draw_image(0, 555).save(mine)  # changed by hand, and no damage
    changed = sha256(mine)
    said = run(root, "pixelproof", "repair", code=3)
    assert f"{image}: damaged; moved to .pixelproof/damaged/{image}" in said
    assert f"{image}: damaged, and no sound copy is in the workspace or on a remote" in said
    assert sha256(Path(".pixelproof/damaged") / image) == damaged
    assert set(Path("data").rglob("*")) == others
    assert sha256(mine) == changed
    assert len(before.keys() - objects().keys()) == 1


def test_a_demo_image_comes_from_its_package(root: Path) -> None:
    run(root, "pixelproof", "fetch", "imagenet-sample")
    image = sorted(Path("data-imagenet-sample").glob("*/*"))[0]
    expected, pointer = sha256(image), Path("data-imagenet-sample.dvc").read_text()
    flip(object_of(image))
    image.unlink()
    run(root, "dvc", "checkout", "-q", "data-imagenet-sample.dvc")
    said = run(root, "pixelproof", "repair")
    assert f"{image}: damaged; put back from DVC's cache" in said
    assert sha256(image) == expected
    assert Path("data-imagenet-sample.dvc").read_text() == pointer
    assert "verified" in run(root, "pixelproof", "fetch", "imagenet-sample")


def test_links_into_the_cache_are_never_written_through(root: Path) -> None:
    run(root, "dvc", "config", "cache.type", "hardlink")
    run(root, "dvc", "checkout", "-q", "--relink")
    path = Path("artifacts/models/clean/model.safetensors")
    expected = sha256(path)
    assert path.samefile(object_of(path))
    before = objects()
    flip(path)  # and with it DVC's object
    follow(provoked("weights"))
    assert sha256(path) == expected
    assert before.items() <= objects().items() | {(md5_of(path), expected)}
    assert run(Path(), "dvc", "status", "-q") == ""


def test_a_run_at_work_is_waited_for(root: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("epochs: 4", "epochs: 4000"))
    process = subprocess.Popen(
        ["dvc", "repro"],
        env=ENVIRONMENT | {"PIXELPROOF_TRACKING": "off"},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait(lambda: running(root, "stage baseline"))
        flip(object_of(Path("artifacts/ledger/clean.parquet")))
        said = run(root, "pixelproof", "repair", code=1)
        assert "DVC is at work here; wait for it, then run `pixelproof repair` again" in said
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert "damaged; put back from artifacts/ledger" in run(root, "pixelproof", "repair")
