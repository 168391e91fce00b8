"""Names of environments: which of them are one game."""

from __future__ import annotations

import re

__all__ = ["game_name"]


def game_name(env_id: str) -> str:
    """Return what several names of one game share.

    >>> game_name("ALE/Pong-v5"), game_name("PongNoFrameskip-v4")
    ('pong', 'pong')
    """
    return re.sub(r"^.*/|-v\d+$|NoFrameskip|Deterministic", "", env_id).lower()
