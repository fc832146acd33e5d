"""`pixelproof score`: the commands of its page, run as they stand there, and what they write."""

import csv
import json
import os
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pixelproof.cli.main import main
from tests.conftest import ROOT
from tests.support import scored
from tests.support.documents import blocks

PAGE, CI_PAGE = (ROOT / "docs" / name for name in ("score.md", "in-your-ci.md"))
MARK = "tested by tests/unit/scoring/test_command.py"
MARKED = [block for page in (PAGE, CI_PAGE) for block in blocks(page) if block.mark == MARK]
SHOWN = [words for block in MARKED for words in block.commands]
CLASSIFY = """
from tests.support.scored import labels as classify
"""
MODEL = ("score", "model.onnx", "pictures", "--classes", "dark,light,mixed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    scored.write_folders(root / "pictures")
    scored.save_onnx(root / "model.onnx", uint8=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it is old
        torch.jit.save(torch.jit.script(scored.network()), str(root / "model.pt"))
    (root / "inspection.py").write_text(CLASSIFY)
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "folder")
    monkeypatch.chdir(tmp_path / "folder")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "folder"


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_the_commands_of_the_page(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[:2] == ["pixelproof", "score"]
    assert main(words[1:]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "queries" in said
    if "--dry-run" not in words:
        assert re.search(r"^\d+ stuck pixels? |^\d+ pixels? ", said, re.MULTILINE)
    if "--worst" in words:
        assert "worst 16 stuck pixels" in said


def test_the_page_shows_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(MODEL)) == 0
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (block,) = (block for block in blocks(PAGE) if block.language == "text")
    shown = [line for line in block.text.splitlines() if line]
    assert [line for line in said if line][: len(shown)] == shown


def test_what_is_written_agrees(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", "a.json", "--csv", "a.csv", "--html", "a.html"]
    assert main([*MODEL, "--n", "4,40", *files]) == 0
    told = json.loads(Path("a.json").read_text())
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert [row["experiment"] for row in rows] == ["clean", "stuck", "stuck"]
    for row, one in zip(rows[1:], told["rows"], strict=True):
        assert (int(row["n"]), int(row["wrong"])) == (one["n"], one["wrong"])
        assert float(row["pi"]) == one["pi"]["value"]
    page = Path("a.html").read_text()
    assert len(re.findall(r'<div class="card flip">', page)) == len(told["flips"]) > 0
    assert not re.search(r"(?:src|href)=[\"']?(?!data:)\w", page), "it loads nothing"
    assert "<style>" in page


def test_standard_output_has_the_file_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*MODEL, "--n", "40", "--json", "/dev/fd/1", "--fail-above", "0.001"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["rows"][0]["n"] == 40
    assert "40 stuck pixels" in err
    assert "Pi is to be at most 0.001: " in err


@pytest.mark.parametrize("form", ["--json", "--csv", "--html"])
def test_a_pipe_and_a_link_are_written_to(folder: Path, form: str) -> None:
    pipe, link = folder / "pipe", folder / "link"
    os.mkfifo(pipe)
    link.symlink_to("behind")
    with ThreadPoolExecutor(1) as reader:
        text = reader.submit(pipe.read_text, encoding="utf-8")
        assert main([*MODEL, "--n", "40", form, str(pipe)]) == 0
        assert "stuck" in text.result()
    assert main([*MODEL, "--n", "40", form, str(link)]) == 0
    assert "stuck" in (folder / "behind").read_text()
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_names_are_escaped_on_the_page(folder: Path) -> None:
    odd = "<script>alert(1)</script>"
    (folder / "pictures" / "dark").rename(folder / "pictures" / "a <script> b")
    classes = "a <script> b,light,mixed"
    assert main([*MODEL[:3], "--classes", classes, "--n", "40", "--html", "a.html"]) == 0
    assert odd not in Path("a.html").read_text()
    assert "<script" not in Path("a.html").read_text()


def test_a_limit_of_pi_is_an_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MODEL, "--n", "40", "--fail-above", "1000"]) == 0
    assert main([*MODEL, "--n", "40", "--fail-above", "0.001"]) == 1
    assert "Pi is to be at most 0.001: " in capsys.readouterr().out
    short = ["--n", "40", "--until", "10%", "--max-queries", "30"]
    assert main([*MODEL, *short, "--fail-above", "1000"]) == 1
    assert "unknown at n = 40" in capsys.readouterr().out
    few = ["--n", "40", "--batch-size", "4", "--max-queries", "60"]
    assert main([*MODEL, *few, "--fail-above", "1000"]) == 1
    assert "not done, as the limit of 60 queries bought" in capsys.readouterr().out


def test_many_classes_are_no_name_of_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ",".join(f"a class with a long name {at}" for at in range(200))
    assert main([*MODEL[:3], "--classes", names]) == 3
    assert "expected scores of its 200 classes, got 3" in capsys.readouterr().err
    Path("names.txt").write_text("dark\nlight\nmixed\n")
    assert main([*MODEL[:3], "--classes", "names.txt", "--n", "40"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--n", "4,x"), 2, "--n: expected whole numbers with commas, got '4,x'"),
        (("--mean", "x"), 2, "--mean: expected numbers with commas, got 'x'"),
        (("--device", "tpu"), 2, "expected a device of ONNX Runtime"),
        (("--fail-above", "nan"), 2, "--fail-above: expected a number from 0, got nan"),
        (("--until", "much"), 2, "--until: expected 10% or 0.1, got 'much'"),
        (("--n", "999"), 2, "on images of side 16"),
        (("--json", "model.onnx/a.json"), 3, "cannot be written"),
        (("--classes", "a,b"), 3, "expected scores of its 2 classes, got 3"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MODEL, *words]) == code
    printed = [line for line in capsys.readouterr().err.splitlines() if "pixelproof:" in line]
    assert len(printed) == 1
    assert said in printed[0]


def test_a_dry_run_needs_no_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "missing.onnx", "pictures", "--draws", "2", "--n", "4", "--dry-run"]) == 0
    assert "at most 80 queries: 24 images, 8 of them twice, 2 draws" in capsys.readouterr().out
