"""`pixelproof init`: a project in a person's own git repository."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from pixelproof import __version__
from pixelproof.errors import DataError, ParameterError, PipelineError
from pixelproof.operations import project_files
from pixelproof.operations.first_look import Found, look
from pixelproof.params.behaviour import BEHAVIOUR, RECORD, Record, write_record
from pixelproof.paths import PARAMS
from pixelproof.system import dvc, files, git

DATA = "data"
UNTRACKED = ("artifacts", "mlruns", ".pixelproof")  # folders of which git keeps nothing


def start_project(root: Path) -> str:
    """Make a project in a folder with images, and give the images to DVC.

    No file that exists is changed. Of those that a repository often has, README.md, .gitignore and
    .dvcignore, one that is there stays; any other one is an error. DVC adds what it tracks to
    .gitignore, as always.

    Args:
        root: A folder in a git repository, with `data/<class>/<image>`.

    Returns:
        What was found and made, and the next command, for a person.

    Raises:
        ParameterError: The folder is in no git repository, or a file of a project is there already.
        DataError: There are no images, or git tracks them.
        PipelineError: DVC refuses.
    """
    _check_repository(root)
    found, name = _look(root), _name(root)
    texts = project_files.renewable()
    written = project_files.digests(texts)
    texts[str(PARAMS)] = project_files.params_text(found, name)
    _check_free(root, texts)
    optional = {
        "README.md": project_files.readme_text(name),
        ".dvcignore": project_files.dvcignore_text(),
        **{f"{folder}/.gitignore": project_files.ignored_text() for folder in UNTRACKED},
    }
    for path, text in optional.items():
        if not (root / path).exists():
            files.write_text(root / path, text)
    _give_to_dvc(root)
    for path, text in texts.items():
        files.write_text(root / path, text)
    write_record(Record(__version__, BEHAVIOUR, written), root)
    return _words(root, found)


def _check_repository(root: Path) -> None:
    if not root.is_dir():
        raise ParameterError(f"{root}: expected a folder in a git repository, got none")
    if not git.query("rev-parse", "--show-toplevel", folder=root):
        raise ParameterError(
            f"{root.resolve()}: expected a git repository, got none; run `git init` there"
        )
    if (root / RECORD).exists():
        raise ParameterError(
            f"{root / RECORD}: there is a project already; `pixelproof upgrade` renews it"
        )


def _check_free(root: Path, texts: Mapping[str, str]) -> None:
    """Check that nothing would be overwritten; what an interrupted call has left is the same."""
    for path, text in texts.items():
        file = root / path
        if file.exists() and not (file.is_file() and file.read_bytes() == text.encode()):
            raise ParameterError(
                f"{file}: exists and stays as it is; expected a folder without it: move it away, "
                "or name another folder"
            )


def _look(root: Path) -> Found:
    """What is in the folder of images, which must be DVC's to track."""
    found = look(root / DATA)
    if git.query("ls-files", "--", DATA, folder=root):
        raise DataError(
            f"{root / DATA}: expected images that DVC can track, got some that git does; run `git "
            f"rm -r -q --cached {DATA}` first, which leaves the files"
        )
    return found


def _give_to_dvc(root: Path) -> None:
    steps = []
    if not (root / ".dvc").is_dir():
        inside = bool(git.query("rev-parse", "--show-prefix", folder=root))
        steps.append(["init", "--quiet", *(["--subdir"] if inside else [])])
    if not dvc.pointer_of(root / DATA).exists():
        steps.append(["add", "--quiet", DATA])
    for step in steps:
        print(f"dvc {step[0]} …", flush=True)  # reads every image
        done = dvc.run(root, *step)
        if done.returncode != 0:
            raise PipelineError(f"{root}: `dvc {step[0]}` failed: {dvc.reason(done)}")


def _name(root: Path) -> str:
    """The folder's name, as MLflow's registry takes it."""
    name = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-")[:64]
    return name or "pixelproof"


def _words(root: Path, found: Found) -> str:
    move = "" if root == Path() else f"cd {shlex.quote(str(root))} && "
    lines = [
        f"{root / DATA}: {found.images:,} images of {len(found.classes)} classes "
        f"({found.shown_classes}), "
        f"resized to {found.side} x {found.side}",
        f"{root / PARAMS}: {found.classifier}, {'a GPU' if found.gpu else 'no GPU'}; yours to edit",
        f"Next: {move}pixelproof run",
    ]
    return "\n".join(lines)
