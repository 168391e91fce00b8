"""`dormancy train`: train an agent, and leave checkpoints with the replay samples to look at them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from dormancy.errors import UsageError
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter
from dormancy_cli.train.seeds import seed_folders

if TYPE_CHECKING:
    from dormancy_agents.config import Algorithm, CommonConfig, Resolved

__all__ = ["add_algorithms", "app"]

SIGNAL_BASE = 128
ENDS = """

The defaults are the hyper-parameters of the paper (Sokar et al. 2023) for its own tasks; --show-config prints them.

A run that is interrupted (SIGINT, SIGTERM, SIGUSR1) writes a last checkpoint and leaves with 130, 143 or 138; --resume
goes on with it, also after a crash. One whose loss is no longer finite leaves with 4.

Where a value is given more than once, --set wins over flags, flags over --config.
"""

app = typer.Typer(
    name="train",
    help="Train an agent and leave checkpoints, each with a replay sample.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _command(algorithm: Algorithm) -> Callable[..., int]:
    def command(**arguments: Any) -> int:
        resolved = _resolved(algorithm, arguments)
        _check(resolved.config)
        for message in resolved.warnings:
            Reporter(quiet=arguments["quiet"]).warning(message)
        if arguments["show_config"]:
            from dormancy_agents.config.files import as_toml

            typer.echo(as_toml(resolved), nl=False)
            return 0
        if arguments["seeds"] is not None:
            return _train_seeds(algorithm, resolved, arguments)
        return _train(algorithm, resolved.config, arguments)

    return command


def add_algorithms() -> None:
    """Add a command for each algorithm, once; not when this module is imported, for `dormancy --help` needs none."""
    from dormancy_agents.algorithms.registry import ALGORITHMS
    from dormancy_cli.train.flags import with_flags

    if not app.registered_commands:
        for algorithm in (ALGORITHMS[name] for name in ALGORITHMS):
            app.command(algorithm.name, help=algorithm.title + ENDS)(with_flags(algorithm)(_command(algorithm)))


def _resolved(algorithm: Algorithm, arguments: Mapping[str, Any]) -> Resolved:
    """Put the configuration together: preset, then file, then flags, then settings."""
    from dormancy_agents.config import Layer, resolve
    from dormancy_agents.config.files import read_settings, read_toml
    from dormancy_cli.train.flags import given_by_flags

    path = arguments["config"]
    written = {} if path is None else read_toml(path, algorithm.name)
    settings = read_settings(arguments["settings"] or [], algorithm.config)
    env_id = settings.pop("env_id", None) or arguments["env"] or written.pop("env_id", None)
    before = _before(arguments, algorithm)
    env_id = env_id or before.pop("env_id", None)
    if env_id is None:
        raise UsageError("which environment? give --env, such as ALE/Breakout-v5 or CartPole-v1")
    flags = given_by_flags(algorithm, arguments)
    layers = [Layer("resumed run", before), Layer(str(path), written), Layer("flag", flags), Layer("--set", settings)]
    return resolve(algorithm, env_id, layers, arguments["preset"])


def _check(config: CommonConfig) -> None:
    """Raise `UsageError` for what would be refused later, so that --show-config tells as well."""
    from dormancy_agents.training.interventions import check_interventions
    from dormancy_agents.training.setup import known_device

    known_device(config.device)
    check_interventions(config)


def _before(arguments: Mapping[str, Any], algorithm: Algorithm) -> dict[str, Any]:
    """Return the configuration of the run that is resumed, so that nobody has to give it once more.

    Of several seeds it is that of the first.
    """
    folder = arguments["out"]
    if not arguments["resume"] or folder is None:
        return {}
    from dormancy_agents.run_folder.folder import recorded_config

    names = ["run.json"] if arguments["seeds"] is None else [f"{name}/run.json" for name in seed_folders(folder)]
    path = next((folder / name for name in names if (folder / name).exists()), None)
    return {} if path is None else recorded_config(path, algorithm.name)


def _train_seeds(algorithm: Algorithm, resolved: Resolved, arguments: Mapping[str, Any]) -> int:
    """Train several seeds, each by this same command with the configuration put together here."""
    from dormancy_agents.config.files import as_toml
    from dormancy_cli.train.seeds import Job, cores, train_seeds

    count, config = arguments["seeds"], resolved.config
    if count < 1:
        raise UsageError(f"--seeds counts processes, 1 or more, not {count}")
    options.require_device(config.device)
    folder = arguments["out"] or Path("runs") / f"{algorithm.name}-{config.env_id.split('/')[-1]}"
    threads = config.threads or max(1, cores() // count)
    with TemporaryDirectory(prefix="dormancy-config-") as temporary:
        path = Path(temporary) / "run.toml"
        path.write_text(as_toml(resolved), encoding="utf-8")
        common = ("train", algorithm.name, "--config", str(path), "--threads", str(threads), "--quiet")
        again = ("--resume",) if arguments["resume"] else ()
        seeds = range(config.seed, config.seed + count)
        jobs = [Job(folder / f"seed{k}", (*common, *again, "--seed", str(k))) for k in seeds]
        return train_seeds(jobs, Reporter(quiet=arguments["quiet"]))


def _train(algorithm: Algorithm, config: CommonConfig, arguments: Mapping[str, Any]) -> int:
    from dormancy_agents.algorithms.registry import train_function
    from dormancy_agents.errors import AlreadyFinished

    options.require_device(config.device)
    name = f"{algorithm.name}-{config.env_id.split('/')[-1]}-seed{config.seed}"
    folder = arguments["out"] or Path("runs") / name
    quiet = arguments["quiet"]
    reporter = Reporter(quiet=quiet)
    try:
        outcome = train_function(algorithm)(config, folder, progress=not quiet, resume=arguments["resume"])
    except AlreadyFinished as finished:
        reporter.note(str(finished))
        return 0
    reporter.note(f"{folder}: {outcome.agent_steps} agent steps, {outcome.gradient_steps} gradient steps")
    return SIGNAL_BASE + outcome.signal if outcome.signal else 0
