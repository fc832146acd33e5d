"""Writes into dvc.yaml which modules each stage depends on.

    make deps                               python tools/dependencies.py

A stage depends on the modules that it imports, directly or through others, as far as they can
change its result. Imports within functions count, too; those for annotations alone do not.
A template belongs to the module whose name it carries.
"""

import io
from pathlib import Path
from typing import Any

import grimp
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "dvc.yaml"
CODE = "src/"

# What can stop a stage or say something of it, but never change what it makes: how errors are
# worded, where files lie, how progress is shown, what is refused, and on which device and with
# how many processes the work is done.
WITHOUT_EFFECT = {
    "pixelproof",
    "pixelproof.errors",
    "pixelproof.paths",
    "pixelproof.models.own_code",
    "pixelproof.system.progress",
    "pixelproof.params.compute",
    "pixelproof.params.kinds",
    "pixelproof.params.section",
    "pixelproof.params.validation",
}


def import_graph() -> grimp.ImportGraph:
    """Who imports whom within the package when it runs."""
    return grimp.build_graph("pixelproof", exclude_type_checking_imports=True, cache_dir=None)


def source(module: str) -> str:
    """The file of a module, relative to the repository."""
    path = CODE + module.replace(".", "/")
    return f"{path}.py" if (ROOT / f"{path}.py").is_file() else f"{path}/__init__.py"


def files_of(module: str) -> list[str]:
    """A module's own file, and the templates beside it that carry its name."""
    path = ROOT / source(module)
    templates = path.parent.glob(f"{path.stem}.*.jinja")
    return [source(module), *(str(one.relative_to(ROOT)) for one in templates)]


def code_of(graph: grimp.ImportGraph, stage: str) -> list[str]:
    """The files whose content can change the result of a stage, sorted."""
    waiting, reached = [f"pixelproof.stages.{stage}"], set()
    while waiting:
        module = waiting.pop()
        if module in reached or module in WITHOUT_EFFECT or not module.startswith("pixelproof"):
            continue
        reached.add(module)
        waiting += graph.find_modules_directly_imported_by(module)
    return sorted(path for module in reached for path in files_of(module))


def body(stage: Any) -> Any:
    """What a stage of dvc.yaml says of each of its items."""
    return stage.get("do", stage)


def written(text: str, graph: grimp.ImportGraph) -> str:
    """The text of dvc.yaml with the code of each stage renewed; all else stays as it is."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1000
    pipeline = yaml.load(text)
    for name, stage in pipeline["stages"].items():
        deps = body(stage)["deps"]
        data = [one for one in deps if not one.startswith(CODE)]
        deps[:] = [*data, *code_of(graph, name)]
    buffer = io.StringIO()
    yaml.dump(pipeline, buffer)
    return buffer.getvalue()


def main() -> None:
    """Renew dvc.yaml and say whether that changed it."""
    before = PIPELINE.read_text(encoding="utf-8")
    after = written(before, import_graph())
    if after == before:
        print("dvc.yaml: nothing to change")
        return
    PIPELINE.write_text(after, encoding="utf-8")
    print("dvc.yaml: the code that stages depend on was renewed")


if __name__ == "__main__":
    main()
