"""The demo data: electroluminescence images of solar cells, out of an installed package."""

import filecmp
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pixelproof import files
from pixelproof.errors import DataError, IntegrityError, ServiceError

CLASS_OF = {0.0: "functional", 1.0: "defective"}  # defect probability -> class
ELPV_MD5 = "49cb12c01b39b2b2230b6c1fdcf59ac7.dir"  # of the folder, as data.dvc records it


def _elpv_files() -> tuple[dict[str, Path], int]:
    """The unambiguous images of the installed package by `class/file`, and how many are not."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise DataError("elpv: the package elpv-dataset is missing: pip install 'pixelproof[demo]'")
    source = Path(found.origin).parent / "data"
    chosen, ambiguous = {}, 0
    for line in (source / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, probability, _ = line.split()
        folder = CLASS_OF.get(float(probability))
        if folder is None:
            ambiguous += 1
        else:
            chosen[f"{folder}/{Path(name).name}"] = source / name
    return chosen, ambiguous


def fetch_elpv(folder: Path) -> str:
    """Write the demo set: `functional/` and `defective/`, the package's PNG files byte for byte.

    Images between the two (a defect probability of 1/3 or 2/3) are left out and counted.

    Args:
        folder: Must not exist, or hold exactly the demo set already.

    Returns:
        What was written, for a person.

    Raises:
        DataError: The package is missing, or the folder holds something else.
    """
    chosen, ambiguous = _elpv_files()
    counts = {name: sum(key.startswith(name) for key in chosen) for name in CLASS_OF.values()}
    words = ", ".join(f"{count} {name}" for name, count in counts.items())
    words = f"{folder}: {words}; {ambiguous} ambiguous images left out"
    if folder.exists():
        there = {str(one.relative_to(folder)): one for one in folder.rglob("*") if one.is_file()}
        same = there.keys() == chosen.keys() and all(
            filecmp.cmp(one, chosen[name], shallow=False) for name, one in there.items()
        )
        if not same:
            raise DataError(
                f"{folder}: holds something other than the demo set, and stays as it is; name "
                "another folder, or move it away"
            )
        return f"{words} (all there already)"
    with files.atomic(folder) as temporary:
        for name, source in chosen.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return words


def _dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _reason(failed: subprocess.CompletedProcess[str]) -> str:
    """What DVC says is wrong: its line of error, or the end of a traceback."""
    lines = failed.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:300]


def _recorded_md5(pointer: Path) -> str:
    """The hash of the folder that `dvc add` recorded."""
    if not pointer.is_file():
        raise DataError(f"{pointer}: missing; run `dvc add data` after putting images there")
    try:
        content = YAML(typ="safe", pure=True).load(pointer.read_text(encoding="utf-8"))
        return str(content["outs"][0]["md5"])
    except (YAMLError, ValueError, LookupError, TypeError):
        raise DataError(
            f"{pointer}: expected what `dvc add data` writes, with outs[0].md5; restore it with "
            "git, or run `dvc add data` again"
        ) from None


def _verify_elpv(root: Path) -> None:
    # Without -f a commit goes through only where the bytes have the recorded hash.
    committed = _dvc(root, "commit", "data.dvc")
    if committed.returncode == 0:
        return
    if "unable to commit changed stage" in committed.stderr:
        raise IntegrityError(
            f"{root / 'data'}: not the demo set that data.dvc names; delete the folder and run "
            "`make data`, or run `dvc add data` if these are your own images"
        )
    raise ServiceError(f"{root / 'data'}: could not be verified: {_reason(committed)}")


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
    if _recorded_md5(root / "data.dvc") == ELPV_MD5:
        done = fetch_elpv(folder) if not folder.exists() else f"{folder}: there already"
        _verify_elpv(root)
        return f"{done}; verified"
    if not folder.exists():
        pulled = _dvc(root, "pull", "data.dvc")
        if pulled.returncode != 0:
            raise ServiceError(
                f"{folder}: the images that data.dvc names could not be pulled; set a remote with "
                f"`dvc remote add -d`, or put them there: {_reason(pulled)}"
            )
        return f"{folder}: pulled"
    return f"{folder}: your own images"
