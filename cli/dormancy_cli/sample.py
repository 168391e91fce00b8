"""`dormancy sample`: make a sample from somebody else's data set, or by acting in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

import typer

from dormancy.errors import UsageError
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, refuse_overwrite
from dormancy_cli.shared.text import counted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dormancy.io import ReplaySample

__all__ = ["sample"]

DEFAULT_ROWS = 1024


def _option(help_: str, metavar: str | None, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_, metavar=metavar, **more)


def sample(
    output: Annotated[Path, _option("Write the sample here (.h5).", "FILE", "--output", "-o")],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SRC]",
            help="Minari, D4RL, robomimic, Tianshou (HDF5), SB3 (.pkl), Dopamine or torchrl (folder), or a sample.",
        ),
    ] = None,
    rows: Annotated[
        int | None,
        _option("Rows: drawn uniformly from SRC (default: all), or agent steps (default: 1024).", "N", min=1),
    ] = None,
    seed: Annotated[int, _option("Decides which rows, and how to act.", "N", min=0)] = 0,
    env: Annotated[str | None, _option("Collect in this environment instead of converting.", "ID", "--env")] = None,
    policy: Annotated[str, _option("How to act with --env: random, or a checkpoint.", "random|CKPT")] = "random",
    epsilon: Annotated[float, _option("Share of random actions of a checkpoint.", "E", min=0, max=1)] = 0.01,
    frame_stack: Annotated[
        int | None, _option("Single frames in a state of Dopamine (default: 4).", "K", min=1, max=32)
    ] = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> int:
    """Make a sample for scan, from a data set or from an environment."""
    if (source is None) == (env is None):
        raise UsageError("name a data set to convert, or an environment to collect in with --env; one of them")
    refuse_overwrite(output, force=force)
    from dormancy.io import save_sample

    collected = _Collecting(env, policy, epsilon)
    with _opened(source, collected, rows=rows, seed=seed, frame_stack=frame_stack) as found:
        save_sample(output, found, force=force)
        reporter = Reporter(quiet=quiet)
        kind = found.source.format if found.source else f"{env}, {policy}"
        reporter.note(f"{output}: {counted(len(found), 'row')} from {kind}: {_shapes(found)}")
    return 0


@final
@dataclass(frozen=True)
class _Collecting:
    """How to act where nothing is converted."""

    env: str | None
    policy: str
    epsilon: float


def _opened(
    source: Path | None, collecting: _Collecting, *, rows: int | None, seed: int, frame_stack: int | None
) -> AbstractContextManager[ReplaySample]:
    if source is not None:
        from dormancy.io.samples.load import open_picked

        return open_picked(source, rows, seed, frame_stack=frame_stack)
    from dormancy_agents.acting.sample import collect_sample

    acting: dict[str, Any] = {"seed": seed, "epsilon": collecting.epsilon}
    return nullcontext(collect_sample(str(collecting.env), collecting.policy, rows=rows or DEFAULT_ROWS, **acting))


def _shapes(found: ReplaySample) -> str:
    observations = found.observations
    parts = observations if isinstance(observations, Mapping) else {"observations": observations}
    return ", ".join(f"{name} {array.dtype} {tuple(array.shape[1:])}" for name, array in parts.items())
