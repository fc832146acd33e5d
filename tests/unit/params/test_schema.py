"""The schema that editors go by says what `pixelproof.params` checks."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from tools import schema

from tests.unit.params.test_params import PROFILES, change


@pytest.fixture(scope="module")
def written() -> Any:
    return json.loads(schema.SCHEMA.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def validator(written: Any) -> Draft202012Validator:
    Draft202012Validator.check_schema(written)
    return Draft202012Validator(written)


def test_make_schema_changes_nothing() -> None:
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.written(), "run `make schema`"


def test_each_section_and_each_key_has_a_text(written: Any) -> None:
    for name, section in {"Params": written, **written["$defs"]}.items():
        assert section["description"], name
        for key, entry in section["properties"].items():
            assert entry.get("description") or "$ref" in entry, f"{name}.{key}"
    iterated = written["$defs"]["Iterated"]["properties"]
    assert "1/255" in iterated["epsilon"]["description"], "that of the section that it extends"


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_an_editor_marks_nothing_in_a_profile(validator: Draft202012Validator, path: Path) -> None:
    assert not list(validator.iter_errors(YAML(typ="safe").load(path)))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_a_profile_names_the_schema(path: Path) -> None:
    comment, _, named = path.read_text().splitlines()[0].partition("$schema=")
    assert comment == "# yaml-language-server: "
    assert (path.parent / named).resolve() == schema.SCHEMA


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("finetune.learning_rat", 0.1),
        ("finetune.epochs", 2.5),
        ("finetune.epochs", 0),
        ("finetune.fresh", "yes"),
        ("finetune.learning_rate", 11),
        ("finetune.arms.hardened.values", "salt"),
        ("finetune.arms.hardened.train", "tail"),
        ("attack.epsilon", 0.03),
        ("attack.epsilon", 256),
        ("evaluate.pixels.n", []),
        ("evaluate.pixels.n", [4, 4]),
        ("evaluate.area.share", [1.5]),
        ("baselines.baseline.mean", [0.5, 0.5]),
        ("baselines.baseline", {}),
        ("finetune.arms", {"../x": {"baseline": "baseline"}}),
        ("compute.device", "gpu"),
        ("select", None),
    ],
)
def test_an_editor_marks_what_is_refused(
    validator: Draft202012Validator, key: str, value: object
) -> None:
    errors = list(validator.iter_errors(change(key, value)))
    assert {".".join(map(str, one.absolute_path)) for one in errors} in (
        {key},
        {key.rpartition(".")[0]},
    )


def test_an_editor_takes_a_number_for_a_list_of_one(validator: Draft202012Validator) -> None:
    assert not list(validator.iter_errors(change("evaluate.pixels.n", 256)))
