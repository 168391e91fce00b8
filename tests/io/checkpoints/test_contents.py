"""Files that cannot be scanned as they are: what is in them, and what each network needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dormancy.errors import FormatError, UnsafeFileError
from dormancy.io import Hints, load_checkpoint, survey_checkpoint
from tests.io.checkpoints.recorded_outputs import CASES, FOLDER, hints
from tests.io.expectations import Refused


def test_each_network_says_what_it_needs() -> None:
    survey = survey_checkpoint(FOLDER / "td3.cleanrl_model")
    assert survey.source.format == "state_dict"
    assert [(found.key, found.missing is None) for found in survey.networks] == [("0", True), ("1", False)]
    assert "add --activation relu" in str(survey.networks[1].missing)
    assert str(FOLDER) not in str(survey.networks[1].missing)


def test_what_was_said_is_kept() -> None:
    survey = survey_checkpoint(FOLDER / "td3.cleanrl_model", Hints(activation="relu"))
    assert [found.missing for found in survey.networks] == [None, None]


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_file_lists_its_networks(case: str) -> None:
    """The key of each network that the other tests read is among them, or a part of one."""
    file, _, key = case.partition("|")
    survey = survey_checkpoint(FOLDER / file, Hints(trust=hints(case).trust))
    assert any(key == found.key or key.startswith(f"{found.key}/") or not key for found in survey.networks)
    assert all(found.parameters for found in survey.networks)


def test_an_agent_lists_its_networks() -> None:
    keys = [found.key for found in survey_checkpoint(FOLDER / "sb3_sac.zip").networks]
    assert keys == ["actor", "critic", "critic_target"]
    assert [found.key for found in survey_checkpoint(FOLDER / "sb3_a2c.zip").networks] == ["policy"]


def test_programs_and_other_files_are_refused(tmp_path: Path, refused: Refused) -> None:
    refused(UnsafeFileError, lambda: survey_checkpoint(FOLDER / "script_critic.pt"))
    (tmp_path / "a.txt").write_text("just text, and long enough to be read as such")
    refused(FormatError, lambda: survey_checkpoint(tmp_path / "a.txt"))


def test_a_network_that_no_template_has_is_listed(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU()).state_dict(), tmp_path / "a.pt")
    with pytest.raises(Exception, match="belongs to no layer"):
        load_checkpoint(tmp_path / "a.pt")
    torch.save({"0.weight": torch.ones(3, 4), "x": torch.ones(5)}, tmp_path / "b.pt")
    (found,) = survey_checkpoint(tmp_path / "b.pt").networks
    assert set(found.parameters) == {"0.weight", "x"}
    assert "--model package.module:factory" in str(found.missing)
