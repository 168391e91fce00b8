"""The entry point: which commands there are, and the one place where an error becomes an exit code.

Nothing heavy is imported here or at the top of a command's module: `dormancy --help` must not wait for torch.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from dormancy._version import __version__
from dormancy.errors import DormancyError
from dormancy_cli import env, recycle, sample
from dormancy_cli.inspect import command as inspect
from dormancy_cli.prune import command as prune
from dormancy_cli.report import command as report
from dormancy_cli.scan import command as scan
from dormancy_cli.shared.text import printable
from dormancy_cli.train import command as train

__all__ = ["app", "main", "run"]

INTERRUPTED = 130
BUG = 70

# Plain help: Rich panels would cost as much time as everything else together.
app = typer.Typer(
    name="dormancy",
    help="See, understand and cure dormant neurons in deep reinforcement learning networks.",
    epilog="Exit codes: 0 ok, 1 gate failed, 2 usage, 3 input unusable, 4 some inputs failed, 70 bug, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("scan")(scan.scan)
app.command("prune")(prune.prune)
app.command("recycle")(recycle.recycle)
app.command("report")(report.report)
app.command("inspect")(inspect.inspect)
app.command("sample")(sample.sample)
app.add_typer(train.app)
app.command("env")(env.env)

# Typer carries its own copy of click in some versions and imports it in others; this is the base class in both.
ClickException: type[Any] = typer.BadParameter.__mro__[2]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Print the version, or the help when no command was named."""
    if version:
        typer.echo(f"dormancy {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error ends here.

    An expected error is one line on stderr. Anything else is a bug and keeps its traceback.
    """
    try:
        return _invoke(arguments)
    except typer.Exit as leave:
        return leave.exit_code
    except DormancyError as error:
        return _complain(str(error), error.exit_code)
    except ClickException as error:
        return _explain(error)
    except BrokenPipeError:
        return _close_quietly()
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", INTERRUPTED)
    except Exception:
        traceback.print_exc()
        return _complain("this is a bug in dormancy; please report it with the lines above and `dormancy env`", BUG)


def _invoke(arguments: Sequence[str]) -> int:
    if "train" in arguments[:1]:
        train.add_algorithms()
    command = typer.main.get_command(app)
    with command.make_context("dormancy", list(arguments)) as context:
        code = command.invoke(context)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _explain(error: Any) -> int:
    """Say what is wrong with a command line; a group of commands without any is answered with its help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    where = f" (see `{context.command_path} --help`)" if context else ""
    return _complain(f"{error.format_message()}{where}", error.exit_code)


def _complain(message: str, code: int) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return code


def _close_quietly() -> int:
    """Leave as if all had been read: `dormancy scan runs | head` is no failure.

    What is still buffered goes nowhere, lest the interpreter try the closed pipe again on its way out.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main() -> NoReturn:
    """Be the `dormancy` program."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if "_DORMANCY_COMPLETE" in os.environ:
        train.add_algorithms()
        app(prog_name="dormancy")
    sys.exit(run(sys.argv[1:]))
