"""Run all benchmarks, one after the other: ``python -m benchmarks [name ...]``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

NAMES = ("imaging", "priors", "nnunet", "detection")


def main() -> None:
    """Run the named benchmarks, or all."""
    names = sys.argv[1:] or NAMES
    folder = Path(__file__).parent
    for name in names:
        print(f"\n=== {name} " + "=" * 60, flush=True)
        sys.argv = [f"benchmarks/{name}.py"]
        runpy.run_path(str(folder / f"{name}.py"), run_name="__main__")


if __name__ == "__main__":
    main()
