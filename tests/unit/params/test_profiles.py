"""Whole experiments that become params.yaml."""

import re
from pathlib import Path

import numpy as np
import pytest

from pixelproof.cli.main import main
from pixelproof.data.demo import IMAGENET
from pixelproof.data.image_set import hex_id
from pixelproof.data.splits import Row, choose_subset, split_of
from pixelproof.errors import ParameterError
from pixelproof.params.profiles import as_params, list_profiles, use_profile
from pixelproof.params.project import load_params
from tests.conftest import ROOT
from tests.support.repository import run

SCHEMA = "profiles/params.schema.json"
NAMES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    for name in NAMES:
        text = (ROOT / "profiles" / f"{name}.yaml").read_text()
        (tmp_path / "profiles" / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_comments_and_all(folder: Path, name: str) -> None:
    said = use_profile(name)
    text, profile = Path("params.yaml").read_text(), Path(f"profiles/{name}.yaml").read_text()
    named = [re.match(r"# yaml-language-server: \$schema=(\S+)\n", one) for one in (text, profile)]
    assert [one and one[1] for one in named] == [SCHEMA, Path(SCHEMA).name]
    assert text.partition("\n")[2] == profile.partition("\n")[2]
    load_params(folder / "params.yaml")
    assert f"now profiles/{name}.yaml" in said
    assert ("use elpv" in said) == (name != "elpv")


def test_what_the_paper_says_is_in_its_profile() -> None:
    params = load_params(ROOT / "profiles" / "paper.yaml")
    assert len(params.baselines) == 5
    assert all(one.epochs == 0 and one.head == "keep" for one in params.baselines.values())
    grid = params.evaluate.pixels
    assert grid is not None
    assert grid.n == (4, 8, 16, 32, 64)
    assert {arm.n for arm in params.finetune.arms.values()} == {0, *grid.n}
    for name in ("paper", "resnet101"):
        finetune = load_params(ROOT / "profiles" / f"{name}.yaml").finetune
        assert (finetune.learning_rate, finetune.epochs) == (0.001, 20)


def test_asking_without_a_gradient_costs_the_default_run_little() -> None:
    params = load_params(ROOT / "profiles" / "elpv.yaml")
    free, iterated = params.evaluate.gradient_free, params.evaluate.whitebox_iterated
    assert free is not None
    assert iterated is not None
    assert set(free.epsilon) <= set(iterated.epsilon), "else nothing is compared"
    assert len(free.epsilon) * free.queries * int(free.images or 0) * len(params.models) <= 6400
    free = load_params(ROOT / "profiles" / "tables.yaml").evaluate.gradient_free
    assert free is not None
    assert (free.queries, free.images) == (500, 100)


def test_what_trains_nothing_is_an_experiment_too() -> None:
    params = load_params(ROOT / "profiles" / "imagenet-sample.yaml")
    assert params.select.data == IMAGENET.folder
    assert (params.select.split, params.finetune.arms) == ("none", {})
    assert list(params.models) == ["lite0", "lite1", "lite2"]


def test_the_papers_choice_has_an_image_of_each_class() -> None:
    select = load_params(ROOT / "profiles" / "paper.yaml").select
    ids = np.random.default_rng(0).integers(0, 2**63, 50_000).tolist()  # as of validation images
    rows = [
        Row(one, f"{at}", at % 1000, at, 500, 375, "RGB", split_of(select, hex_id(one)))
        for at, one in enumerate(ids)
    ]
    chosen = choose_subset(rows, [f"class {at}" for at in range(1000)], select)
    trained = [row.label for row in chosen if row.split == "train"]
    assert sorted(trained) == list(range(1000))


def test_what_a_person_has_edited_is_kept(folder: Path) -> None:
    use_profile("elpv")
    assert "edited" not in use_profile("tables")
    for number in (1, 2):
        edited = (folder / "params.yaml").read_text() + f"# mine {number}\n"
        (folder / "params.yaml").write_text(edited)
        assert f"what you had edited is in params.kept-{number}.yaml" in use_profile("elpv")
        assert (folder / f"params.kept-{number}.yaml").read_text() == edited


def test_what_was_kept_is_kept_once_and_can_be_used_again(folder: Path) -> None:
    (folder / "params.yaml").write_text((folder / "profiles/elpv.yaml").read_text() + "# mine\n")
    edited = (folder / "params.yaml").read_bytes()
    use_profile("tables")
    assert "edited" not in use_profile("params.kept-1.yaml")
    assert (folder / "params.yaml").read_bytes() == edited
    assert "params.kept-1.yaml" in use_profile("tables")
    assert len(list(folder.glob("params.kept-*"))) == 1


def test_what_git_has_need_not_be_kept(folder: Path) -> None:
    (folder / "params.yaml").write_text("# committed\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "one")
    assert "edited" not in use_profile("elpv")


def test_nothing_is_written_of_what_is_not_valid(folder: Path) -> None:
    use_profile("elpv")
    before = (folder / "params.yaml").read_bytes()
    bad = folder / "mine.yaml"
    bad.write_text(before.decode().replace("draws: 4", "drawz: 4"))
    with pytest.raises(ParameterError, match=r"mine\.yaml: evaluate\.drawz: unknown key"):
        use_profile("mine.yaml")
    with pytest.raises(ParameterError, match="did you mean 'resnet101'"):
        use_profile("resnet")
    assert (folder / "params.yaml").read_bytes() == before


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "use", "resnet101"]) == 0
    assert "Next: make run" in capsys.readouterr().out
    assert main(["profile", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == NAMES
    assert main(["profile", "use", "nothing"]) == 2
    assert list_profiles().startswith("elpv             The default experiment")


@pytest.mark.parametrize(
    "first",
    ["# mine", "# yaml-language-server: $schema=https://example.org/schema.json", "attack: {}"],
)
def test_a_first_line_that_names_no_file_stays_as_it_is(folder: Path, first: str) -> None:
    text = f"{first}\nselect: {{}}\n"
    profile = folder / "studies" / "mine.yaml"
    profile.parent.mkdir()
    profile.write_text(text)
    assert as_params(profile, folder / "params.yaml").decode() == text


def test_the_schema_is_found_from_wherever_a_profile_lies(folder: Path) -> None:
    profile = folder / "studies" / "mine.yaml"
    profile.parent.mkdir()
    profile.write_bytes(as_params(folder / "profiles" / "elpv.yaml", profile))
    assert "$schema=../profiles/params.schema.json\n" in profile.read_text()
    assert as_params(profile, folder / "params.yaml") == (ROOT / "params.yaml").read_bytes()


def test_outside_a_clone_it_says_where_the_profiles_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = "no profiles in profiles; run in a clone of pixelproof's repository, which has them"
    with pytest.raises(ParameterError, match=f"^{there}$"):
        list_profiles()
    with pytest.raises(ParameterError, match=f"^profile: expected a file, got 'elpv'; {there}$"):
        use_profile("elpv")
