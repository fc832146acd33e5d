"""Run all programs that set pixelproof beside others, and write the page: `make bench`.

python -m benchmarks [NAME ...]      about ten minutes; or only those named
"""

import subprocess
import sys

from benchmarks import table

# Each is a process of its own, since settings of memory and threads hold for a process. To be one
# of them, a program records its figures (`benchmarks.rounds.record`) and stands here.
PROGRAMS = ("storage", "generation", "gradients", "training", "sweep", "noop", "growth")


def main(names: tuple[str, ...]) -> int:
    """Run programs one after another; those that fail do not stop the others."""
    failed = []
    for name in names:
        print(f"-- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    table.main()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or PROGRAMS))
