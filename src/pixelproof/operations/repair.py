"""Damage in DVC's cache and in the workspace: found, removed, and put back where it can be."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelproof.data.demo import DEMO_SETS
from pixelproof.errors import DataError, PipelineError
from pixelproof.operations.damage import Cache, md5, shown, unlike_recorded
from pixelproof.operations.worktrees import idle
from pixelproof.paths import GATE
from pixelproof.system import files
from pixelproof.system.progress import progress

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo

ASIDE = Path(".pixelproof/damaged")  # a person's own images that no sound copy is left of


@dataclass(frozen=True)
class Wanted:
    """A file that `dvc.lock` or a pointer records.

    Attributes:
        root: The project's folder.
        path: Where it lies in the workspace.
        md5: Of its bytes.
        pointer: The `.dvc` file that records it; None for what a stage makes.
        fallback: Where else its bytes may be had.
    """

    root: Path
    path: Path
    md5: str
    pointer: str | None
    fallback: Path | None = None


@contextmanager
def _held(root: Path) -> Iterator["Repo"]:
    """Open a project's DVC and keep other commands out while the block runs."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo, lock_repo
    from dvc.rwlock import rwlock

    try:
        with (
            Repo(str(root)) as repo,
            lock_repo(repo),
            # While a stage runs, DVC holds what it reads and writes, and not its own lock.
            rwlock(repo.tmp_dir, repo.fs, "pixelproof repair", [], [repo.root_dir], False),
        ):
            yield repo
    except LockError as error:
        raise PipelineError(
            f"{root}: DVC is at work here; wait for it, then run `pixelproof repair` again "
            f"({' '.join(str(error).split())[:200]})"
        ) from None
    except DvcException as error:
        raise PipelineError(f"{root}: {error}") from None


def _listing(entries: Mapping[str, str]) -> bytes:
    """The object in which DVC lists a folder's files."""
    listed = [{"md5": entry, "relpath": name} for name, entry in entries.items()]
    listed.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    return json.dumps(listed, sort_keys=True).encode()


class _Project:
    """A workspace, and what DVC records of it."""

    def __init__(self, root: Path, repo: "Repo", cache: Cache) -> None:
        self.root, self.repo, self.cache = root, repo, cache
        self.unlike = list(unlike_recorded(root))
        self.wanted: list[Wanted] = []
        self.digests: dict[Path, str] = {}

    def condemn(self) -> None:
        for path in self.unlike:
            self.cache.condemn(md5(path))

    def read_records(self) -> None:
        """Find out which files there should be, mending damaged lists of them, and hash them."""
        self.wanted = [file for output in self.repo.index.outs for file in self._files_of(output)]
        there = [file.path for file in self.wanted if file.path.is_file()]
        with progress(len(there), f"verify {self.root.name}", "files") as update:
            for path in there:
                self.digests.setdefault(path, md5(path))
                update(1)

    def _files_of(self, out: "Output") -> Iterator[Wanted]:
        if out.hash_info is None or not out.hash_info.value:  # its stage never ran
            return
        name, folder = str(out.hash_info.value), Path(out.fs_path)
        pointer = shown(Path(out.stage.path)) if out.stage.is_data_source else None
        if not name.endswith(".dir"):
            yield Wanted(self.root, folder, name, pointer)
            return
        sources = _demo_sources(name)
        if name in self.cache.lost:
            self._mend_list(name, folder, sources)
        if name in self.cache.sound:
            for entry in json.loads(self.cache.path(name).read_bytes()):
                path = folder / entry["relpath"]
                fallback = sources.get(entry["relpath"])
                yield Wanted(self.root, path, entry["md5"], pointer, fallback)
        elif name in self.cache.lost:
            yield Wanted(self.root, folder, name, pointer)

    def _mend_list(self, name: str, folder: Path, sources: Mapping[str, Path]) -> None:
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
        for candidates in (there, sources):
            present = {key: path for key, path in candidates.items() if path.is_file()}
            listing = _listing({key: md5(path) for key, path in present.items()})
            if hashlib.md5(listing, usedforsecurity=False).hexdigest() + ".dir" == name:
                source = shown(folder) if candidates is there else "the installed package"
                with self.cache.put_back(name, source) as path:
                    path.write_bytes(listing)
                return

    def put_back(self) -> None:
        """Take the place of damaged objects from sound copies, here or in a demo package."""
        for file in self.wanted:
            for source in (file.path, file.fallback):
                if source is None or source in self.unlike or file.md5 not in self.cache.lost:
                    continue
                if source.is_file() and md5(source) == file.md5:
                    with self.cache.put_back(file.md5, shown(source)) as path:
                        shutil.copyfile(source, path)

    def _is_copy(self, path: Path) -> bool:
        """Whether a file of the workspace holds what a damaged object held."""
        return self.digests.get(path) in self.cache.damaged.values()

    def _aside(self, path: Path) -> Path:
        return self.root / ASIDE / path.relative_to(self.root)

    def keep_aside(self) -> None:
        """Keep what is left of images whose damaged object goes: a link would lose it."""
        for file in self.lost_data():
            if file.path.is_file() and self._is_copy(file.path):
                self._aside(file.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.path, self._aside(file.path))

    def mend_workspace(self) -> None:
        """Bring the workspace's damaged files back, or remove what the stages make anew."""
        recorded = {file.path: file for file in self.wanted}
        for file in self.wanted:
            digest = self.digests.get(file.path, file.md5)
            if file.path in self.unlike or digest == file.md5 or digest in self.cache.sound:
                continue  # another version is no damage
            if file.pointer is None or self._is_copy(file.path):  # else a person has changed it
                self._mend(file.path, file)
        for path in self.unlike:
            self._mend(path, recorded.get(path))

    def _mend(self, path: Path, file: Wanted | None) -> None:
        if file is not None and file.md5 in self.cache.sound:
            source = self.cache.path(file.md5)
            with files.atomic(path) as temporary:  # never through a link into the cache
                shutil.copyfile(source, temporary)
            self._aside(path).unlink(missing_ok=True)
            outcome = "put back from DVC's cache"
        elif file is not None and file.pointer is not None:
            path.unlink()
            outcome = f"moved to {shown(self._aside(path))}"
        else:
            copies = self.root / GATE / "champions"
            if path.is_relative_to(copies):  # a download, fetched anew as a whole
                shutil.rmtree(copies / path.relative_to(copies).parts[0])
            else:
                path.unlink()
            outcome = "removed"
        self.cache.report.append(f"{shown(path)}: damaged; {outcome}")

    def lost_data(self) -> list[Wanted]:
        return [file for file in self.wanted if file.pointer and file.md5 in self.cache.lost]

    def fetch(self) -> None:
        """Bring lost objects of the data from a remote, where there is one."""
        from dvc.exceptions import DvcException

        pointers = sorted({str(file.pointer) for file in self.lost_data()})
        if not pointers or not self.repo.config["core"].get("remote"):
            return
        with suppress(DvcException, OSError):
            self.repo.fetch([str(Path(pointer).resolve()) for pointer in pointers])
        for name in self.cache.lost:
            path = self.cache.path(name)
            if path.is_file() and md5(path) == name.removesuffix(".dir"):
                self.cache.sound.add(name)
                self.cache.report.append(f"{shown(path)}: damaged; fetched from the remote")
        self.read_records()


def _demo_sources(name: str) -> dict[str, Path]:
    """Where the files of a demo set lie in its package, by their names in its folder."""
    for demo in DEMO_SETS.values():
        if demo.md5 == name:
            with suppress(DataError):
                return demo.find()[0]
    return {}


def _words(cache: Cache, lost: Iterable[Wanted]) -> str:
    """What was damaged and done, and what to do next; raises where images are gone."""
    missing = list(lost)
    if missing:
        print("\n".join(cache.report), flush=True)
        names = ", ".join(shown(file.path) for file in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        pointer = str(missing[0].pointer)
        raise DataError(
            f"{names}{more}: damaged, and no sound copy is in the workspace or on a remote; set "
            f"a remote that has it and run `dvc pull {pointer}`, or put the original back and run "
            f"`dvc add {pointer.removesuffix('.dvc')}`, which also goes on without it"
        )
    sound = f"{len(cache.sound)} objects of DVC's cache are sound"
    if not cache.report:
        return f"Nothing is damaged: {sound}, and so is what lies in the workspace."
    return "\n".join([*cache.report, f"{sound}. Next: dvc repro (or make run)"])


def repair(root: Path) -> str:
    """Verify DVC's cache and the workspaces that share it, and mend what is damaged.

    A damaged object is replaced by a sound copy of its bytes (of the workspace, a demo package,
    or for images a remote), else removed, so that `dvc repro` makes it anew; a damaged file in a
    workspace likewise. Nothing that is sound is deleted, and no older version.

    Args:
        root: The project's folder.

    Returns:
        What was found and done, and what to do next.

    Raises:
        DataError: An image is damaged, and no sound copy of it is left.
        PipelineError: A run is at work, or DVC cannot read the project.
    """
    with idle(root) as worktrees, ExitStack() as stack:
        folders = [folder.resolve() for folder in (root, *worktrees)]
        repos = {folder: stack.enter_context(_held(folder)) for folder in folders}
        cache = Cache(Path(repos[folders[0]].cache.local.path))
        cache.verify()
        projects = [_Project(folder, repo, cache) for folder, repo in repos.items()]
        for project in projects:
            project.condemn()
        for project in projects:
            project.read_records()
        for project in projects:
            project.put_back()
        for project in projects:
            project.keep_aside()
        for name in cache.lost:
            cache.path(name).unlink()
        for project in projects:
            project.fetch()
        cache.report += [f"{shown(cache.path(name))}: damaged; removed" for name in cache.lost]
        for project in projects:
            project.mend_workspace()
        return _words(cache, [file for project in projects for file in project.lost_data()])
