"""Numbers and names as words."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dormancy.text.numbers import MISSING, number, percent, shown, unique


@given(st.floats(0, 1))
def test_only_nothing_is_zero_and_only_everything_is_all(share: float) -> None:
    text = percent(share)
    assert (text == "0 %") == (share == 0)
    assert (text == "100 %") == (share == 1)


@given(st.floats(0.001, 0.999))
def test_a_percentage_is_right_to_its_last_digit(share: float) -> None:
    text = percent(share).removesuffix(" %")
    step = 10.0 ** -len(text.partition(".")[2])
    assert abs(float(text) - 100 * share) <= 0.5 * step + 1e-9 or text == "99.9"


def test_what_is_not_finite_is_missing() -> None:
    assert {percent(math.nan), percent(math.inf), number(math.nan), number(-math.inf)} == {MISSING}


@given(st.text(), st.integers(5, 80))
def test_a_name_becomes_one_short_visible_line(name: str, limit: int) -> None:
    text = shown(name, limit)
    assert 0 < len(text) <= max(limit, len("(no name)"))
    assert text.isprintable()


@given(st.lists(st.sampled_from(["fc1", "fc1\u202e", "x" * 200, "x" * 300, ""]), max_size=6))
def test_labels_can_be_told_apart(names: list[str]) -> None:
    assert len(set(unique(names))) == len(names)


def test_a_numbered_label_does_not_meet_a_name_that_is_numbered() -> None:
    assert len(set(unique(["fc", "fc (2)", "fc"]))) == 3
