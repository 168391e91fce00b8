"""Files in, plain data out: a file is data, never code."""

from dormancy.io.arrays.base import ObservationArray
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.contents import NetworkFound, Survey, survey_checkpoint
from dormancy.io.checkpoints.formats.native import save_checkpoint
from dormancy.io.checkpoints.hints import Hints
from dormancy.io.checkpoints.load import load_checkpoint
from dormancy.io.files import atomic_path, require_regular_file, sha256_file
from dormancy.io.runs.layout import find_sample, list_checkpoints, list_runs
from dormancy.io.runs.record import Evaluation, TrainingRecord, read_training
from dormancy.io.samples.formats.native import open_sample
from dormancy.io.samples.load import open_foreign_sample
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.samples.save import save_sample
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = [
    "Assumption",
    "Checkpoint",
    "Evaluation",
    "Hints",
    "NetworkFound",
    "ObservationArray",
    "ReplaySample",
    "Source",
    "Survey",
    "TrainingRecord",
    "atomic_path",
    "find_sample",
    "list_checkpoints",
    "list_runs",
    "load_checkpoint",
    "open_foreign_sample",
    "open_sample",
    "printable",
    "read_training",
    "require_regular_file",
    "save_checkpoint",
    "save_sample",
    "sha256_file",
    "survey_checkpoint",
]
