"""Run all benchmarks, one after the other: ``python -m benchmarks [name ...] [--scan PATH]``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = ("imaging", "priors", "nnunet", "detection")
TAKES_SCAN = {"imaging": "--real", "priors": "--scan"}


def main() -> None:
    """Run the named benchmarks, or all, each in a process of its own, and name those that fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"{', '.join(NAMES)}, demo")
    parser.add_argument("--scan", help="a real scan for imaging and priors: file or DICOM folder")
    given = parser.parse_args()
    failed = []
    for name in given.names:
        print(f"\n=== {name} " + "=" * 60, flush=True)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        if given.scan and name in TAKES_SCAN:
            command += [TAKES_SCAN[name], given.scan]
        if subprocess.run(command, check=False).returncode:  # noqa: S603
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
