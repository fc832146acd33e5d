"""What everything later stands on: layers of imports, `deps`, names, the public surface."""

import ast
import importlib
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import grimp
import pytest
from ruamel.yaml import YAML
from tools import dependencies

import pixelproof
from pixelproof.cli.stage import STAGES
from pixelproof.params.profiles import as_params
from pixelproof.params.project import load_params
from pixelproof.tracking.logged_models import SERVED
from tests.conftest import LONGEST

ROOT = Path(__file__).parents[2]
ROOMS = (  # each imports from those after it alone; `stages` stand beside `tracking`
    "cli",
    "operations",
    "promotion",
    "tracking",
    "scoring",
    "reporting",
    "evaluation",
    "models",
    "api",
    "data",
    "params",
    "system",
    "core",
)
GROUND = {"errors", "paths"}  # below all of them


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pixelproof", include_external_packages=True, cache_dir=None)


@pytest.fixture(scope="module")
def running() -> grimp.ImportGraph:
    """What is imported when the program runs: not what annotations alone name."""
    return dependencies.import_graph()


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def _top(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_imports_run_one_way(graph: grimp.ImportGraph) -> None:
    level = {name: at for at, name in enumerate(ROOMS)} | {"stages": ROOMS.index("tracking")}
    ours = [name for name in graph.modules if name.startswith("pixelproof.")]
    assert {_top(name) for name in ours} == set(level) | GROUND, "each module has its room"
    level |= dict.fromkeys(GROUND, len(ROOMS))
    for module in ours:
        for imported in graph.find_modules_directly_imported_by(module):
            if imported.startswith("pixelproof.") and _top(module) != _top(imported):
                assert level[_top(module)] < level[_top(imported)], (module, imported)


def test_a_room_says_what_it_is_for_and_nothing_else() -> None:
    for path in (ROOT / "src" / "pixelproof").glob("**/__init__.py"):
        if path.parent.name != "pixelproof":
            (only,) = ast.parse(path.read_text()).body
            assert isinstance(only, ast.Expr), path


def test_core_knows_numpy_torch_and_scipy_alone(graph: grimp.ImportGraph) -> None:
    stdlib = {"collections", "dataclasses", "itertools", "math", "re", "typing"}
    for module in graph.find_descendants("pixelproof.core"):
        for imported in graph.find_modules_directly_imported_by(module):
            allowed = stdlib | {"numpy", "torch", "scipy"}
            assert imported.startswith("pixelproof.core") or imported in allowed, (module, imported)


def test_stages_know_neither_each_other_nor_tracking(graph: grimp.ImportGraph) -> None:
    for stage in STAGES:
        upstream = graph.find_upstream_modules(f"pixelproof.stages.{stage}")
        assert not {name for name in upstream if _top(name) in ("stages", "tracking", "cli")}
        assert not upstream & {"mlflow", "prefect", "dvc"}


def test_tracking_alone_knows_mlflow(graph: grimp.ImportGraph) -> None:
    assert {_top(name) for name in graph.find_modules_that_directly_import("mlflow")} == {
        "tracking"
    }
    told = graph.find_upstream_modules("pixelproof.models.pyfunc")  # what MLflow loads a model with
    assert not told & {"mlflow", "prefect", "dvc"}


def test_scoring_needs_no_pipeline(graph: grimp.ImportGraph) -> None:
    for module in graph.find_descendants("pixelproof.scoring"):
        assert not graph.find_upstream_modules(module) & {"mlflow", "prefect", "dvc"}, module


def test_a_logged_model_carries_what_it_is_served_with(running: grimp.ImportGraph) -> None:
    closure = running.find_upstream_modules("pixelproof.models.pyfunc") | {
        "pixelproof.models.pyfunc"
    }
    needed = {one for one in closure if one.startswith("pixelproof")}
    needed |= {one.rpartition(".")[0] for one in needed if "." in one}  # their packages
    expected = {dependencies.source(one).removeprefix("src/pixelproof/") for one in needed}
    assert set(SERVED) == expected


def test_make_deps_changes_nothing(running: grimp.ImportGraph) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert dependencies.written(text, running) == text, "run `make deps`"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_hold_the_code_that_can_change_the_result(
    running: grimp.ImportGraph, pipeline: Any, stage: str
) -> None:
    deps = {
        one
        for one in dependencies.body(pipeline[stage])["deps"]
        if one.startswith("src/") and one.endswith(".py")
    }
    ours = {
        dependencies.source(one): one for one in running.modules if one.startswith("pixelproof")
    }
    for path in deps:
        for imported in running.find_modules_directly_imported_by(ours[path]):
            if imported.startswith("pixelproof") and imported not in dependencies.WITHOUT_EFFECT:
                assert dependencies.source(imported) in deps, f"{path} imports it"
    assert dependencies.source(f"pixelproof.stages.{stage}") in deps


def modules_of(hint: Any) -> set[str]:
    """The modules of the sections that a type is made of, those within a section included."""
    inner = get_type_hints(hint).values() if is_dataclass(hint) else get_args(hint)
    module = getattr(hint, "__module__", "")
    home = {module} if module.startswith("pixelproof.params.") else set()
    return home.union(*map(modules_of, inner))


def test_the_page_depends_on_its_template(pipeline: Any) -> None:
    path = "src/pixelproof/reporting/page.html.jinja"
    assert (ROOT / path).is_file()
    stages = [stage for stage in STAGES if path in dependencies.body(pipeline[stage])["deps"]]
    assert stages == ["compare"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_parameters_that_it_is_handed(pipeline: Any, stage: str) -> None:
    run = importlib.import_module(f"pixelproof.stages.{stage}").run
    handed = set().union(*map(modules_of, get_type_hints(run).values()))
    expected = {dependencies.source(one) for one in handed - dependencies.WITHOUT_EFFECT}
    deps = dependencies.body(pipeline[stage])["deps"]
    assert {one for one in deps if one.startswith("src/pixelproof/params/")} == expected
    whole = {f"src/pixelproof/params/{name}.py" for name in ("project", "gate")}
    assert stage == "compare" or not whole & expected, "all parameters are for `compare` alone"


def test_an_attack_that_is_added_trains_nothing(pipeline: Any) -> None:
    measured = {"src/pixelproof/evaluation/attacks.py", "src/pixelproof/evaluation/experiments.py"}
    words = "src/pixelproof/reporting/experiments.py"
    needed = {stage: set(dependencies.body(body)["deps"]) for stage, body in pipeline.items()}
    assert {stage for stage, deps in needed.items() if deps & measured} == {"evaluate"}
    assert {stage for stage, deps in needed.items() if words in deps} == {"compare"}


def test_one_name_for_stage_module_section_and_command(pipeline: Any) -> None:
    sections = {"baseline": "baselines"}
    params = load_params(ROOT / "params.yaml")
    assert tuple(pipeline) == STAGES
    for stage in STAGES:
        assert callable(importlib.import_module(f"pixelproof.stages.{stage}").run)
        assert hasattr(params, sections.get(stage, stage))
        body = dependencies.body(pipeline[stage])
        assert body["cmd"].startswith(f"exec pixelproof stage {stage}")
        for key in body["params"]:
            first, *rest = key.split(".")
            section = getattr(params, first)
            assert not rest or rest[0].startswith("${") or hasattr(section, rest[0]), key


def test_the_longest_files_of_tests_are_there() -> None:
    names = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(LONGEST) <= names


def test_attack_depends_on_no_draw(pipeline: Any) -> None:
    deps = set(dependencies.body(pipeline["attack"])["deps"])
    assert "src/pixelproof/core/attacks/fgsm.py" in deps
    assert not {one for one in deps if "pixel_changes" in one or "drawn_changes" in one}


def test_generate_depends_on_every_experiment_whose_draws_it_makes(pipeline: Any) -> None:
    drawn = {
        f"evaluate.{grid.experiment}"
        for path in [ROOT / "params.yaml", *(ROOT / "profiles").glob("*.yaml")]
        for grid in load_params(path).grids
    }
    assert len(drawn) > 4
    assert drawn <= set(dependencies.body(pipeline["generate"])["params"])


def test_models_are_the_baselines_and_the_arms() -> None:
    for path in [ROOT / "params.yaml", *(ROOT / "profiles").glob("*.yaml")]:
        params = load_params(path)
        assert list(params.models) == [*params.baselines, *params.finetune.arms]


def test_the_default_experiment_is_the_elpv_profile() -> None:
    params = ROOT / "params.yaml"
    assert params.read_bytes() == as_params(ROOT / "profiles" / "elpv.yaml", params)


def test_public_surface() -> None:
    assert pixelproof.__all__ == [
        "PixelIndex",
        "SmallDistance",
        "__version__",
        "apply_changes",
        "draw_changes",
        "fgsm",
        "image_id",
        "load",
        "score",
        "small_distance_samples",
        "sparse_rs",
    ]


def test_training_loops_need_no_pipeline(graph: grimp.ImportGraph) -> None:
    for module in graph.find_descendants("pixelproof.api"):
        upstream = graph.find_upstream_modules(module)
        assert not upstream & {"mlflow", "prefect", "dvc", "pandas"}, module
        rooms = {_top(name) for name in upstream if name.startswith("pixelproof.")}
        assert rooms <= {"api", "data", "params", "system", "core"} | GROUND, module


def test_modules_functions_and_classes_stay_short() -> None:
    whole = {"src/pixelproof/reporting/experiments.py"}  # one table, an entry an experiment
    too_long = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").glob("*.py")]:
        text, name = path.read_text(), path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > 300:
            too_long.add(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines = int(node.end_lineno or 0) - node.lineno + 1
                if lines > (250 if isinstance(node, ast.ClassDef) else 50):
                    too_long.add(f"{name}: {node.name}")
    assert too_long <= whole
