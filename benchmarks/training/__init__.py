"""The parts of ``benchmarks/train.py``: each side of a comparison runs in a process of its own, in turns."""
