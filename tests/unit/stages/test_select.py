import dataclasses
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.cli.stage import execute
from pixelproof.data.image_set import hex_id, image_id, load_images
from pixelproof.data.reading import read_image, to_array
from pixelproof.data.splits import Row, balance, quotas, split_of
from pixelproof.errors import DataError, IntegrityError
from pixelproof.params.project import Params
from tests.conftest import draw_image, write_params

IMAGES = Path("artifacts/images")


def params(**keys: object) -> Params:
    return write_params(Path("params.yaml"), lambda content: content["select"].update(keys))


def manifest() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((IMAGES / "manifest.json").read_text())
    return content


def splits() -> dict[str, str]:
    return {row["image"]: row["split"] for row in manifest()["images"]}


def test_arrays_and_manifest_say_what_was_read(project: Path) -> None:
    execute("select", params())
    about = manifest()
    assert about["classes"] == ["bad", "good"]
    assert about["found"] == 80
    for split in ("train", "held_out"):
        images = load_images(IMAGES, split, params().select)
        assert len(images.ids) == about["splits"][split]["images"] > 0
        assert list(images.ids) == sorted(images.ids)
        for at, (one, path) in enumerate(zip(images.ids, images.paths, strict=True)):
            array = to_array(read_image(Path("data", path)).image, 16, "stretch")
            assert np.array_equal(array, images.pixels[at])
            assert image_id(array) == one
            assert images.classes[images.labels[at]] == path.split("/")[0]
    assert sum(entry["images"] for entry in about["splits"].values()) == 80


def test_the_same_images_give_the_same_bytes(project: Path) -> None:
    execute("select", params())
    before = {path.name: path.read_bytes() for path in IMAGES.iterdir()}
    assert set(before) == {"manifest.json", "train.npy", "held_out.npy"}
    execute("select", params())
    assert before == {path.name: path.read_bytes() for path in IMAGES.iterdir()}


def test_one_image_more_moves_no_other(project: Path) -> None:
    execute("select", params())
    before = splits()
    draw_image(0, 999).save("data/bad/!.png")  # the first of all, so that each other moves up
    execute("select", params())
    after = splits()
    assert len(after) == 81
    assert all(after[image] == split for image, split in before.items())


def test_one_image_more_displaces_at_most_one_of_a_stated_number(project: Path) -> None:
    execute("select", params(held_out_images=10, train_images=20))
    before = splits()
    assert Counter(before.values()) == {"held_out": 10, "train": 20}
    draw_image(0, 999).save("data/bad/!.png")
    execute("select", params(held_out_images=10, train_images=20))
    assert len(set(before) - set(splits())) <= 1


def test_numbers_keep_the_shares_of_the_classes(project: Path) -> None:
    for at in range(20):
        Path(f"data/bad/{at:03}.png").unlink()
    execute("select", params(train_images=24))
    split = manifest()["splits"]["train"]
    shares = split["available_by_class"]
    expected = 24 * shares["bad"] / sum(shares.values())
    assert abs(split["by_class"]["bad"] - expected) < 1


@given(
    counts=st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1, max_size=6),
    number=st.integers(1, 400),
)
def test_quotas_add_up_and_stay_within_what_there_is(counts: dict[int, int], number: int) -> None:
    available = Counter(counts)
    taken = quotas(available, number)
    assert sum(taken.values()) == min(number, sum(counts.values()))
    whole = min(number, sum(counts.values()))
    exact = {label: whole * count / sum(counts.values()) for label, count in counts.items()}
    lent = sum(share < 1 for share in exact.values())  # at most so many go to who would have none
    for label, count in counts.items():
        assert exact[label] - 1 - lent < taken[label] < exact[label] + 1
        assert taken[label] <= count
    assert number < len(counts) or min(taken.values()) >= 1


def test_a_number_too_small_for_a_class_is_refused(project: Path) -> None:
    for at in range(4, 40):
        Path(f"data/bad/{at:03}.png").unlink()
    for at in range(40, 160):
        draw_image(1, at).save(f"data/good/{at}.png")
    execute("select", params(held_out_images=5))
    shutil.rmtree(IMAGES)
    with pytest.raises(DataError, match=r"class bad.*raise select\.held_out_images"):
        execute("select", params(held_out_images=1))
    assert not IMAGES.exists()


def test_split_none_holds_every_image_out(project: Path) -> None:
    def without_training(content: dict[str, Any]) -> None:
        content["select"]["split"] = "none"
        content["finetune"]["arms"] = {}
        content["models"] = {"baseline": {"origin": "baseline"}}
        content["evaluate"]["protocols"] = ["held_out"]

    made = write_params(Path("params.yaml"), without_training)
    execute("select", made)
    assert set(splits().values()) == {"held_out"}
    assert len(load_images(IMAGES, "train", made.select).ids) == 0


def test_a_choice_between_recipes_spares_the_held_out_images(project: Path) -> None:
    execute("select", params())
    before = splits()
    assert "validation" not in manifest()
    execute("select", params(validation=0.4))
    after = splits()
    trained = {path for path, split in before.items() if split == "train"}
    assert set(after) == trained, "what was held out is not even stored"
    cut_off = {path for path, split in after.items() if split == "held_out"}
    assert 0.2 < len(cut_off) / len(trained) < 0.6
    assert manifest()["validation"] == 0.4
    draw_image(0, 777).save("data/bad/777.png")
    execute("select", params(validation=0.4))
    assert after.items() <= splits().items(), "one image more moves no other"


def test_a_validation_without_a_class_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match="held_out: no image of class"):
        execute("select", params(validation=1e-6))


def test_unreadable_images_are_quarantined_and_counted(project: Path) -> None:
    Path("data/bad/000.png").write_bytes(b"")
    Path("data/bad/001.png").write_text("no image")
    execute("select", params(unreadable=0.05))
    about = manifest()
    assert [row["path"] for row in about["quarantined"]] == ["bad/000.png", "bad/001.png"]
    assert "empty" in about["quarantined"][0]["reason"]
    assert (about["found"], len(about["images"])) == (80, 78)


def test_too_many_unreadable_images_stop_the_stage(project: Path) -> None:
    Path("data/bad/000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 80 files.*select\.unreadable.*bad/000\.png"):
        execute("select", params(unreadable=0.01))
    assert not IMAGES.exists()
    assert not list(Path("artifacts").iterdir())


def test_a_class_without_a_readable_image(project: Path) -> None:
    for path in Path("data/bad").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="data/bad: no image of this class"):
        execute("select", params(unreadable=0.9))


def test_equal_content_in_one_class_is_kept_once(project: Path) -> None:
    shutil.copy("data/bad/003.png", "data/bad/copy.png")
    execute("select", params())
    assert manifest()["duplicates"] == [{"path": "bad/copy.png", "same_as": "bad/003.png"}]
    assert len(manifest()["images"]) == 80


def test_equal_content_in_two_classes_is_refused(project: Path) -> None:
    shutil.copy("data/bad/003.png", "data/good/copy.png")
    with pytest.raises(DataError, match=r"good/copy\.png: the same image as bad/003\.png"):
        execute("select", params())


def test_groups_stay_together(project: Path) -> None:
    execute("select", params(group={"pattern": r"/0*(\d)"}))
    of_group: dict[str, set[str]] = {}
    for row in manifest()["images"]:
        group = row["path"].split("/")[1].lstrip("0")[0]
        of_group.setdefault(group, set()).add(row["split"])
    assert all(len(found) == 1 for found in of_group.values())
    assert len({min(found) for found in of_group.values()}) == 2


def test_groups_from_a_table(project: Path) -> None:
    lines = [f"{name}/{at:03}.png,{at % 10}" for name in ("bad", "good") for at in range(40)]
    Path("data/groups.csv").write_text("\n".join(["path,module", *lines]))
    execute("select", params(group={"csv": "data/groups.csv", "column": "module"}))
    of_group: dict[int, set[str]] = {}
    for row in manifest()["images"]:
        of_group.setdefault(int(row["path"][-6:-4]) % 10, set()).add(row["split"])
    assert all(len(found) == 1 for found in of_group.values())


NAMES = [f"{name}/{at:03}.png" for name in ("bad", "good") for at in range(40)]
TABLE = "\n".join(["path,module", *(f"{name},{at % 9}" for at, name in enumerate(NAMES))])


def test_a_table_of_groups_may_begin_with_a_mark(project: Path) -> None:
    Path("data/groups.csv").write_text(TABLE, encoding="utf-8-sig")
    execute("select", params(group={"csv": "data/groups.csv", "column": "module"}))
    assert len(splits()) == 80


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("good/000.png,4", "good/000.png").encode(), "a group for good/000"),
        (TABLE.replace("good/000.png,4", "good/000.png,").encode(), "a group for good/000"),
        (TABLE.encode() + b"\nbad/000.png,8", "bad/000.png stands in the groups 0 and 8"),
        (TABLE.replace("module", "part").encode(), "expected the columns path and module"),
        (b"path,module\n\xff,1\n", "expected a CSV in UTF-8"),
        (b'path,module\n"' + b"x" * 200_000 + b'",1\n', "expected a CSV in UTF-8"),
    ],
    ids=["short line", "no group", "two groups", "no column", "not UTF-8", "endless field"],
)
def test_a_table_that_leaves_a_group_open_is_refused(
    table: bytes, message: str, project: Path
) -> None:
    Path("data/groups.csv").write_bytes(table)
    with pytest.raises(DataError, match=f"^data/groups.csv: .*{message}"):
        execute("select", params(group={"csv": "data/groups.csv", "column": "module"}))


def test_a_pattern_whose_group_stays_empty_finds_nothing(project: Path) -> None:
    with pytest.raises(DataError, match=r"select\.group\.pattern finds nothing"):
        execute("select", params(group={"pattern": r"/(1)?\d+"}))


def test_equal_content_in_groups_of_two_splits_is_refused(project: Path) -> None:
    for at in range(10):
        shutil.copy("data/bad/003.png", f"data/bad/x{at}.png")
    with pytest.raises(DataError, match=r"the same image as .*one split"):
        execute("select", params(group={"pattern": "[^/]+$"}))


def test_a_path_without_a_group(project: Path) -> None:
    with pytest.raises(DataError, match=r"select\.group\.pattern finds nothing"):
        execute("select", params(group={"pattern": "module"}))


def test_a_split_without_a_class(project: Path) -> None:
    for path in sorted(Path("data/bad").iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match="no image of class bad"):
        execute("select", params())


def test_a_share_beyond_chance_is_remarked_on(project: Path) -> None:
    def of(label: int, split: str, count: int) -> list[Row]:
        return [Row(at, "", label, at, 8, 8, "L", split) for at in range(count)]

    rows = of(0, "train", 90) + of(1, "train", 10) + of(0, "held_out", 10) + of(1, "held_out", 90)
    remarks = balance(rows, ["a", "b"], params().select)
    assert len(remarks) == 4
    assert "train: 90.0% a, of all images 50.0%" in remarks


def test_odd_names_reach_the_manifest(project: Path) -> None:
    draw_image(0, 500).save("data/bad/grün \n.png")
    with Path(b"data/bad/\xff.png".decode("utf-8", "surrogateescape")).open("wb") as file:
        draw_image(0, 501).save(file, format="PNG")
    execute("select", params())
    paths = [row["path"] for row in manifest()["images"]]
    assert "bad/grün \n.png" in paths
    assert "bad/\\xff.png" in paths


def test_a_changed_byte_in_an_array_is_noticed(project: Path) -> None:
    execute("select", params())
    path = IMAGES / "train.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"train\.npy: damaged"):
        load_images(IMAGES, "train", params().select)


def test_a_changed_label_in_the_manifest_is_noticed(project: Path) -> None:
    execute("select", params())
    path = IMAGES / "manifest.json"
    path.write_text(path.read_text().replace('"label": 0', '"label": 1', 1))
    with pytest.raises(IntegrityError, match=r"manifest\.json: damaged"):
        load_images(IMAGES, "train", params().select)


@pytest.mark.parametrize(
    ("key", "value"), [("side", 32), ("fit", "crop"), ("split", "none"), ("seed", 4)]
)
def test_images_of_other_parameters_are_refused(project: Path, key: str, value: object) -> None:
    made = params().select
    execute("select", params())
    wanted = dataclasses.replace(made, **{key: value})  # type: ignore[arg-type]
    with pytest.raises(IntegrityError) as caught:
        load_images(IMAGES, "held_out", wanted)
    expected = f"expected images of select.{key} = {value}, got those of {getattr(made, key)}"
    assert expected in str(caught.value)


RUN = "from pixelproof.cli.main import main; raise SystemExit(main(['stage', 'select']))"


def test_a_full_disk_is_named(project: Path) -> None:
    left = "ls -A artifacts; exit $code"
    mount = "mkdir artifacts && mount -t tmpfs -o size=88k tmpfs artifacts"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, f"{mount} && umount artifacts"], check=False).returncode:
        pytest.skip("needs a small file system of its own: unshare and mount")
    Path("artifacts").rmdir()
    params()  # the arrays as they are decoded fit, their copies by split do not
    done = subprocess.run(
        [*inside, f'{mount} && "$0" -c "$1"; code=$?; {left}', sys.executable, RUN],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == DataError.exit_code, done.stderr
    assert "artifacts/images: cannot be written: No space left" in done.stderr
    assert done.stdout == ""


def test_the_split_depends_on_seed_and_image_alone(project: Path) -> None:
    chosen = params().select
    names = [hex_id(at) for at in range(2000)]
    held_out = [split_of(chosen, name) == "held_out" for name in names]
    assert 0.36 < np.mean(held_out) < 0.44  # the share is 0.4


def test_consecutive_numbers_are_one_part(project: Path) -> None:
    """Blocks of two files a class: each in one split, and named in the manifest."""
    execute("select", params(group={"pattern": r"(\d+)\.png", "block": 2}))
    for row in manifest()["images"]:
        assert row["group"] == str(int(Path(row["path"]).stem) // 2)
    parts = {
        split: {row["group"] for row in manifest()["images"] if row["split"] == split}
        for split in ("train", "held_out")
    }
    assert not parts["train"] & parts["held_out"]
    held_out = load_images(IMAGES, "held_out", params(group={"pattern": "x"}).select)
    assert held_out.groups is not None
    assert set(held_out.groups) == parts["held_out"]


def test_the_groups_before_the_number_tell_recordings_apart(project: Path) -> None:
    execute("select", params(group={"pattern": r"(\w+)/(\d+)\.png", "block": 2}))
    for row in manifest()["images"]:
        path = Path(row["path"])
        assert row["group"] == f"{path.parent}/{int(path.stem) // 2}"


def test_what_is_no_number_makes_no_block(project: Path) -> None:
    with pytest.raises(DataError, match=r"expected a number for select\.group\.block, got 'bad'"):
        execute("select", params(group={"pattern": r"^(\w+)/", "block": 10}))
