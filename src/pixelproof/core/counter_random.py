"""Random numbers that are a pure function of what they belong to, and of nothing that ran before.

Each is keyed by (seed, image id, draw, step, word), so that what is drawn for an image depends on
no other image, on no batch, on no process and on no machine.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

UInt64 = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_WORDS = 4  # of a step
_AT_ONCE = 2**13  # words: what is computed from them stays in a cache of 1 MB


def _mix(state: UInt64) -> UInt64:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection of 64 bits."""
    state = state ^ (state >> np.uint64(30))
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def image_keys(image_ids: UInt64, seed: int, draw: int) -> UInt64:
    """One 64-bit key for each image, chained so that seed, image and draw cannot cancel."""
    key = _mix(np.array([seed], dtype=np.uint64) + _GAMMA)
    key = _mix((key ^ image_ids) + _GAMMA)
    return _mix((key ^ np.uint64(draw)) + _GAMMA)


def random_words(keys: UInt64, n: int, word: int) -> UInt64:
    """Words (B, n), `word` from 0 to 3: step s of key k is SplitMix64 at counter 4 s + word + 1."""
    counters = np.arange(n, dtype=np.uint64) * np.uint64(_WORDS) + np.uint64(word + 1)
    return _mix(keys[:, None] + counters * _GAMMA)


def unit_floats(words: UInt64) -> npt.NDArray[np.float64]:
    """Map words to [0, 1): the high 53 bits, which fill a float."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: UInt64, bounds: UInt64 | np.uint64) -> npt.NDArray[np.int64]:
    """Map words to 0..bound-1: the high half of the 128-bit product; bias below 2**-32."""
    low = (words & np.uint64(0xFFFFFFFF)) * bounds
    high = (words >> np.uint64(32)) * bounds
    high += low >> np.uint64(32)
    high >>= np.uint64(32)
    return high.astype(np.int64)


def chunks(rows: int, n: int) -> Iterator[slice]:
    """Rows of which n words each, and what is computed from them, stay in the cache."""
    size = max(1, _AT_ONCE // n)
    return (slice(start, start + size) for start in range(0, rows, size))


def distinct_below(keys: UInt64, n: int, bound: int) -> npt.NDArray[np.int64]:
    """Distinct numbers (B, n) of 0..bound-1: the first n steps of a Fisher-Yates shuffle.

    Exact for any bound up to 2**31, and ordered: step s depends on the steps before it alone.
    """
    steps = np.arange(n)
    numbers = np.empty((len(keys), n), np.int64)
    for rows in chunks(len(keys), n):
        drawn = below(random_words(keys[rows], n, 0), np.uint64(bound) - steps.astype(np.uint64))
        numbers[rows] = _shuffled(drawn + steps)
    return numbers


def _shuffled(partners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The cards (B, n) that a shuffle takes, if step s swaps the places s and partners[s] >= s.

    A place that no step has named yet holds the card of its own number. Any other holds what the
    last step t that named it left there, which is what lay at place t when step t came. So the few
    steps whose partner was named before follow those steps back, and no deck is needed.
    """
    n = partners.shape[1]
    steps = np.arange(n)
    by_partner = np.sort((partners << 32) | steps, axis=1)
    again = (by_partner[:, 1:] ^ by_partner[:, :-1]) < 2**32  # the same partner as the one before
    row, at = np.divmod(np.flatnonzero(again), n - 1)
    late, early = (by_partner[row, column] & 0xFFFFFFFF for column in (at + 1, at))
    namer_row, namer = np.divmod(np.flatnonzero((partners > steps) & (partners < n)), n)
    before = np.full(partners.shape, -1)  # which step, the last before step t, named place t
    np.maximum.at(before, (namer_row, partners[namer_row, namer]), namer)
    cards = partners.copy()
    while len(row):
        cards[row, late] = early
        early = before[row, early]
        named = early >= 0
        row, late, early = row[named], late[named], early[named]
    return cards
