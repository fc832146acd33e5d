"""The demo data, out of installed packages: solar cells, and a few images of ImageNet."""

import filecmp
import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelproof.data.imagenet import wordnet_ids
from pixelproof.errors import DataError, IntegrityError, ServiceError
from pixelproof.system import dvc, files

CLASS_OF = {0.0: "functional", 1.0: "defective"}  # defect probability -> class
ELPV_MD5 = "49cb12c01b39b2b2230b6c1fdcf59ac7.dir"  # of the folder, as data.dvc records it
IMAGENET_MD5 = "a0eab5babe8beeab639f61d7a7946431.dir"  # as `fetch` records it beside the folder


@dataclass(frozen=True)
class DemoSet:
    """A data set that an installed package carries."""

    name: str
    folder: str  # where the pipeline reads it
    md5: str  # of the folder, as DVC's pointer to it records it
    find: Callable[[], tuple[dict[str, Path], str]]  # the sources by `class/file`, and what it is


def _package_data(name: str, module: str, package: str) -> Path:
    """The folder of data of an installed package, which is not imported for it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise DataError(f"{name}: the package {package} is missing: pip install 'pixelproof[demo]'")
    return Path(spec.origin).parent / "data"


def _elpv_files() -> tuple[dict[str, Path], str]:
    """Images between the two classes (a defect probability of 1/3 or 2/3) are left out."""
    source = _package_data("elpv", "elpv_dataset", "elpv-dataset")
    chosen, ambiguous = {}, 0
    for line in (source / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, probability, _ = line.split()
        folder = CLASS_OF.get(float(probability))
        if folder is None:
            ambiguous += 1
        else:
            chosen[f"{folder}/{Path(name).name}"] = source / name
    counts = Counter(key.partition("/")[0] for key in chosen)
    words = ", ".join(f"{counts[name]} {name}" for name in CLASS_OF.values())
    return chosen, f"{words}; {ambiguous} ambiguous images left out"


def _imagenet_files() -> tuple[dict[str, Path], str]:
    """The package names each image by its number and the index of its class."""
    source = _package_data("imagenet-sample", "foolbox", "foolbox")
    ids = wordnet_ids()
    images = sorted(source.glob("imagenet_*_*.jpg"))
    if not images:
        raise DataError(f"imagenet-sample: {source} has no images: pip install 'pixelproof[demo]'")
    chosen = {f"{ids[int(path.stem.rpartition('_')[2])]}/{path.name}": path for path in images}
    classes = {key.partition("/")[0] for key in chosen}
    return chosen, f"{len(chosen)} images of {len(classes)} classes of ImageNet"


ELPV = DemoSet("elpv", "data", ELPV_MD5, _elpv_files)
IMAGENET = DemoSet("imagenet-sample", "data-imagenet-sample", IMAGENET_MD5, _imagenet_files)
DEMO_SETS = {one.name: one for one in (ELPV, IMAGENET)}


def _holds(folder: Path, chosen: Mapping[str, Path]) -> bool:
    """Whether a folder holds these files, byte for byte, and no other."""
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return present.keys() == chosen.keys() and all(
        filecmp.cmp(path, chosen[name], shallow=False) for name, path in present.items()
    )


def fetch(demo: DemoSet, folder: Path) -> str:
    """Write a demo set: a folder a class, the package's files byte for byte.

    Where the pointer beside the folder names the set, what is there is verified by it; under the
    set's own name a missing pointer is made first, as `dvc add` would, but of the known hash.

    Args:
        demo: One of `DEMO_SETS`.
        folder: Must not exist, or hold exactly the demo set already.

    Returns:
        What was written, for a person.

    Raises:
        DataError: The package is missing, or the folder holds something else.
        IntegrityError: The package's files are not those that the pointer names.
        ServiceError: DVC could not look at them.
    """
    chosen, words = demo.find()
    words = f"{folder}: {words}"
    if folder.exists():
        if not _holds(folder, chosen):
            raise DataError(
                f"{folder}: holds something other than the demo set, and stays as it is; name "
                "another folder, or move it away"
            )
        words += " (all there already)"
    else:
        with files.atomic(folder) as temporary:
            for name, source in chosen.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    pointer = dvc.pointer_of(folder)
    if folder.name == demo.folder and not pointer.exists() and (folder.parent / ".dvc").is_dir():
        files.write_text(pointer, _pointer_text(demo, chosen.values()))
    if pointer.is_file() and dvc.recorded_hash(pointer) == demo.md5:
        _verify(demo, folder)
        words += "; verified"
    return words


def _pointer_text(demo: DemoSet, sources: Collection[Path]) -> str:
    size = sum(source.stat().st_size for source in sources)
    return (
        f"outs:\n- md5: {demo.md5}\n  size: {size}\n  nfiles: {len(sources)}\n  hash: md5\n"
        f"  path: {demo.folder}\n"
    )


def _verify(demo: DemoSet, folder: Path) -> None:
    # Without -f a commit goes through only where the bytes have the recorded hash.
    pointer = dvc.pointer_of(folder)
    committed = dvc.run(folder.parent, "commit", pointer.name)
    if committed.returncode == 0:
        return
    if "unable to commit changed stage" in committed.stderr:
        raise IntegrityError(
            f"{folder}: not the demo set that {pointer.name} names; delete the folder and run "
            f"`pixelproof fetch {demo.name}`, or run `dvc add {folder.name}` if these are your own "
            "images"
        )
    raise ServiceError(f"{folder}: could not be verified: {dvc.reason(committed)}")


def provide_data(root: Path) -> str:
    """Make `data/` hold what the committed `data.dvc` names, before anything reads it.

    Where that is the demo set it is fetched if missing, and verified: `dvc repro` would take
    other bytes for new data without a word. Where it is a person's own, it is pulled if missing,
    and what is there is left to DVC.

    Args:
        root: The folder of `data.dvc`.

    Returns:
        What was done, for a person.

    Raises:
        DataError: `data.dvc` is missing or not a pointer.
        IntegrityError: `data/` is not the demo set that `data.dvc` names.
        ServiceError: The images could not be pulled, or DVC could not look at them.
    """
    folder = root / "data"
    if dvc.recorded_hash(dvc.pointer_of(folder)) == ELPV_MD5:
        if not folder.exists():
            return fetch(ELPV, folder)
        _verify(ELPV, folder)
        return f"{folder}: there already; verified"
    if not folder.exists():
        pulled = dvc.run(root, "pull", "data.dvc")
        if pulled.returncode != 0:
            raise ServiceError(
                f"{folder}: the images that data.dvc names could not be pulled; set a remote with "
                f"`dvc remote add -d`, or put them there: {dvc.reason(pulled)}"
            )
        return f"{folder}: pulled"
    return f"{folder}: your own images"
