"""The progress bar: for terminals only."""

import sys

import pytest

from dormancy_agents.training.progress import ProgressBar


def use(bar: ProgressBar) -> None:
    with bar:
        bar.at(1)
        bar.episode(3.25)
        bar.dormancy(0.125)
        bar.at(10)
        bar.evaluating(1, 2)
        bar.evaluating(2, 2)


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    use(ProgressBar(10))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_return_and_dormancy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    use(ProgressBar(10))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "10/10" in shown.err
    assert "evaluation 1/2" in shown.err
    assert shown.err.rindex("agent steps") > shown.err.rindex("evaluation 1/2")
    assert "return 3.2" in shown.err
    assert "dormant 12.5%" in shown.err


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    use(ProgressBar(10, shown=False))
    assert capsys.readouterr().err == ""
