from pathlib import Path

import numpy as np
import pytest

from pixelproof.errors import DataError, IntegrityError
from pixelproof.evaluation.ledger import LedgerWriter, read_ledger


def test_a_flipped_bit_is_never_read_as_a_prediction(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = np.array([f"{one:016x}" for one in range(200)], dtype=object)
    writer = LedgerWriter(["bad", "good"])
    for draw in range(4):
        predicted, margin = random.integers(0, 2, 200), random.normal(size=200).astype(np.float32)
        setting = {"n": 4, "values": "full", "area": 16, "split": "held_out", "draw": draw}
        writer.add("pixels", names, np.full(200, "bad", object), predicted, margin, **setting)
    path = tmp_path / "one.parquet"
    writer.write(path, {"device": "cpu", "threads": 2})
    whole, sound = path.read_bytes(), read_ledger(path)
    refused = 0
    for at in random.integers(0, len(whole), 150):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert read_ledger(path).equals(sound)  # the bit was of no account
        except IntegrityError:
            refused += 1
    assert refused > 75


def test_what_is_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one\.parquet: missing"):
        read_ledger(tmp_path / "one.parquet")
    (tmp_path / "one.parquet").write_text("no")
    with pytest.raises(IntegrityError, match=r"one\.parquet: expected a ledger"):
        read_ledger(tmp_path / "one.parquet")
