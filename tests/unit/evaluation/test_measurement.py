from pathlib import Path

import numpy as np

from pixelproof.data.drawn_changes import Wanted, draws_name, load_change_set, write_change_set
from pixelproof.params.generate import Generate
from tests.unit.evaluation.test_named_attacks import measurement


def test_what_two_experiments_ask_alike_is_asked_once(tmp_path: Path) -> None:
    model = measurement()
    wanted = {draws_name(values, None): Wanted(values, None, 3, 2) for values in ("full", "stuck")}
    write_change_set(tmp_path, wanted, model.images, Generate(), 1)
    asked: list[int] = []
    model.classifier.register_forward_hook(lambda module, images, answer: asked.append(len(answer)))
    done: list[int] = []
    model.update = done.append
    assert len(model.right) > 0
    asked.clear()
    answers = {}
    for name in wanted:
        changes = load_change_set(tmp_path, name, model.images)
        for draw, n in ((0, 3), (0, 1), (1, 3), (0, 3)):
            answers[name, draw, n] = model.changed(name, changes, draw, n).margin
    assert sum(asked) == 6 * len(model.right), "of eight questions two are repeated"
    assert sum(done) >= 8 * len(model.right), "progress counts them all the same"
    for at, (name, draw, n) in enumerate(answers):
        changes = load_change_set(tmp_path, name, model.images)
        again = model.predict(model.pixels, model.targets, changes, model.right, draw, n)
        assert np.array_equal(again.margin, answers[name, draw, n]), at
