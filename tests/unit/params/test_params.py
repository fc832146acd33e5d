import dataclasses
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc_data.hashfile.meta import Meta
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pixelproof import params as room
from pixelproof.core.pixel_changes import parse_values
from pixelproof.errors import ParameterError
from pixelproof.params.attack import Attack
from pixelproof.params.evaluate import Pixels
from pixelproof.params.finetune import Arm
from pixelproof.params.project import load_params, parse_params
from pixelproof.params.select import Select
from pixelproof.params.validation import RESERVED
from tests.conftest import ROOT


def content() -> Any:
    return YAML(typ="safe").load((ROOT / "params.yaml").read_text())


def change(key: str, value: object) -> Any:
    whole = content()
    *parents, last = key.split(".")
    section = whole
    for name in parents:
        section = section[name]
    section[last] = value
    return whole


PROFILES = [ROOT / "params.yaml", *(ROOT / "profiles").glob("*.yaml")]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_the_profiles_are_valid(path: Path) -> None:
    assert load_params(path).models


def all_keys(content: Any) -> set[str]:
    """Every key at every depth, inside of lists too."""
    if isinstance(content, dict):
        return set(content).union(*map(all_keys, content.values()))
    return set().union(*map(all_keys, content)) if isinstance(content, list) else set()


def test_no_key_is_one_that_the_run_cache_of_dvc_passes_over() -> None:
    assert set(RESERVED) == {Meta.PARAM_SIZE, Meta.PARAM_NFILES}
    keys = {
        field.name
        for module in pkgutil.iter_modules(room.__path__, "pixelproof.params.")
        for section in vars(importlib.import_module(module.name)).values()
        if dataclasses.is_dataclass(section)
        for field in dataclasses.fields(section)
    }
    assert "side" in keys
    for path in PROFILES:
        keys |= all_keys(YAML(typ="safe").load(path))
    assert "hardened" in keys, "names that a person gives are keys, too"
    assert not keys & set(RESERVED)


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("baselines", {"classifier": "efficientnet_lite0"}),
        ("finetune.arms", {"baseline": "baseline"}),
    ],
)
def test_a_name_that_the_run_cache_of_dvc_passes_over_is_refused(
    key: str, entry: dict[str, str], name: str
) -> None:
    whole = change(f"{key}.{name}", entry)
    whole["models"][name] = {"origin": "baseline"}
    with pytest.raises(ParameterError, match=f"{key}: expected names other than .* got '{name}'"):
        parse_params(whole)


@pytest.mark.parametrize("missing", ["classes", "mean", "std"])
def test_a_network_of_ones_own_says_its_classes_and_normalisation(missing: str) -> None:
    whole = content()
    own = {"classifier": "python:mine:build", "classes": ["a", "b"], "mean": [0.5] * 3}
    whole["baselines"]["baseline"] = own | {"std": [0.2] * 3}
    assert parse_params(whole).baselines["baseline"].classes == ("a", "b")
    del whole["baselines"]["baseline"][missing]
    expected = f"baselines.baseline.{missing}: missing; python:mine:build needs classes, mean and"
    with pytest.raises(ParameterError, match=expected):
        parse_params(whole)


ARM = "finetune.arms.hardened"
BAD = [
    ("evaluate.worst_pixels.values", "stuck", "evaluate.worst_pixels.values: expected full or"),
    ("evaluate.worst_pixels.values", "offset:0", "evaluate.worst_pixels.values: expected full"),
    ("evaluate.worst_pixels.values", "offset:256", "evaluate.worst_pixels.values: expected full"),
    ("evaluate.worst_stuck.queries", 0, "evaluate.worst_stuck.queries: expected a number from 1"),
    ("evaluate.worst_stuck.n", [16385], "evaluate.worst_stuck.n: expected at most the 16384"),
    (
        "evaluate.worst_stuck.queries",
        26,
        "evaluate.worst_stuck.queries: expected a number above 26,",
    ),
    ("evaluate.worst_stuck.gradient_steps", -1, "gradient_steps: expected a number from 0"),
    ("evaluate.pixels.n", [0], "evaluate.pixels.n: expected numbers of pixels from 1"),
    ("evaluate.pixels.n", [-4], "evaluate.pixels.n: expected"),
    ("evaluate.pixels.n", [16385], "evaluate.pixels.n: expected at most the 16384 pixels"),
    ("evaluate.pixels.n", [4, 4], "evaluate.pixels.n: expected each number once"),
    ("evaluate.stuck", {"n": [256], "area": 15}, "evaluate.stuck.n: expected at most the 225"),
    (
        "select.side",
        32,
        "evaluate.area.n: expected at most the 49 pixels of 7 x 7 (0.223 of select.side = 32), got",
    ),
    ("evaluate.pixels", {"n": [4], "area": 129}, "evaluate.pixels.area: expected at most select.s"),
    (f"{ARM}.n", -1, f"{ARM}.n: expected a number of pixels from 0"),
    (f"{ARM}.n", 20000, f"{ARM}.n: expected at most"),
    (f"{ARM}.area", 200, f"{ARM}.area: expected at most select.side = 128, got 200"),
    (f"{ARM}.values", "salt", f"{ARM}.values: expected full, stuck or offset:d"),
    (f"{ARM}.adversarial", {"epsilon": 0}, f"{ARM}.adversarial.epsilon: expected an integer from"),
    (f"{ARM}.adversarial", {"epsilon": 0.5}, "epsilon: expected int, got 0.5; it counts in units"),
    (f"{ARM}.adversarial", {"steps": 0}, f"{ARM}.adversarial.steps: expected a number from 1 to"),
    (f"{ARM}.adversarial", {"share": 1.5}, f"{ARM}.adversarial.share: expected a share above 0"),
    (f"{ARM}.adversarial", {"eps": 1}, f"{ARM}.adversarial.eps: unknown key; did you mean"),
    (f"{ARM}.worst", {"n": 16385}, f"{ARM}.worst.n: expected at most the 16384 pixels of 128 x"),
    (f"{ARM}.worst", {"queries": 0}, f"{ARM}.worst.queries: expected a number from 1"),
    (
        ARM,
        {"baseline": "baseline", "mix": 0.6, "adversarial": {"share": 0.25}, "worst": {}},
        f"{ARM}.mix: expected at most 1 together with the shares of adversarial and worst, got 0.6",
    ),
    (f"{ARM}.baseline", "basline", "did you mean 'baseline'"),
    (f"{ARM}.train", "tail", f"{ARM}.train: expected one of ['whole', 'head'], got 'tail'"),
    ("finetune.learning_rate", float("nan"), "finetune.learning_rate: expected a finite number"),
    ("finetune.learning_rate", float("inf"), "finetune.learning_rate: expected a finite number"),
    ("finetune.learning_rate", True, "finetune.learning_rate: expected float, got True"),
    ("finetune.learning_rate", "1e-3", "finetune.learning_rate: expected float, got '1e-3'; a num"),
    ("finetune.learning_rate", 0, "finetune.learning_rate: expected a number above 0"),
    ("finetune.epochs", 2.5, "finetune.epochs: expected int, got 2.5"),
    ("finetune.epochs", True, "finetune.epochs: expected int, got True"),
    ("finetune.epochs", 2.0, "finetune.epochs: expected int, got 2.0"),
    ("finetune.epochs", "3", "finetune.epochs: expected int, got '3'; a number stands without"),
    ("finetune.fresh", 1, "finetune.fresh: expected bool, got 1"),
    ("finetune.fresh", "yes", "finetune.fresh: expected bool, got 'yes'"),
    ("select.data", 3, "select.data: expected str, got 3"),
    ("evaluate.pixels.n", "4", "evaluate.pixels.n: expected a list, got '4'"),
    ("evaluate.pixels.n", [True], "evaluate.pixels.n[0]: expected int, got True"),
    ("evaluate.protocols", ["held-out"], "evaluate.protocols[0]: expected one of ['held_out', 'p"),
    ("evaluate.protocols", ["paper"], "evaluate.protocols: expected [held_out] or [held_out, pap"),
    ("compute.device", "gpu", "compute.device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    ("gate.name", "A", "gate.name: expected a name of a-z, 0-9, - and _, got 'A'"),
    ("attack.epsilon", 0.03, "attack.epsilon: expected int, got 0.03; it counts in units of 1/255"),
    ("attack.epsilon", 8 / 255, "so 8/255 is written 8"),
    ("attack.epsilon", 256, "attack.epsilon: expected an integer from 1 to 255"),
    ("evaluate.whitebox_fgsm.epsilon", [0.5], "evaluate.whitebox_fgsm.epsilon[0]: expected int"),
    ("finetune.learning_rat", 0.1, "finetune.learning_rat: unknown key; did you mean 'learning_ra"),
    ("finetunes", {}, "finetunes: unknown key; did you mean 'finetune'"),
    ("baselines.../x", {"classifier": "efficientnet_lite0"}, "baselines: expected names of a-z"),
    ("finetune.arms", {"../x": {"baseline": "baseline"}}, "finetune.arms: expected names of a-z"),
    ("finetune.arms", {"baseline": {"baseline": "baseline"}}, "finetune.arms: expected names that"),
    ("baselines", {}, "baselines: expected one or more originals"),
    ("models", {"baseline": {"origin": "baseline"}}, "models: expected all baselines, then all"),
    ("models.clean.origin", "clean", "models.clean.origin: expected 'baseline', got 'clean'"),
    ("select.side", 4, "select.side: expected a side of 8 to 4096 pixels, got 4"),
    ("select.held_out", 1.0, "select.held_out: expected a share between 0 and 1"),
    ("select.held_out", 0.0, "select.held_out: expected a share between 0 and 1"),
    ("select.unreadable", 1.5, "select.unreadable: expected a share from 0 to 1"),
    ("select.train_images", 0, "select.train_images: expected null or a number from 1"),
    ("select.seed", -1, "select.seed: expected an integer from 0"),
    ("generate.test_seed", -1, "generate.test_seed: expected an integer from 0"),
    ("generate.batch_size", 0, "generate.batch_size: expected a number from 1"),
    ("finetune.seed", -1, "finetune.seed: expected an integer from 0"),
    ("finetune.epochs", 0, "finetune.epochs: expected a number from 1"),
    ("finetune.batch_size", 0, "finetune.batch_size: expected a number from 1"),
    ("finetune.learning_rate", 11, "finetune.learning_rate: expected a number above 0, to 10"),
    ("baselines.baseline.epochs", -1, "baselines.baseline.epochs: expected a number from 0"),
    ("baselines.baseline.classes", ["a", "a"], "baselines.baseline.classes: expected two or more"),
    ("baselines.baseline.classes", ["a"], "baselines.baseline.classes: expected two or more"),
    (f"{ARM}.mix", 1.0, f"{ARM}.mix: expected a share from 0, below 1"),
    (f"{ARM}.area", 0, f"{ARM}.area: expected null or a side from 1"),
    ("attack.batch_size", 0, "attack.batch_size: expected a number from 1"),
    ("attack.epsilon", 0, "attack.epsilon: expected an integer from 1 to 255"),
    ("evaluate.draws", 0, "evaluate.draws: expected a number from 1"),
    ("evaluate.pixels", {"n": [4], "area": 0}, "evaluate.pixels.area: expected null or a side"),
    ("evaluate.pixels.n", [], "evaluate.pixels.n: expected numbers of pixels from 1"),
    ("evaluate.whitebox_fgsm.epsilon", [2, 2], "evaluate.whitebox_fgsm.epsilon: expected each"),
    ("evaluate.whitebox_fgsm.epsilon", [], "evaluate.whitebox_fgsm.epsilon: expected one or more"),
    (
        "evaluate.gradient_free.epsilon",
        [256],
        "evaluate.gradient_free.epsilon: expected an",
    ),
    (
        "evaluate.gradient_free.queries",
        1,
        "evaluate.gradient_free.queries: expected a number",
    ),
    ("evaluate.gradient_free.images", 0, "evaluate.gradient_free.images: expected null or"),
    ("compare.seed", -1, "compare.seed: expected an integer from 0"),
    ("finetune.learning_rate", 10**400, "finetune.learning_rate: expected a finite number"),
    ("compare.resamples", 99, "compare.resamples: expected a number from 100"),
    ("select.split", "none", "select.split: expected hash, since there are arms"),
    ("select.group", {"pattern": "("}, "select.group.pattern: expected a regular expression"),
    ("select.group", {"csv": "x.csv", "column": "c"}, "select.group.csv: expected a file in data/"),
    ("select.group", {"csv": "data/../x", "column": "c"}, "select.group.csv: expected a file in"),
    ("select.group", {"csv": "x"}, "select.group.pattern: expected either a pattern, or a csv"),
    ("baselines.baseline.mean", [0.5, 0.5], "baselines.baseline.mean: expected 3 entries, got 2"),
    ("baselines.baseline.std", [0.5, 0.5, 0.0], "baselines.baseline.std: expected three numbers"),
    ("baselines", {"baseline": {}}, "baselines.baseline.classifier: missing"),
    ("compare.reference.n", 5, "compare.reference.n: expected one of [4, 64, 256], got 5"),
    ("compare.control", "clear", "compare.control: expected one of"),
    ("evaluate.stuck", None, "compare.reference.experiment: expected one of ['pixels']"),
    ("select", None, "select: expected keys and values, got None"),
    ("evaluate", {1: 2}, "evaluate: expected names as keys, got 1"),
]


@pytest.mark.parametrize(("key", "value", "expected"), BAD, ids=[f"{k}={v}" for k, v, _ in BAD])
def test_bad_parameters_are_named(key: str, value: object, expected: str) -> None:
    whole = content()
    if key.startswith("baselines..."):
        whole["baselines"]["../x"] = value
    else:
        whole = change(key, value)
    with pytest.raises(ParameterError) as caught:
        parse_params(whole)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select: {side: 8, side: 9}", 'found duplicate key "side"'),
        (
            "select: !!python/object:os.system {}",
            "expected YAML: could not determine a constructor",
        ),
        ("select: {", "expected YAML"),
        ("select: {seed: 2020-13-41}", "expected YAML: month must be"),
        ('select: {seed: !!int "x"}', "expected YAML: invalid literal"),
        ('select: {seed: !!bool "x"}', "expected YAML: 'x'"),
        ("select: {seed: " + "9" * 5000 + "}", "expected YAML: Exceeds the limit"),
        ("[" * 3000, "expected YAML: maximum recursion depth"),
        ("", "expected keys and values, got None"),
        ("- a", "expected keys and values, got ['a']"),
        ("models: {}", "baselines: missing"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        load_params(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"nothing\.yaml: missing"):
        load_params(tmp_path / "nothing.yaml")
    with pytest.raises(ParameterError, match="cannot be read: Is a directory"):
        load_params(tmp_path)


def test_numbers_are_those_that_dvc_reads(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text.replace("learning_rate: 0.01", "learning_rate: 1e-3"))
    assert load_params(tmp_path / "p.yaml").finetune.learning_rate == 0.001


@pytest.mark.parametrize("fresh", [True, False])
def test_arms_draw_anew_each_epoch_where_they_are_fresh(fresh: bool) -> None:
    finetune = parse_params(change("finetune.fresh", fresh)).finetune
    assert finetune.train_draws == (finetune.epochs if fresh else 1)


def test_originals_alone_need_no_arms_and_no_training_split() -> None:
    whole = content()
    whole["finetune"]["arms"] = {}
    whole["models"] = {"baseline": {"origin": "baseline"}}
    whole["select"]["split"] = "none"
    whole["evaluate"] |= {"magnitude": None, "area": None}
    assert list(parse_params(whole).models) == ["baseline"]


def test_what_is_left_out_takes_its_default() -> None:
    whole = content()
    del whole["select"], whole["attack"]
    params = parse_params(whole)
    assert params.select == Select()
    assert params.attack == Attack()


def keys_of(section: Any, prefix: str = "") -> list[str]:
    found = []
    for name, entry in section.items():
        found.append(prefix + name)
        if isinstance(entry, dict):
            found += keys_of(entry, f"{prefix}{name}.")
    return found


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_the_worst_pixels_of_an_arm_change_all_channels() -> None:
    whole = change("generate.channels", "first")
    whole["finetune"]["arms"]["hardened"]["worst"] = {"n": 4}
    with pytest.raises(ParameterError, match=r"worst: expected null, since generate.channels is"):
        parse_params(whole)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(keys_of(content())), value=anything)
def test_any_value_anywhere_is_taken_or_named(key: str, value: object) -> None:
    try:
        parse_params(change(key, value))
    except ParameterError as error:
        # A value may be fine by itself and contradict another key, which is then named.
        assert str(error).split(":")[0].split(".")[0].split("[")[0] in content(), str(error)


def test_an_arm_takes_the_values_that_can_be_drawn() -> None:
    def fine(read: Callable[[str], object], values: str) -> bool:
        try:
            read(values)
        except ValueError:
            return False
        return True

    drawn = [f"offset:{offset}" for offset in range(-1, 300)]
    for values in ["full", "stuck", "full ", "full\n", "", "offset:", "offset:01", *drawn]:
        assert fine(lambda one: Arm("baseline", values=one), values) == fine(parse_values, values)


def test_reading_parameters_takes_no_numpy() -> None:
    code = "import sys, pixelproof.params.project; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_number_alone_is_a_list_of_one() -> None:
    pixels = parse_params(change("evaluate.pixels", {"n": 256})).evaluate.pixels
    assert pixels == Pixels((256,))


def test_an_integer_is_taken_for_a_number() -> None:
    hours = parse_params(change("compute.stage_hours", 12)).compute.stage_hours
    assert (hours, type(hours)) == (12.0, float)


def test_what_is_made_in_code_is_checked_too() -> None:
    with pytest.raises(ParameterError, match="^n: expected a number of pixels from 0 .* got -1$"):
        Arm("baseline", -1)
    with pytest.raises(ParameterError, match="^side: expected a side of 8 to 4096 pixels, got 4$"):
        dataclasses.replace(Select(), side=4)
    with pytest.raises(ParameterError, match=r"^n: expected each number once, got \(4, 4\)$"):
        Pixels((4, 4))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Select().side = 16  # type: ignore[misc]


def test_the_origin_of_a_model() -> None:
    params = load_params(ROOT / "params.yaml")
    assert [params.origin(model) for model in params.models] == ["baseline"] * 4
