"""Several batches at once on a CPU: a thread each, which no thread waits for another in.

Where torch shares one batch among its threads, all wait for the slowest after each of a network's
many small layers. On a machine that others use, too, they wait most of the time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST = 4  # batches at once: each holds its own activations, and Python runs one thread at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


def lanes(device: torch.device) -> int:
    """How many batches are worked on at once: as many as there are threads, or 4; 1 on a GPU."""
    return min(MOST, torch.get_num_threads()) if device.type == "cpu" else 1


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Work on some items at once, and give back the results in the items' order.

    No result depends on how many are worked on at once. Items are taken when there is room.

    Args:
        work: Called in another thread where there are several lanes.
        items: What it is called with, one by one.
        device: Where the work is done.

    Yields:
        What it returned. Its first error is raised in its place, and the items after it are
        left out.
    """
    count, threads = lanes(device), torch.get_num_threads()
    if count == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    each = (max(1, threads // count),)
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=each) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)  # new threads take the last that was set
