"""What is asked of both sides of a comparison."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """One comparison: equal for both sides, but for `precision` and what follows it, which are ours alone."""

    env_id: str
    replay_ratio: float = 0.25
    threads: int = 2
    warmup: int = 1_000
    capacity: int = 100_000
    precision: str = "float32"
    settings: tuple[str, ...] = ()
    """Further fields of our configuration as ``name=value``."""

    def line(self) -> str:
        """Return this as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Options:
        """Return what `line` wrote."""
        values: dict[str, Any] = json.loads(line)
        return cls(**{**values, "settings": tuple(values["settings"])})
