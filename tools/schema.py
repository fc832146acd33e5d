"""Writes the JSON schema of params.yaml, by which an editor completes and checks its keys.

    make schema                             python tools/schema.py

Types, ranges and defaults are those that `pixelproof.params` checks. The description of a
key is the docstring under it, read from the source here: pydantic can do that too, but on every
import, which makes the start of a stage slower.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic.json_schema import GenerateJsonSchema
from ruamel.yaml import YAML

from pixelproof.params.project import ADAPTER, Params

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "profiles" / "params.schema.json"


class Untitled(GenerateJsonSchema):
    """A schema whose keys have no titles: those would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def texts(section: type) -> dict[str, str]:
    """The docstring of each key of a section and of the sections that it extends, in one line."""
    found: dict[str, str] = {}
    for cls in reversed(section.__mro__[:-1]):
        (definition,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(definition, ast.ClassDef)
        for key, text in pairwise(definition.body):
            if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[ast.unparse(key.target)] = " ".join(ast.literal_eval(text.value).split())
    return found


def sections(kind: Any) -> Iterator[type]:
    """The sections that a type is made of, at every depth."""
    inner = get_type_hints(kind).values() if is_dataclass(kind) else get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        yield kind
    for each in inner:
        yield from sections(each)


def schema() -> dict[str, Any]:
    """The schema, with a text for each section and each key, in the order of params.yaml."""
    made = ADAPTER.json_schema(schema_generator=Untitled)
    order, keys = YAML(typ="safe").load(ROOT / "params.yaml"), made["properties"]
    made["properties"] = {key: keys[key] for key in [*order, *keys]}
    for section in sections(Params):
        body = made if section is Params else made["$defs"][section.__name__]
        body.pop("title", None)
        for entry in body["properties"].values():
            if "patternProperties" in entry:
                entry["additionalProperties"] = False
        for key, text in texts(section).items():
            body["properties"][key]["description"] = text
    title = "params.yaml of pixelproof"
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": title, **made}


def written() -> str:
    """The content of the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Renew the file and say whether that changed it."""
    after = written()
    if SCHEMA.is_file() and SCHEMA.read_text(encoding="utf-8") == after:
        print(f"{SCHEMA.name}: nothing to change")
        return
    SCHEMA.write_text(after, encoding="utf-8")
    print(f"{SCHEMA.name}: renewed")


if __name__ == "__main__":
    main()
