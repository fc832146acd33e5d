"""Where a result comes from: its images and its commit, and whether they are the current ones.

`dvc.lock` says what each stage was run with, `metrics/summary.json` (`made_from`) which images,
weights and predictions its figures came from. Both are told by content alone, so that they are the
same in every clone; commit and date are looked up when somebody asks.
"""

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelproof.params.behaviour import RECORD, read_record
from pixelproof.paths import IMAGES, LEDGER, METRICS, MODELS, PARAMS
from pixelproof.system import dvc, files, git
from pixelproof.system.dvc import LOCK, Stages, pointer_hash, stages_of

CODE = "src/"  # the code of the stages, with the templates
SHOWN = 4  # differences of one kind that are named


@dataclass(frozen=True)
class Origin:
    """Where a result comes from.

    Attributes:
        data: The images, in words.
        made: Commit and date, in words.
        differs: Why it is not of what lies here now; empty where it is.
    """

    data: str
    made: str
    differs: tuple[str, ...]


def data_hash(data: str) -> str:
    """The hash of the images that DVC tracks here; empty where it tracks none."""
    return pointer_hash(dvc.read(Path(f"{data}.dvc")))


def locked_data(stages: Stages, data: str) -> Mapping[str, Any]:
    """What the lock says of the images that were read: `md5`, `nfiles`."""
    deps = stages.get("select", {}).get("deps", [])
    return next((dep for dep in deps if dep.get("path") == data), {})


def compared_data(stages: Stages, data: str) -> Mapping[str, Any]:
    """As `locked_data`, if the last comparison is of those images, else nothing."""
    outs = stages.get("select", {}).get("outs", [])
    deps = stages.get("compare", {}).get("deps", [])
    read, compared = (
        [entry.get("md5") for entry in entries if entry["path"] == str(IMAGES)]
        for entries in (outs, deps)
    )
    return locked_data(stages, data) if read == compared else {}


def short(digest: str) -> str:
    """The first digits of a hash, enough for a person to compare."""
    return digest[:8]


def _made(path: Path) -> str:
    """When a file of figures was made: its commit, or that it is not committed."""
    day = datetime.datetime.fromtimestamp(path.stat().st_mtime).date().isoformat()
    head = git.query("log", "-1", "--format=%h")
    if not head:
        return f"made on {day}, commit unknown (no git here)"
    commit = git.query("log", "-1", "--format=%h of %cs", "--", str(path))
    if not commit or git.query("status", "--porcelain", "--", str(path)):
        return f"made on {day}, not committed yet (on {head})"
    return f"commit {commit}"


def _lookup(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def data_folder(params: Any) -> str:
    """The folder of the images that the content of a params.yaml names."""
    return str(_lookup(params, "select.data") or "data")


def _leaves(then: Any, now: Any, key: str) -> Iterator[str]:
    """The keys of parameters that differ, with both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            yield from _leaves(then.get(name), now.get(name), f"{key}.{name}")
    elif then != now:
        yield f"{key} {_shown(then)}, now {_shown(now)}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _current(stages: Stages, params: Any) -> Stages:
    """The stages of models that params.yaml still names; the lock keeps those of others."""
    models = params.get("models") or [] if isinstance(params, dict) else []
    return {
        name: body
        for name, body in stages.items()
        if "@" not in name or name.split("@")[1] in models
    }


def changed_params(stages: Stages, params: Any) -> list[str]:
    """Which parameters differ from those that the stages were run with."""
    changed: list[str] = []
    for body in _current(stages, params).values():
        for key, then in body.get("params", {}).get(str(PARAMS), {}).items():
            changed += _leaves(then, _lookup(params, key), key)
    return list(dict.fromkeys(changed))


def stages_behind(stages: Stages, params: Any) -> list[str]:
    """The stages that have not run since one of their inputs was made anew."""
    current = _current(stages, params)
    made = {
        out["path"]: out.get("md5") for body in current.values() for out in body.get("outs", [])
    }
    return [
        name
        for name, body in current.items()
        for dep in body.get("deps", [])
        if dep["path"] in made and made[dep["path"]] != dep.get("md5")
    ]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _changed_code(stages: Stages) -> list[str]:
    known = {
        dep["path"]: dep.get("md5")
        for body in stages.values()
        for dep in body.get("deps", [])
        if dep["path"].startswith(CODE)
    }
    return [path for path, md5 in known.items() if Path(path).is_file() and _md5(Path(path)) != md5]


def _changed_behaviour(stages: Stages) -> list[str]:
    """The stages that ran with another version of pixelproof, in a project that records it."""
    record = read_record()
    if record is None:
        return []
    known = {
        key.removeprefix("stages."): number
        for body in stages.values()
        for key, number in body.get("params", {}).get(str(RECORD), {}).items()
    }
    return [name for name, number in known.items() if record.stages.get(name) != number]


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def lock_differences(stages: Stages, params: Any, data: str) -> Iterator[str]:
    """How what a lock records differs from some parameters and images.

    Args:
        stages: Of the lock.
        params: What params.yaml holds.
        data: The hash of the images, as their `.dvc` file names it; may be empty.
    """
    folder = data_folder(params)
    then = str(locked_data(stages, folder).get("md5", ""))
    if then and data and then != data:
        names = f"{folder}.dvc names {short(data)}"
        yield f"other images: {names}, the stages last ran on {short(then)}"
    if changed := changed_params(stages, params):
        yield f"other parameters: {_some(changed)}"
    if behind := list(dict.fromkeys(stages_behind(stages, params))):
        yield f"not run since what they need was made anew: {_some(behind)}"


def _here(summary: Mapping[str, Any]) -> Iterator[str]:
    """How the figures' images, models and predictions differ from the current ones."""
    known = summary.get("made_from")
    if known is None:
        return
    manifest = IMAGES / "manifest.json"
    if manifest.is_file():
        content = files.read_json(manifest)
        if files.content_hash(content) != known["data"]["content"]:
            count, classes = content["found"], len(content["classes"])
            yield f"other images: those read here are {count:,} of {classes} classes"
    about = {name: MODELS / name / "classifier.json" for name in known["weights"]}
    others = [
        name
        for name, path in about.items()
        if path.is_file() and files.read_json(path)["sha256"] != known["weights"][name]
    ]
    if others:
        yield f"other models: {_some(others)} was trained anew"
    ledgers = {name: LEDGER / f"{name}.parquet" for name in known["ledgers"]}
    others = [
        name
        for name, path in ledgers.items()
        if path.is_file() and files.sha256(path) != known["ledgers"][name]
    ]
    if others:
        yield f"other predictions: of {_some(others)}"


def _classes(summary: Mapping[str, Any]) -> str:
    names = list(next(iter(summary["models"].values()))["recall"])
    return ", ".join(names[:SHOWN]) + (f" … ({len(names)} classes)" if len(names) > SHOWN else "")


def workspace_origin(summary: Mapping[str, Any]) -> Origin:
    """Where the figures in `metrics/` come from, and how that differs from the workspace.

    Args:
        summary: What `metrics/summary.json` holds.
    """
    path, params, stages = METRICS / "summary.json", dvc.read(PARAMS), stages_of(dvc.read(LOCK))
    known = summary.get("made_from", {}).get("data", {})
    folder = str(known.get("path") or data_folder(params))
    then = compared_data(stages, folder)
    outs = stages.get("compare", {}).get("outs", [])
    recorded = next((out.get("md5") for out in outs if out["path"] == str(path)), None)
    same = recorded == _md5(path)
    count = known.get("images") or (then.get("nfiles") if same else None)
    digest = f", DVC {short(str(then['md5']))}" if same and "md5" in then else ""
    data = f"{folder} ({_classes(summary)}{f'; {count:,} images' if count else ''}{digest})"
    differs = [] if same or recorded is None else [f"{LOCK} is of other figures"]
    differs += [*_here(summary), *lock_differences(stages, params, data_hash(folder))]
    if code := _changed_code(_current(stages, params)):
        differs.append(f"other code: {_some(code)}")
    if raised := _changed_behaviour(_current(stages, params)):
        differs.append(f"other behaviour of pixelproof: {_some(raised)}")
    return Origin(data, _made(path), tuple(differs))


def revision_origin(revision: str, params: Mapping[str, Any]) -> Origin:
    """Where the result of a git revision comes from, and how the workspace differs.

    Args:
        revision: One that there is.
        params: What its params.yaml holds.
    """

    def content(path: str) -> Any:
        return dvc.parse(git.query("show", f"{revision}:./{path}"))

    stages, folder = stages_of(content(str(LOCK))), data_folder(params)
    then = compared_data(stages, folder)
    digest = str(then.get("md5", ""))
    made = f"commit {git.query('log', '-1', '--format=%h of %cs', revision, '--')}"
    behind = lock_differences(stages, params, pointer_hash(content(f"{folder}.dvc")))
    count = f"{then['nfiles']:,} files, " if "nfiles" in then else ""
    words = f"{folder} ({count}DVC {short(digest)})" if digest else folder
    return Origin(words, made, (*behind, *_other_images(digest, folder)))


def run_origin(tags: Mapping[str, str], day: str, folder: str) -> Origin:
    """Where the result of a tracked run comes from, and how the workspace differs.

    Args:
        tags: Of the run.
        day: On which it started.
        folder: Of the images.
    """
    digest, commit = tags.get("dvc.data", ""), tags.get("mlflow.source.git.commit", "")
    made = f"run of {day}, " + (f"commit {commit[:7]}" if commit else "commit unknown")
    if tags.get("git.changed") == "yes":
        made += " with changes that were not committed"
    words = f"{folder} (DVC {short(digest)})" if digest else folder
    return Origin(words, made, tuple(_other_images(digest, folder)))


def _other_images(digest: str, folder: str) -> Iterator[str]:
    here = data_hash(folder)
    if digest and here and digest != here:
        yield f"other images than {folder}.dvc names here ({short(here)})"
