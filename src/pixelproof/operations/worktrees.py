"""Worktrees for scheduled runs, which leave a person's parameters, lock and data untouched."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pixelproof.data.demo import provide_data
from pixelproof.errors import (
    DataError,
    ParameterError,
    PipelineError,
    PixelproofError,
    ServiceError,
)
from pixelproof.params.profiles import as_params
from pixelproof.params.project import Params, load_params
from pixelproof.system import dvc, files, git
from pixelproof.system.locks import hold

FOLDER = Path(".pixelproof/worktrees")
RESULTS = ("dvc.lock", "params.yaml", "*.dvc", "metrics", "plots")  # what git keeps of a run


@contextmanager
def worktree(root: Path, revision: str, name: str) -> Iterator[Path]:
    """Lend the project's folder in a worktree at a revision; one run at a time has it.

    It stays for the next run, so that what is up to date is not made again and interrupted
    training goes on: files that git ignores are left, and so is its own `dvc.lock`.

    Args:
        root: The project's folder, in a git repository.
        revision: Of git: a branch, a tag, a commit or HEAD.
        name: Of the worktree.

    Yields:
        The project's folder in it.

    Raises:
        ParameterError: There is no such revision.
        PipelineError: Another run works in it, or git refuses.
    """
    prefix = git.run(root, "rev-parse", "--show-prefix")
    try:
        commit = git.run(
            root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"
        )
    except PipelineError:
        raise ParameterError(f"revision: expected one that git knows, got {revision!r}") from None
    tree = root / FOLDER / name
    busy = PipelineError(f"{tree}: another run works here; wait for it")
    with hold(tree.with_suffix(".lock"), busy):
        folder = tree / prefix
        _bring(root, tree, folder, commit)
        _share_cache(root, folder)
        yield folder


def _bring(root: Path, tree: Path, folder: Path, commit: str) -> None:
    """Bring a worktree to a commit; made where it is missing or was moved."""
    lock = folder / "dvc.lock"
    kept = lock.read_bytes() if lock.is_file() else None
    try:
        index = Path(git.run(tree, "rev-parse", "--absolute-git-dir"), "index.lock")
        ours = Path(git.run(tree, "rev-parse", "--show-toplevel")) == tree.resolve()
    except PipelineError:
        ours = False
    if ours:
        index.unlink(missing_ok=True)  # of a git that was killed: no other is at work here
        git.run(tree, "checkout", "--quiet", "--force", "--detach", commit)
    else:
        shutil.rmtree(tree, ignore_errors=True)
        git.run(root, "worktree", "prune")
        git.run(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
    if kept is not None:
        lock.write_bytes(kept)


def _share_cache(root: Path, folder: Path) -> None:
    """Let DVC in the worktree use the project's cache and remotes."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    local = root / ".dvc" / "config.local"
    target = folder / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy(local, target)
    else:
        target.unlink(missing_ok=True)
    try:
        with Repo(str(root)) as repo:
            cache = Path(repo.cache.local_cache_dir).resolve()
            remotes = {name: str(remote["url"]) for name, remote in repo.config["remote"].items()}
    except DvcException as error:
        raise PipelineError(f"{root}: DVC's cache cannot be shared: {error}") from None
    settings = [["cache", "dir", "--local", str(cache)]]
    for name, url in remotes.items():
        if "://" not in url:  # a folder, which may be relative to the other configuration
            settings.append(["remote", "modify", "--local", name, "url", str(Path(url).resolve())])
    for words in settings:
        done = dvc.run(folder, *words)
        if done.returncode:
            raise PipelineError(f"{root}: DVC's cache cannot be shared: {dvc.reason(done)}")


def set_parameters(folder: Path, profile: str | None, overrides: Mapping[str, Any]) -> Params:
    """Write the parameters of a run; comments are kept.

    Args:
        folder: Of `params.yaml`.
        profile: The name of a file in `profiles/`, or a path; None leaves what is there.
        overrides: Values by dotted key, `finetune.epochs`.

    Raises:
        ParameterError: A profile or a key is unknown, or a value is not what it must be.
    """
    path = folder / "params.yaml"
    if profile is not None:
        named = [folder / "profiles" / f"{profile}.yaml", folder / profile]
        existing = [candidate for candidate in named if candidate.is_file()]
        if not existing:
            known = sorted(candidate.stem for candidate in (folder / "profiles").glob("*.yaml"))
            raise ParameterError(f"profile: expected one of {known} or a file, got {profile!r}")
        files.write_text(path, as_params(existing[0], path).decode())
    if overrides:
        load_params(path)
        yaml = YAML()
        content = yaml.load(path.read_text(encoding="utf-8"))
        for key, value in overrides.items():
            _override(content, key, value)
        text = StringIO()
        yaml.dump(content, text)
        files.write_text(path, text.getvalue())
    return load_params(path)


def _override(content: Any, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(content.get(section), dict):
            raise ParameterError(f"overrides: {key}: no section {section} in params.yaml")
        content = content[section]
    content[last] = value


def bring_data(folder: Path, params: Params, pointer: str | None) -> None:
    """Bring the images that a pointer names: from the cache, else as `make data` does.

    Args:
        folder: The project's, in the worktree.
        params: For the name of the data folder.
        pointer: The text of an announced `data.dvc`; None takes the committed one.

    Raises:
        DataError: The text is no pointer to the data folder.
        ServiceError: The images are neither in the cache nor on a remote.
    """
    path = folder / f"{params.select.data}.dvc"
    if pointer is not None:
        dvc.check_pointer(pointer, params.select.data)
        files.write_text(path, pointer)
    if not path.is_file():
        raise DataError(f"{path}: missing; `dvc add {params.select.data}` makes it")
    if dvc.run(folder, "checkout", "--quiet", "--force", path.name).returncode != 0:
        shutil.rmtree(folder / params.select.data, ignore_errors=True)
        if params.select.data == "data":
            provide_data(folder)
        elif dvc.run(folder, "pull", "--quiet", path.name).returncode != 0:
            raise ServiceError(f"{path}: the images are neither in DVC's cache nor on its remote")


def check_branch(folder: Path, branch: str) -> str:
    """Check that results can be committed to a branch; its reference.

    Raises:
        ParameterError: The branch is checked out somewhere, or has no name that git takes.
    """
    reference = f"refs/heads/{branch}"
    try:
        git.run(folder, "check-ref-format", reference)
    except PipelineError:
        raise ParameterError(f"branch: expected a name that git takes, got {branch!r}") from None
    if f"branch {reference}" in git.run(folder, "worktree", "list", "--porcelain").splitlines():
        raise ParameterError(f"branch: {branch} is checked out; name another for the results")
    return reference


@contextmanager
def idle(root: Path) -> Iterator[list[Path]]:
    """Hold all worktrees of a project while no run works in them; the project's folder in each.

    Raises:
        PipelineError: A run is at work in one.
    """
    locks = sorted((root / FOLDER).glob("*.lock"))
    prefix = git.run(root, "rev-parse", "--show-prefix") if locks else ""
    with ExitStack() as stack:
        for path in locks:
            busy = PipelineError(f"{path.with_suffix('')}: a run works here; wait")
            stack.enter_context(hold(path, busy))
        folders = [path.with_suffix("") / prefix for path in locks]
        yield [folder for folder in folders if (folder / "dvc.yaml").is_file()]


def commit_results(folder: Path, branch: str, message: str) -> str:
    """Commit what git keeps of a run to a branch, which no one has checked out; its commit.

    The commit holds the worktree's revision with the new `dvc.lock`, parameters, pointers,
    metrics and plots, on top of the branch. Returns the parent commit if nothing has changed.

    Args:
        folder: The project's, in the worktree.
        branch: Made where it is missing.
        message: Of the commit.

    Raises:
        ParameterError: The branch is checked out somewhere, or has no name that git takes.
        PipelineError: Git refuses.
    """
    reference = check_branch(folder, branch)
    index = Path(git.run(folder, "rev-parse", "--absolute-git-dir")) / "results.index"
    held = {"GIT_INDEX_FILE": str(index)}
    try:
        git.run(folder, "read-tree", "HEAD", **held)
        present = [pattern for pattern in RESULTS if any(folder.glob(pattern))]
        git.run(folder, "add", "--update", "--", *present, **held)
        git.run(folder, "add", "--", *present, **held)
        tree = git.run(folder, "write-tree", **held)
    finally:
        index.unlink(missing_ok=True)
    head, parents = git.run(folder, "rev-parse", "HEAD"), []
    try:
        tip = git.run(folder, "rev-parse", "--verify", "--quiet", reference)
        parents.append(tip)
    except PipelineError:
        tip = ""
    base = git.run(folder, "merge-base", tip, head) if tip else ""
    if base != head:
        parents.append(head)
    if tree == git.run(folder, "rev-parse", f"{parents[0]}^{{tree}}"):
        return parents[0]
    options = [part for parent in parents for part in ("-p", parent)]
    commit = git.run(folder, "commit-tree", tree, *options, "-m", message, **_author(folder))
    git.run(folder, "update-ref", reference, commit, tip)
    return commit


def _author(folder: Path) -> dict[str, str]:
    """An author for machines on which git has none configured."""
    try:
        git.run(folder, "var", "GIT_COMMITTER_IDENT")
        return {}
    except PixelproofError:
        mail = f"pixelproof@{os.uname().nodename}"
        kinds = ("AUTHOR", "COMMITTER")
        return {f"GIT_{kind}_NAME": "pixelproof" for kind in kinds} | {
            f"GIT_{kind}_EMAIL": mail for kind in kinds
        }
