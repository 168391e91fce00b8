"""Our trainers beside those of Stable-Baselines3, with equal hyper-parameters: steps a second, and where the time goes.

python benchmarks/train.py dqn --help
python benchmarks/train.py sac --help
python benchmarks/train.py seeds --help   # several seeds at once, in threads and in processes
python benchmarks/train.py kernels        # what the arithmetic of a gradient step takes by itself
"""

from __future__ import annotations

import importlib
import sys

PROGRAMS = {"dqn": "training.dqn", "sac": "training.sac", "seeds": "training.seeds", "kernels": "training.kernels"}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(__doc__)
    importlib.import_module(PROGRAMS[sys.argv[1]]).main(sys.argv[2:])


if __name__ == "__main__":
    main()
