"""A changed parameter makes each stage that names it run, though the run cache is warm.

DVC, its run cache and this repository's `dvc.yaml` are real; each command is replaced by one that
leaves a mark and writes the same outputs, since what is asked is what DVC decides to run. The code
stays as it is throughout, so it is left out of the dependencies.
"""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pixelproof.params.project import load_params
from pixelproof.params.validation import RESERVED
from tests.conftest import ROOT
from tests.support.repository import run
from tests.support.toys import Toys

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # within DVC
MARKS = Path("marks")
ORIGINALS = ("baseline", "before")  # in the order of the alphabet, in which YAML is written here
EXISTING = {"data": ("data", "data-2"), "baseline": ORIGINALS, "origin": ORIGINALS}  # in paths
COMMAND = """\
echo "$1" >> marks
shift
for out; do
  mkdir -p "$(dirname "$out")"
  case "$out" in
    *.*) echo "$out" > "$out" ;;
    *)
      mkdir -p "$out"
      for name in baseline before clean stuck-8; do echo "$name" > "$out/$name.npy"; done ;;
  esac
done
"""
yaml = YAML(typ="safe")


def replace_command(stage: str, body: dict[str, Any]) -> None:
    kinds = [*body.get("outs", []), *body.get("metrics", []), *body.get("plots", [])]
    outs = [next(iter(one)) if isinstance(one, dict) else one for one in kinds]
    body["cmd"] = f"sh command.sh {stage} {' '.join(outs)}"
    body["deps"] = [path for path in body["deps"] if not path.startswith("src/")]


def spelled_out() -> dict[str, Any]:
    """The toy's parameters with every key, those left to their defaults too."""
    content = yaml.load(ROOT / "tests" / "support" / "toy.yaml")
    content["baselines"]["before"] = content["baselines"]["baseline"]
    content["models"] = {
        "baseline": {"origin": "baseline"},
        "before": {"origin": "before"},
        **content["models"],
    }
    content["select"]["group"] = {"pattern": "(.)"}
    yaml.dump(content, Path("params.yaml"))
    return dataclasses.asdict(load_params())


def plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, tuple) else value


@pytest.fixture(scope="module")
def project(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    """Every stage has run once, so the run cache knows all of them."""
    with pytest.MonkeyPatch.context() as patch:
        root = toys.fresh(tmp_path_factory.mktemp("keys"))
        patch.chdir(root)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        content = plain(spelled_out())
        content["select"] |= dict.fromkeys(RESERVED, 1)
        yaml.dump(content, Path("params.yaml"))
        pipeline = yaml.load(Path("dvc.yaml"))
        for stage, body in pipeline["stages"].items():
            replace_command(stage, body.get("do", body))
        yaml.dump(pipeline, Path("dvc.yaml"))
        Path("command.sh").write_text(COMMAND)
        shutil.copytree("data", "data-2")
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", "keys")
        with Repo() as repo:
            repo.reproduce()
            yield repo


def leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from leaves(entry, f"{key}.{name}")
    else:
        yield key, value


def another(key: str, value: Any) -> str:
    """Some other value, as `-S` takes it."""
    name = key.rpartition(".")[2]
    if name in EXISTING:
        return next(one for one in EXISTING[name] if one != value)
    if isinstance(value, list):
        return str([*value, value[0] if value else "else"])
    if isinstance(value, bool):
        return str(not value).lower()
    return str(value + 1) if isinstance(value, int | float) else "7" if value is None else "else"


def runs(stage: str, override: str) -> bool:
    """Whether a stage runs, and is not merely restored, with one parameter set as `-S` does."""
    before = Path("params.yaml").read_bytes()
    MARKS.unlink(missing_ok=True)
    apply_overrides("params.yaml", [override])
    assert Path("params.yaml").read_bytes() != before, override
    try:
        with Repo() as repo, repo.lock:
            repo.stage.load_one(name=stage).reproduce()  # all but writing `dvc.lock`
    finally:
        Path("params.yaml").write_bytes(before)
    return MARKS.exists()


def one_of_each(repo: Repo) -> Iterator[tuple[str, list[str]]]:
    """A stage of each name, and the keys it names under `params`."""
    seen = set()
    for stage in repo.index.stages:
        keys = [
            key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params
        ]
        name = stage.addressing.partition("@")[0]
        if keys and name not in seen:
            seen.add(name)
            yield stage.addressing, keys


def test_each_key_that_a_stage_depends_on_makes_it_run(project: Repo) -> None:
    content = yaml.load(Path("params.yaml"))
    tried, passed_over = set(), []
    for stage, keys in one_of_each(project):
        for key in keys:
            section = content
            for name in key.split("."):
                section = section[name]
            for leaf, value in leaves(section, key):
                if leaf.rpartition(".")[2] in RESERVED:
                    continue
                tried.add(leaf)
                if not runs(stage, f"{leaf}={another(leaf, value)}"):
                    passed_over.append(f"{stage}: {leaf}")
    assert {"select.side", "evaluate.pixels.n", "compare.defects", "models.clean.origin"} <= tried
    assert passed_over == []


def test_keys_of_dvcs_own_names_are_passed_over(project: Repo) -> None:
    for name in RESERVED:
        assert not runs("select", f"select.{name}=2"), "then it need not be refused"
    assert runs("select", "select.side=18")


def test_the_command_decides_alike(project: Repo) -> None:
    MARKS.unlink(missing_ok=True)
    said = run(Path.cwd(), "dvc", "exp", "run", "-S", "select.size=2")
    assert "Stage 'select' is cached" in said
    assert not MARKS.exists()
    run(Path.cwd(), "dvc", "exp", "run", "-S", "select.side=19")
    assert MARKS.read_text().split() == ["select"], "its outputs are those of before"
