"""`dormancy inspect`: what is in a file, and what is missing to scan it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dormancy.errors import InputError, PartialFailure
from dormancy.text.jsonable import as_json
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, render, result_console, write_result
from dormancy_cli.shared.paths import Failure, expand

if TYPE_CHECKING:
    from dormancy.io import Hints

__all__ = ["inspect"]


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Checkpoints and samples, or folders of them.")],
    format: Annotated[
        str, typer.Option(metavar="table|json", callback=options.one_of(["table", "json"]), help="How to print it.")
    ] = "table",
    key: options.Key = None,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_scale: options.InputScale = None,
    layout: options.Layout = None,
    model: options.Model = None,
    trust: options.Trust = False,
    verbose: options.Verbose = False,
) -> int:
    """Say what a checkpoint or sample holds, and what scan still needs.

    A checkpoint whose network cannot be told gets a partial sheet, with the flags to add, and exit code 3.
    """
    reporter = Reporter(verbose=verbose)
    hints = options.hints(key, arch, activation, input_scale, layout, model, trust=trust)
    found, failed = _describe_each(files, reporter, hints)
    if format == "json":
        document = {"schema": "dormancy.inspect/1", "files": found}
        write_result(as_json(document), None, force=False)
    else:
        _show(found, verbose=verbose)
    if not failed:
        return 0
    placed = any(facts.get("complete", True) for facts in found)
    return PartialFailure.exit_code if placed else InputError.exit_code


def _describe_each(files: Sequence[str], reporter: Reporter, hints: Hints | None) -> tuple[list[dict[str, Any]], int]:
    from dormancy_cli.inspect.describe import describe

    found, failed = [], 0
    for item in expand(files):
        try:
            if isinstance(item, Failure):
                raise item.error
            found.append(describe(item, hints))
            failed += not found[-1].get("complete", True)
        except InputError as error:
            failed += 1
            reporter.error(error)
    return found, failed


def _show(found: Sequence[dict[str, Any]], *, verbose: bool) -> None:
    from dormancy_cli.inspect.tables import draw_sheets

    if result_console().is_terminal:
        draw_sheets(result_console(), found, verbose=verbose)
    else:
        write_result(render(lambda console: draw_sheets(console, found, verbose=verbose)), None, force=False)
