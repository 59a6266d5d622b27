"""``python -m onnx_prune``: the command ``onnx-prune``."""

import sys

from ._native import main as _main
from ._runtime import offer


def main() -> int:
    """Runs the command line and gives its exit status."""
    offer()
    return _main(["onnx-prune", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
