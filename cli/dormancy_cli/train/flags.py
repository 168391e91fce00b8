"""The flags of `dormancy train`: short names for fields of the configuration, for each algorithm that has the field."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, final

import typer

from dormancy.errors import UsageError
from dormancy_agents.config import Algorithm, CommonConfig
from dormancy_agents.config.fields import kinds
from dormancy_cli.shared import options

__all__ = ["FLAGS", "Flag", "given_by_flags", "with_flags"]


@final
@dataclass(frozen=True)
class Flag:
    """A flag for a field; `default` says what holds without it, where the class's default does not."""

    field: str
    metavar: str
    help: str
    names: tuple[str, ...] = ()
    default: str | None = None

    @property
    def option(self) -> str:
        """The flag as a Python name."""
        return (self.names[0].removeprefix("--") if self.names else self.field).replace("-", "_")


BY_RATIO = "by replay ratio"

FLAGS: tuple[Flag, ...] = (
    Flag("agent_steps", "N", "Agent steps; one is four frames on Atari.", ("--steps",)),
    Flag("seed", "N", "Decides every random number."),
    Flag("replay_ratio", "R", "Gradient steps per agent step."),
    Flag("arch", "NAME", "nature, impala, minatar or mlp.", default="as the environment needs"),
    Flag("width", "W", "Factor on the number of neurons."),
    Flag("padding", "KIND", "Of the convolutions: valid or same."),
    Flag("activation", "NAME", "relu, crelu, leaky_relu, elu, gelu, ..."),
    Flag("dueling", "", "Separate value and advantage heads."),
    Flag("batch_size", "N", "Transitions in a gradient step."),
    Flag("n_step", "N", "Steps of a return."),
    Flag("learning_rate", "LR", "Of Adam."),
    Flag("weight_decay", "L2", "L2 added to the gradient before Adam."),
    Flag("target_period_agent_steps", "N", "Agent steps between target copies.", ("--target-period",), BY_RATIO),
    Flag("replay_capacity", "N", "Observations in the replay.", ("--capacity",)),
    Flag("warmup_agent_steps", "N", "Random agent steps first.", ("--warmup",)),
    Flag("double", "", "Double Q-learning."),
    Flag("offline", "FILE|RUN", "Learn from a recorded sample, or a run's replay, and never act.", default="act"),
    Flag("targets", "KIND", "bootstrap, random-network, random-values or teacher."),
    Flag("teacher", "CKPT", "Checkpoint whose values are the targets.", default="none"),
    Flag("initial", "CKPT", "Checkpoint whose weights to begin with.", default="fresh weights"),
    Flag("recycler", "NAME", "redo, regrama, continual-backprop, reset or shrink-and-perturb, while training."),
    Flag("recycler_tau", "TAU", "Recycle neurons that score this or less.", ("--recycler-tau", "--redo-tau"), BY_RATIO),
    Flag(
        "recycler_period_gradient_steps", "N", "Gradient steps between recyclings.",
        ("--recycler-period", "--redo-period"), "1000, or the recycler's own",
    ),
    Flag("prune_dormant", "", "Keep neurons off for good once they are found dormant."),
    Flag("prune_tau", "TAU", "Prune neurons that score this or less."),
    Flag("prune_period_gradient_steps", "N", "Gradient steps between prunings.", ("--prune-period",)),
    Flag("dormancy_period_gradient_steps", "N", "Gradient steps between logged scans.", ("--log-period",)),
    Flag("checkpoint_period_agent_steps", "N", "Agent steps between checkpoints.", ("--checkpoint-period",)),
    Flag(
        "resume_period_agent_steps", "N", "Agent steps between states to resume from; 0: none.",
        ("--resume-period",),
    ),
    Flag("evaluation_period_agent_steps", "N", "Agent steps between evaluations; 0: none.", ("--evaluation-period",)),
    Flag("evaluation_at_end", "", "Evaluate after the last agent step, too."),
    Flag("evaluation_episodes", "N", "Episodes of an evaluation."),
    Flag("sample_size", "N", "Observations in a sample."),
    Flag("precision", "KIND", "float32, tf32 or bf16."),
    Flag("tensorboard", "", "Also write curves and histograms for TensorBoard."),
    Flag("device", "DEVICE", "cpu, cuda or cuda:N."),
    Flag("threads", "N", "CPU threads.", default="as PyTorch chooses"),
)  # fmt: skip
"""In the order of ``--help``; an algorithm has those whose field its configuration has."""


def _option(metavar: str, help: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, show_default=False)


FIXED: Mapping[str, Any] = {
    "env": Annotated[str | None, _option("ID", "ALE/Breakout-v5, CartPole-v1, HalfCheetah-v5, ...", "--env")],
    "out": Annotated[
        Path | None, _option("DIR", "Run folder to make; default: runs/<algorithm>-<env>-seed<seed>.", "--out")
    ],
    "preset": Annotated[str, _option("NAME", "paper (default), or quick: something to see in minutes.", "--preset")],
    "config": Annotated[Path | None, _option("FILE.toml", "Configuration to begin with.", "--config")],
    "resume": Annotated[
        bool, _option("", "Go on with the run in --out, bit for bit; a new run if none is.", "--resume")
    ],
    "seeds": Annotated[
        int | None,
        _option("N", "Train N seeds from --seed on, a process each, in seed0, seed1, ... of --out.", "--seeds"),
    ],
    "redo": Annotated[bool, _option("", "Short for --recycler redo.", "--redo")],
    "settings": Annotated[
        list[str] | None, _option("NAME=VALUE", "Any field of the configuration. Repeatable.", "--set")
    ],
    "show_config": Annotated[
        bool, _option("", "Print the configuration as --config reads it, with origins, and leave.", "--show-config")
    ],
    "quiet": options.Quiet,
}
DEFAULTS: Mapping[str, Any] = {"preset": "paper", "redo": False, "resume": False, "show_config": False, "quiet": False}


def with_flags(algorithm: Algorithm) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Decorate a command ``(**arguments)`` so that Typer sees the flags of an algorithm's configuration."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        hints = {**dict(_of_fields(algorithm)), **FIXED}
        hints = {name: hints[name] for name in ("env", "out", "resume", "seeds", "preset", "config", *hints)}
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS.get(name), annotation=hint)
            for name, hint in hints.items()
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = dict(hints)
        return command

    return decorate


def _mine(algorithm: Algorithm) -> Iterator[Flag]:
    known = kinds(algorithm.config)
    return (flag for flag in FLAGS if flag.field in known)


def _of_fields(algorithm: Algorithm) -> Iterator[tuple[str, Any]]:
    defaults = {field.name: field.default for field in fields(algorithm.config)}
    common = {field.name: field.default for field in fields(CommonConfig)}
    known = kinds(algorithm.config)
    for flag in _mine(algorithm):
        kind, default = known[flag.field].type, defaults[flag.field]
        names = flag.names or (f"--{flag.field.replace('_', '-')}",)
        own = default != common.get(flag.field, default)
        usual = "" if default is False else f" Default: {flag.default if flag.default and not own else default}."
        yield flag.option, Annotated[kind | None, _option(flag.metavar, f"{flag.help}{usual}", *names)]


def given_by_flags(algorithm: Algorithm, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that flags were given for; raises `UsageError` where two of them contradict each other."""
    found = {flag.field: arguments[flag.option] for flag in _mine(algorithm)}
    if arguments["redo"] and found["recycler"] not in (None, "redo"):
        raise UsageError(f"--redo is --recycler redo, not --recycler {found['recycler']}: give one of them")
    if arguments["redo"]:
        found["recycler"] = "redo"
    return {name: value for name, value in found.items() if value is not None}
