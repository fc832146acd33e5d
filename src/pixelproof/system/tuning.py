"""Settings of a process that computes; they hold only where torch has not been loaded yet."""

import os

# How often a thread of OpenMP looks for work before it sleeps. By default it looks 300,000 times,
# and takes the processor from whoever else would work. On an idle machine, not to look at all costs
# 17 % of the speed of training, 10,000 looks under 2 % (`benchmarks/busy_machine.py --passive`).
SPINS = 10_000
_OPENMP = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def limit_spinning() -> None:
    """Have waiting threads sleep soon, so that a busy machine does the work of others meanwhile.

    A person's own `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` stays. No result depends on either.
    Processes that this one starts inherit it.
    """
    if not any(name in os.environ for name in _OPENMP):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def keep_memory() -> None:
    """Have glibc keep freed memory instead of giving it back to the kernel.

    A network frees and takes the same large buffers in each batch; fetching them from the
    kernel each time halves the images a second of inference on a CPU.
    """
    import ctypes

    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is not None:
        mallopt(m_mmap_threshold, 2**30)
        mallopt(m_trim_threshold, 2**31 - 1)
