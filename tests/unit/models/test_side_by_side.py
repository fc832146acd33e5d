import threading
from collections.abc import Iterator

import pytest
import torch

from pixelproof.models.side_by_side import lanes, side_by_side

CPU = torch.device("cpu")


def test_results_come_in_the_order_of_the_items(two_threads: None) -> None:
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            first_may_end.wait()
        if item == 1:
            first_may_end.set()  # so the second is worked on while the first is not done
        return item * item

    assert list(side_by_side(work, range(5), CPU)) == [0, 1, 4, 9, 16]


def test_each_lane_has_its_share_of_the_threads_and_gives_it_back(two_threads: None) -> None:
    each = list(side_by_side(lambda item: torch.get_num_threads(), range(4), CPU))
    assert each == [1, 1, 1, 1]
    assert torch.get_num_threads() == 2
    later = threading.Thread(target=lambda: each.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert each[-1] == 2


def test_items_are_taken_when_there_is_room(two_threads: None) -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = side_by_side(lambda item: item, items(), CPU)
    assert next(results) == 0
    assert len(taken) <= lanes(CPU) + 1
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= lanes(CPU) + 1


def test_an_error_is_raised_where_its_result_would_come(two_threads: None) -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("the third")
        return item

    results = side_by_side(work, range(50), CPU)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
