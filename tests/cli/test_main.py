"""The error boundary: each kind of failure has its exit code and one line on stderr; only a bug has a traceback."""

import subprocess
import sys
from collections.abc import Callable

import pytest

import dormancy
from dormancy import errors
from dormancy_cli import main
from dormancy_cli.main import run

Outcome = Callable[[], None]


def failing(error: BaseException) -> Outcome:
    def fail() -> None:
        raise error

    return fail


def outcome_of(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    monkeypatch.setattr(main, "_invoke", lambda arguments: failing(error)())
    return run([])


KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_expected_error_is_one_line_and_its_code(
    kind: type[errors.DormancyError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome_of(monkeypatch, kind("what, which, next")) == kind.exit_code
    assert capsys.readouterr() == ("", "error: what, which, next\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome_of(monkeypatch, RuntimeError("boom")) == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "RuntimeError: boom" in printed.err
    assert "bug in dormancy" in printed.err


def test_an_interruption_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome_of(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_what_a_message_quotes_cannot_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome_of(monkeypatch, errors.FileError("\x1b[2Jevil\nname\u202e.pt"))
    assert capsys.readouterr().err == "error: \\x1b[2Jevil\\nname\\u202e.pt\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["scna"], "Did you mean 'scan'?"),
        (["scan", "--tua", "0", "x.pt"], "--tau"),
        (["scan", "--format", "jsn", "x.pt"], "did you mean 'json'?"),
        (["scan", "--device", "cpuu", "x.pt"], "did you mean 'cpu'?"),
        (["scan", "--metrics", "sranc", "x.pt"], "did you mean 'srank'?"),
        (["scan", "--tau", "-1", "x.pt"], "0 or more"),
        (["scan", "--tau", "nan", "x.pt"], "0 or more"),
        (["scan", "--tau", "tenth", "x.pt"], "--tau"),
        (["scan", "--layers", "fc(", "x.pt"], "regular expression"),
        (["scan", "--batch-size", "0", "x.pt"], "--batch-size"),
        (["scan", "--fail-above", "1.5", "x.pt"], "between 0 and 1"),
        (["scan", "--fail-above", "=0.5", "x.pt"], "names no layer"),
        (["scan"], "PATH"),
        (["report", "--format", "htm", "x"], "did you mean 'html'?"),
        (["inspect", "--format", "jsn", "x"], "did you mean 'json'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_with_the_way_out(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert hint in printed.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"dormancy {dormancy.__version__}\n"


def test_no_command_gives_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    printed = capsys.readouterr().out
    for command in ("scan", "report", "inspect", "train", "env"):
        assert f"\n  {command} " in printed


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_no_line_of_the_list_of_commands_is_cut(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(arguments) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2]
    assert listed
    assert "..." not in listed


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    code = "import sys; from dormancy_cli.main import main; sys.argv = ['dormancy', 'env']; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
