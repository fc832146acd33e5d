"""What README and docs say can be done: each command is tested, each link leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from tools import reference
from tools.site_pages import LINK
from tools.site_pages import PAGES as OF_THE_ROOT

from pixelproof.cli.app import app
from tests.conftest import ROOT
from tests.support.documents import PAGES, Block, anchors, blocks, inline_code, prose

COMMANDS = [block for page in PAGES for block in blocks(page) if block.language == "console"]
CODE = [block for page in PAGES for block in blocks(page) if block.language == "python"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("block", [*COMMANDS, *CODE], ids=str)
def test_each_command_is_tested_or_says_why_not(block: Block) -> None:
    if block.mark.startswith("example: "):
        assert block.page == "CONTRIBUTING.md", "tests/pipeline/test_contributing.py follows those"
    elif block.mark == "run":
        assert block.page.startswith("docs/"), "tests/pipeline/test_documents.py runs those alone"
    elif block.mark.startswith("run in "):
        there = blocks(ROOT / block.mark.removeprefix("run in "))
        run = [words for one in there if one.mark == "run" for words in one.commands]
        assert all(words in run for words in block.commands)
    elif block.mark.startswith("tested by "):
        text = (ROOT / block.mark.removeprefix("tested by ")).read_text()
        for _, command, *_ in block.commands:
            assert f'"{command}"' in text, f"{command} is not in it"
    else:
        reason = block.mark.removeprefix("not run: ")
        assert reason != block.mark, f"expected a mark before the block, got {block.mark!r}"
        assert len(reason.split()) >= 3, "it says why"
        for path in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_are_there(page: Path) -> None:
    consoles = [block for block in blocks(page) if block in COMMANDS]
    shown = [words for block in consoles for words in block.commands]
    shown += [text.split() for text in inline_code(page)]
    for words in shown:
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in TARGETS, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.finditer(prose(page)):
        target = (page.parent / link["path"]).resolve()
        assert target.is_file(), link["path"]
        if link["anchor"]:
            assert link["anchor"].removeprefix("#") in anchors(target), link[0]
    for anchor in re.findall(r"\]\(#([^)]+)\)", prose(page)):
        assert anchor in anchors(page), anchor


def test_each_page_is_on_the_site() -> None:
    def leaves(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        assert isinstance(parts, list) or hasattr(parts, "__iter__")
        return [leaf for part in parts for leaf in leaves(part)]

    shown = leaves(YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text())["nav"])
    here = {OF_THE_ROOT.get(page.name, page.name) for page in PAGES}
    assert sorted(shown) == sorted(here)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def only_parsing(command: Any) -> Any:
    """The command line with nothing behind it."""
    command.callback = lambda **_: None
    for inner in getattr(command, "commands", {}).values():
        only_parsing(inner)
    return command


def test_commands_of_pixelproof_are_understood() -> None:
    parser = only_parsing(typer.main.get_command(app))
    shown = [words for block in COMMANDS for words in block.commands if words[0] == "pixelproof"]
    assert len(shown) > 15
    for words in shown:
        parser.main(words[1:], prog_name="pixelproof", standalone_mode=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_a_sentence_are_there(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for text in inline_code(page):
        program, *words = text.split()
        if program != "pixelproof":
            continue
        command, known = root, set(root.params)
        for name in (word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)):
            if hasattr(command, "commands"):
                assert name in command.commands, text
                command = command.commands[name]
                known |= set(command.params)
        options = {option for one in known for option in one.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, text


def test_the_pages_of_reference_are_current() -> None:
    for path, text in reference.pages().items():
        assert path.read_text() == text, f"{path.name}: run `make docs`"
        assert "|  |\n" not in text, "each key, argument and option says what it is"


def test_the_site_asks_the_network_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="`make docs` installs it")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.glob("*.html"))
    assert len(pages) > len(PAGES)
    loads = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"']?([^\"' >]+)")
    for page in pages:
        text = page.read_text()
        assert not [one for one in loads.findall(text) if "//" in one], page.name
        assert "mermaid" not in text, "its script would come from elsewhere"
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text())
