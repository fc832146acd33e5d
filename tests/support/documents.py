"""What the documents show: fenced blocks, the comment before each, links and headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
# Pages whose Python is one program: tests/unit/test_code_in_documents.py runs it.
IN_PYTHON = ("in-your-training-loop", "in-your-ci", "from-art-or-foolbox")
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file that shows it, relative to the repository.
        line: Where it starts.
        mark: The HTML comment in the line before; empty where there is none.
        language: As the fence names it.
        text: What stands between the fences.
    """

    page: str
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The commands in words; those joined by `&&` are several."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines if "$(" not in line]
        return [command for line in words for command in _divided(line) if command]


def _divided(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word == "&&":
            yield command
            command = []
        else:
            command.append(word)
    yield command


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(
            name,
            text.count("\n", 0, match.start()) + 1,
            match["mark"] or "",
            match["language"],
            match["text"],
        )
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    joined = re.sub(r"(?<!\n)\n(?!\n)", " ", prose(page))  # a paragraph is a line
    return _INLINE.findall(joined)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[\s]", "-", heading) for heading in plain}


def small(params: dict[str, Any]) -> dict[str, Any]:
    """The toy with one arm and one experiment, of which a run takes half a minute."""
    baseline = params["baselines"]["baseline"] | {"epochs": 1}
    arm = {"baseline": "baseline", "n": 64, "values": "stuck"}
    kept = ("draws", "batch_size", "stuck", "transfer_fgsm")
    evaluate = params["evaluate"]
    return params | {
        "baselines": {"baseline": baseline},
        "finetune": params["finetune"] | {"epochs": 1, "arms": {"hardened": arm}},
        "models": {name: {"origin": "baseline"} for name in ("baseline", "hardened")},
        "evaluate": {key: evaluate[key] if key in kept else None for key in evaluate}
        | {"protocols": ["held_out"]},
        "compare": params["compare"] | {"control": None},
        "gate": None,
    }
