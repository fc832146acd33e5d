"""`pixelproof upgrade`: a project takes over what the installed version does differently."""

from pathlib import Path

from pixelproof import __version__
from pixelproof.errors import ParameterError
from pixelproof.operations import project_files
from pixelproof.operations.stage_graph import stage_graph
from pixelproof.params.behaviour import (
    BEHAVIOUR,
    RECORD,
    Record,
    newer,
    read_record,
    write_record,
)
from pixelproof.system import files


def upgrade(dry_run: bool) -> str:
    """Record the behaviour of the installed version, and renew the files that nobody has edited.

    Args:
        dry_run: Say what would be written and run again, and write nothing.

    Returns:
        What is new, which stages run again and what may follow from them, for a person.

    Raises:
        ParameterError: There is no project here, or a newer version made it.
        IntegrityError: `pixelproof.lock` is damaged.
    """
    record = _read()
    raised = [name for name, number in BEHAVIOUR.items() if number != record.stages.get(name)]
    texts = project_files.renewable()
    new = project_files.digests(texts)
    changed = [path for path, digest in new.items() if digest != record.files.get(path)]
    edited = [path for path in changed if not _as_written(path, record)]
    renewed = [path for path in changed if path not in edited]
    stay = [f"{path}: differs in this version, but you have edited it: stays" for path in edited]
    if not (raised or renewed) and record.version == __version__:
        return "\n".join([f"{RECORD}: nothing to change", *stay])
    lines = [f"{RECORD}: of pixelproof {record.version}, this is {__version__}"]
    lines += _runs_again(record, raised)
    lines += [f"{path}: {'would be renewed' if dry_run else 'renewed'}" for path in renewed]
    lines += stay
    if dry_run:
        return "\n".join([*lines, "Next: pixelproof upgrade"])
    for path in renewed:
        files.write_text(Path(path), texts[path])
    kept = {path: record.files[path] for path in edited if path in record.files}
    write_record(Record(__version__, BEHAVIOUR, new | kept))
    return "\n".join([*lines, "Next: pixelproof run"])


def _read() -> Record:
    """The record of the project here, which no newer version has made."""
    record = read_record()
    if record is None:
        raise ParameterError(
            f"{RECORD}: missing; run in a project that `pixelproof init` made (a clone of "
            "pixelproof's repository needs no upgrade: its stages depend on its files)"
        )
    for name, number in record.stages.items():
        if number > BEHAVIOUR.get(name, 0):
            raise newer(record, name)
    return record


def _as_written(path: str, record: Record) -> bool:
    """Whether a file is as pixelproof wrote it; one that is missing is written anew."""
    file = Path(path)
    return not file.exists() or files.sha256(file) == record.files.get(path)


def _runs_again(record: Record, raised: list[str]) -> list[str]:
    """Which stages an upgrade makes stale, and which read what those make."""
    if not raised:
        return ["No stage runs again: none computes something else"]
    graph = stage_graph()
    first = [name for name in graph if name.partition("@")[0] in raised]
    after: list[str] = []
    for name, needs in graph.items():  # in an order in which they can run
        if name not in first and any(need in first or need in after for need in needs):
            after.append(name)
    why = ", ".join(f"{name} {record.stages.get(name, 0)} → {BEHAVIOUR[name]}" for name in raised)
    lines = [f"Run again: {', '.join(first)} (behaviour of {why})"]
    return [*lines, f"And then, where their input changes: {', '.join(after)}"] if after else lines
