"""`dormancy train`: train an agent, and leave checkpoints with the replay samples to look at them with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dormancy_cli import options
from dormancy_cli.output import Reporter

__all__ = ["app", "dqn"]

SIGNAL_BASE = 128

app = typer.Typer(
    name="train",
    help="Train an agent and leave checkpoints, each with a replay sample.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _option(help: str, metavar: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, show_default=False)


@app.command("dqn")
def dqn(
    env: Annotated[str, _option("ALE/Breakout-v5, CartPole-v1, ...", "ID", "--env")],
    out: Annotated[Path | None, _option("Run folder to make; default: runs/dqn-<env>-seed<seed>.", "DIR")] = None,
    steps: Annotated[int | None, _option("Agent steps; one is four frames on Atari.", "N")] = None,
    seed: Annotated[int | None, _option("Decides every random number. Default: 0.", "N")] = None,
    replay_ratio: Annotated[float | None, _option("Gradient steps per agent step. Default: 0.25.", "R")] = None,
    width: Annotated[float | None, _option("Factor on the number of neurons. Default: 1.", "W")] = None,
    padding: Annotated[str | None, _option("Of the convolutions: valid (default) or same.", "KIND")] = None,
    activation: Annotated[str | None, _option("relu (default), crelu, leaky_relu, elu, gelu, ...", "NAME")] = None,
    dueling: Annotated[bool | None, _option("Separate value and advantage heads.", "", "--dueling")] = None,
    n_step: Annotated[int | None, _option("Steps of a return. Default: 1.", "N")] = None,
    learning_rate: Annotated[float | None, _option("Of Adam. Default on Atari: 6.25e-5.", "LR")] = None,
    target_period: Annotated[
        int | None, _option("Agent steps between copies into the target; default: by replay ratio.", "N")
    ] = None,
    capacity: Annotated[int | None, _option("Observations in the replay. Default on Atari: 1000000.", "N")] = None,
    warmup: Annotated[int | None, _option("Random agent steps first. Default on Atari: 20000.", "N")] = None,
    redo: Annotated[bool | None, _option("Recycle dormant neurons while training.", "", "--redo")] = None,
    redo_tau: Annotated[
        float | None, _option("Recycle neurons that score this or less; default: .1, or .025 up to ratio .25.", "TAU")
    ] = None,
    redo_period: Annotated[int | None, _option("Gradient steps between recyclings. Default: 1000.", "N")] = None,
    log_period: Annotated[int | None, _option("Gradient steps between logged scans. Default: 20000.", "N")] = None,
    checkpoint_period: Annotated[
        int | None, _option("Agent steps between checkpoints. Default on Atari: 250000.", "N")
    ] = None,
    sample_size: Annotated[int | None, _option("Observations in a sample. Default: 1024.", "N")] = None,
    device: options.Device = None,
    threads: Annotated[int | None, _option("CPU threads; default: as PyTorch chooses.", "N")] = None,
    settings: Annotated[
        list[str] | None, _option("Any other field of the configuration. Repeatable.", "NAME=VALUE", "--set")
    ] = None,
    quiet: options.Quiet = False,
) -> int:
    """Train a DQN with the hyper-parameters of the paper on an Atari game, or on a classic control task.

    A run that is interrupted (SIGINT, SIGTERM) writes a last checkpoint and leaves with 130 or 143; one whose loss
    is no longer finite leaves with 4.
    """
    from dormancy_agents.config import dqn_config
    from dormancy_agents.dqn import train
    from dormancy_agents.settings import read_settings

    options.require_device(device)
    given = {
        "agent_steps": steps,
        "seed": seed,
        "replay_ratio": replay_ratio,
        "width": width,
        "padding": padding,
        "activation": activation,
        "dueling": dueling,
        "n_step": n_step,
        "learning_rate": learning_rate,
        "target_period_agent_steps": target_period,
        "replay_capacity": capacity,
        "warmup_agent_steps": warmup,
        "redo": redo,
        "redo_tau": redo_tau,
        "redo_period_gradient_steps": redo_period,
        "dormancy_period_gradient_steps": log_period,
        "checkpoint_period_agent_steps": checkpoint_period,
        "sample_size": sample_size,
        "device": device,
        "threads": threads,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    config = dqn_config(env, {**chosen, **read_settings(settings or [])})
    folder = out or Path("runs") / f"dqn-{env.split('/')[-1]}-seed{config.seed}"
    outcome = train(config, folder, progress=not quiet)
    reporter = Reporter(quiet=quiet)
    reporter.note(f"{folder}: {outcome.agent_steps} agent steps, {outcome.gradient_steps} gradient steps")
    return SIGNAL_BASE + outcome.signal if outcome.signal else 0
