"""The files of a project in a person's own repository, as this version writes them.

They are those of pixelproof's own repository, to which links in `project/` lead; a wheel holds
copies. So there is no second pipeline, flow or schema to keep equal. None is called `dvc.yaml`
there: DVC reads each file of that name below a project, in an environment of Python too.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import jinja2
from ruamel.yaml import YAML

from pixelproof import __version__
from pixelproof.operations.first_look import Found
from pixelproof.params.behaviour import RECORD

SOURCE = Path(__file__).with_name("project")
_COPIES = {  # path in a project -> name in the package
    "params.schema.json": "params.schema.json",
    ".dvc/plots/by_model.json": "by_model.json",
    "prefect.yaml": "prefect.yaml",
    "flows/harden.py": "harden",
    "flows/monitor.py": "monitor",
}
_PIPELINE_HEADER = (
    "# One stage a box. `pixelproof upgrade` renews this file if you have not edited it."
)


def renewable() -> dict[str, str]:
    """The files that are the same in every project, by path; an upgrade renews them."""
    return {"dvc.yaml": _pipeline()} | {path: _text(name) for path, name in _COPIES.items()}


def digests(texts: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of each text."""
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}


def params_text(found: Found, name: str) -> str:
    """The content of `params.yaml`.

    Args:
        found: What was found out about images and machine.
        name: Of the model in MLflow's registry.
    """
    few, some, many = found.counts
    return _rendered(
        "params.yaml.jinja",
        found=found,
        name=name,
        some=some,
        many=many,
        counts=sorted({few, some, many}),
        fewer=sorted({few, some}),
    )


def readme_text(name: str) -> str:
    """The content of `README.md`."""
    return _rendered("README.md.jinja", name=name, version=__version__)


def ignored_text() -> str:
    """The content of a `.gitignore` in a folder of which git keeps nothing."""
    return _text("gitignore")


def dvcignore_text() -> str:
    """The content of `.dvcignore`."""
    return _text("dvcignore")


def _pipeline() -> str:
    """The pipeline, whose stages depend on the behaviour of the package instead of its source."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1000
    content = yaml.load(_text("pipeline.yaml").partition("\n")[2])
    for name, stage in content["stages"].items():
        body = stage.get("do", stage)
        body["deps"][:] = [one for one in body["deps"] if not one.startswith("src/")]
        body["params"].append({str(RECORD): [f"stages.{name}"]})
    buffer = io.StringIO()
    yaml.dump(content, buffer)
    return f"{_PIPELINE_HEADER}\n{buffer.getvalue()}"


def _text(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def _rendered(template: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCE),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # YAML and Markdown
    )
    return environment.get_template(template).render(**values)
