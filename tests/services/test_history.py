"""`pixelproof diff` on a toy project that has run twice: git revisions and MLflow runs."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.repository import run
from tests.support.toys import Toys, ran


@pytest.fixture(scope="module")
def repository(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project with two results, each committed and tracked."""
    root = toys.tracked(tmp_path_factory.mktemp("lookback"))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "run")
    text = (root / "params.yaml").read_text()
    other = text.replace("learning_rate: 0.02", "learning_rate: 0.0001")
    (root / "params.yaml").write_text(other)
    assert "finetune@clean" in ran(run(root, "pixelproof", "run"))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "run")
    return root


def rows(text: str) -> list[str]:
    """The lines of the table below its head."""
    return text.split("---\n")[1].split("\n\n")[0].splitlines()


def run_ids(root: Path) -> dict[str, list[str]]:
    """The runs' ids by name, the oldest first; the pipelines' under the empty name."""
    found = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db").search_runs(
        ["1"], order_by=["attributes.start_time ASC"]
    )
    named: dict[str, list[str]] = {}
    for one in found:
        named.setdefault(one.data.tags.get("pixelproof.run", ""), []).append(one.info.run_id)
    return named


def test_revisions_and_runs_tell_the_same(repository: Path) -> None:
    by_revision = run(repository, "pixelproof", "diff", "HEAD~1", "HEAD")
    assert "A = HEAD~1, B = HEAD" in by_revision
    commit = run(repository, "git", "log", "-1", "--format=%h of %cs", "HEAD~1").strip()
    data = by_revision.split("\nA: ")[1].split(";")[0]
    assert data.startswith("data (80 files, DVC ")
    assert f"\nA: {data}; commit {commit}\n" in by_revision
    table = rows(by_revision)
    assert {line.split()[0] for line in table} == {"baseline", "clean", "stuck-8"}
    same = [line for line in table if line.startswith("baseline") and "stuck n 64 (25 %)" in line]
    assert "same images, same draws" in same[0]
    assert " +0.00 [" in same[0], "the original is the same"
    assert any(line.startswith("stuck-8   stuck n 64") for line in table)
    assert any("gradient_free epsilon 40 20 queries" in line for line in table)
    pipelines = run_ids(repository)[""]
    assert len(pipelines) == 2
    by_run = run(repository, "pixelproof", "diff", *pipelines)
    assert rows(by_run) == table
    assert "\nB: data (DVC " in by_run
    assert "; run of 20" in by_run
    assert "with changes that were not committed\n" in by_run
    assert rows(run(repository, "pixelproof", "diff", "HEAD~1", pipelines[1])) == table


def test_names_of_models_are_no_paths(repository: Path) -> None:
    """Those of another's revision and another's run become the names of files here."""
    outside = repository / "outside.parquet"
    text = (repository / "params.yaml").read_text()
    odd = text.replace("\nmodels:\n", "\nmodels:\n  ../../outside: {origin: baseline}\n")
    assert odd != text
    run(repository, "git", "switch", "-qc", "odd")
    (repository / "params.yaml").write_text(odd)
    run(repository, "git", "commit", "-qam", "odd")
    run(repository, "git", "switch", "-q", "-")
    said = run(repository, "pixelproof", "diff", "HEAD", "odd", code=3)
    assert "odd: expected names of models in params.yaml, got '../../outside'" in said
    runs = run_ids(repository)
    client = MlflowClient(f"sqlite:///{repository}/mlruns/mlflow.db")
    client.set_tag(runs["clean"][0], "pixelproof.run", "../../outside")
    said = run(repository, "pixelproof", "diff", runs[""][0], runs[""][1], code=3)
    client.set_tag(runs["clean"][0], "pixelproof.run", "clean")
    assert "expected runs of named models, got '../../outside'" in said
    assert not outside.exists()


def test_other_images_than_those_of_now_are_said_to_be(repository: Path) -> None:
    pointer = repository / "data.dvc"
    text = pointer.read_text()
    digest = text.split("md5: ")[1].split(".dir")[0]
    pointer.write_text(text.replace(digest, "0" * 32))
    try:
        said = run(repository, "pixelproof", "diff", "HEAD~1", run_ids(repository)[""][1])
        for letter in "AB":
            assert f"\n{letter}: other images than data.dvc names here (00000000)\n" in said
    finally:
        pointer.write_text(text)


def test_two_models_of_one_run(repository: Path) -> None:
    ids = run_ids(repository)
    text = run(repository, "pixelproof", "diff", ids["clean"][1], ids["stuck-8"][1])
    assert {line.split("  ")[0] for line in rows(text)} == {"clean, stuck-8"}
    assert "same images, same draws" in text


def test_what_cannot_be_compared_is_one_line(repository: Path) -> None:
    def said(*names: str, code: int) -> str:
        line = run(repository, "pixelproof", "diff", *names, code=code).strip()
        assert len(line.splitlines()) == 1
        return line

    assert "no-such: expected a git revision, or the id" in said("no-such", "HEAD", code=2)
    assert "got no run in sqlite" in said("0" * 32, "HEAD", code=2)
    ids = run_ids(repository)
    assert "expected the run of a pipeline or a model, got one of data" in said(
        ids["select"][0], "HEAD", code=2
    )
    assert "artifacts/ledger/baseline.parquet of HEAD~2: neither in" in said(
        "HEAD~2", "HEAD", code=3
    )
    cache = repository / ".dvc" / "cache"
    shutil.move(cache, repository / "elsewhere")
    try:
        assert "of HEAD~1: neither in DVC's cache nor in a remote" in said("HEAD~1", "HEAD", code=3)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.move(repository / "elsewhere", cache)
