"""The command line: its page of help, mistakes in one line, completion, what a start loads."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer
from tools import help_page

from pixelproof import __version__
from pixelproof.cli import data
from pixelproof.cli.app import PANELS, app
from pixelproof.cli.main import COMPLETION, PAGE, main
from pixelproof.data.demo import DEMO_SETS
from tests.support.terminal import on_terminal
from tests.support.waiting import wait

START = [sys.executable, "-m", "pixelproof.cli"]
HEAVY = {"torch", "mlflow", "prefect", "dvc", "pandas", "numpy", "matplotlib", "sklearn"}
COMMANDS = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_page_shows_every_command_in_its_panel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page
    panels = {text.split()[0]: text for text in page.split("╭─ ")[1:]}
    assert list(panels) == ["Options", *PANELS]
    listed = {
        name: [line.split()[1] for line in text.splitlines()[1:] if line.startswith("│")]
        for name, text in panels.items()
    }
    assert sorted(one for name in PANELS for one in listed[name]) == sorted(COMMANDS)
    assert listed["Run"] == ["run", "stage", "upgrade", "profile"]
    assert listed["Model"] == ["score", "predict", "gate", "monitor", "promote", "rollback"]
    assert "pixelproof run " in panels["Service"], "the usual commands end the page"


def test_the_page_is_the_one_that_typer_draws() -> None:
    assert PAGE.read_text() == help_page.drawn(), "run `make help-page`"


def test_on_a_terminal_the_page_has_colours_and_fits() -> None:
    wide = on_terminal([*START, "--help"], 200)
    assert wide == PAGE.read_text()
    narrow = on_terminal([*START, "--help"], 60)
    lines = re.sub(r"\x1b\[[\d;]*m", "", narrow).splitlines()
    assert {len(line) for line in lines if line.startswith("╭")} == {60}
    assert "\x1b[1;36m" not in on_terminal([*START, "--help"], 80, NO_COLOR="1")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"Usage: pixelproof {command} " in said
    for parameter in COMMANDS[command].params:
        assert parameter.help, parameter.name
    assert COMMANDS[command].help.endswith(".")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "missing command; see `pixelproof --help`"),
        (["gat"], "no such command 'gat'. Did you mean 'gate'?"),
        (["--debig"], "no such option: --debig (Possible options: --debug)"),
        (["gate", "--promot"], "no such option: --promot (Possible options: --promote)"),
        (["profile"], "missing command; see `pixelproof profile --help`"),
        (["profile", "us"], "no such command 'us'. Did you mean 'use'?"),
        (["prune"], "missing option '--keep'; see `pixelproof prune --help`"),
        (["prune", "--keep", "x"], "invalid value for '--keep': Input should be a valid integer"),
        (["ui", "--port", "99999"], "'--port': Input should be less than or equal to 65485"),
        (["diff", "HEAD"], "missing argument 'B'; see `pixelproof diff --help`"),
        (["fetch", "elp"], "invalid value for 'name': 'elp' is not one of 'elpv', 'imagenet-samp"),
        (["show", "a\nb\x1b"], "got unexpected extra argument(s) (a\\x0ab\\x1b); see `"),
        (["stage", "selekt"], "got 'selekt'; did you mean 'select'?"),
        (["stage", "--x"], "no such option: --x; see `pixelproof stage --help`"),
    ],
)
def test_a_mistake_is_one_line_with_what_helps(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pixelproof: ")
    assert expected in said.err
    assert len(said.err.splitlines()) == 1
    assert main(["--debug", *words]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pixelproof {__version__}\n"


def test_the_demo_sets_are_those_of_the_data() -> None:
    assert set(get_args(get_type_hints(data.fetch)["name"])) == set(DEMO_SETS)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "pixelproof: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_ends_a_command_with_its_code(
    tmp_path: Path, number: signal.Signals, code: int, said: str
) -> None:
    path = tmp_path / "params.yaml"
    os.mkfifo(path)
    (tmp_path / ".git").mkdir()

    ends: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):  # nobody reads it yet
            ends.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    command = [*START, "announce-data"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait(is_read)
        process.send_signal(number)
        assert process.wait() == code
        os.close(ends[0])
        assert process.stderr is not None
        assert process.stderr.read() == said


def test_without_unicode_the_page_is_drawn_in_ascii() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([*START, "--help"], env=environment, capture_output=True, check=True)
    assert "announce-data" in shown.stdout.decode("ascii")


def complete(words: str) -> list[str]:
    """What bash offers after these words."""
    asked = {COMPLETION: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(START, env=os.environ | asked, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_shell_completes_commands_and_values(tmp_path: Path) -> None:
    assert complete("pixelproof pro") == ["promote", "profile"]
    assert complete("pixelproof stage fi") == ["finetune"]
    assert complete("pixelproof profile ") == ["list", "use"]
    folder = Path(sys.executable).parent
    variables = {"HOME": str(tmp_path), "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["bash", "-c", "pixelproof --install-completion; true"]
    said = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert "bash completion installed" in said.stdout, said.stderr
    script = (tmp_path / ".bash_completions" / "pixelproof.sh").read_text()
    assert f"{COMPLETION}=complete_bash" in script


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["--help"], {"typer", "rich", "pydantic"}),
        (["stage", "selekt"], {"typer", "rich"}),
        (["--version"], {"rich"}),
        (["gate", "--help"], set()),
        (["gat"], {"rich"}),
    ],
)
def test_a_start_loads_no_more_than_it_needs(words: list[str], without: set[str]) -> None:
    code = (
        "import sys; from pixelproof.cli.main import main; main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, *words]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loaded = set(shown.splitlines()[-1].split())
    assert "pixelproof" in loaded
    assert not loaded & (HEAVY | without)
