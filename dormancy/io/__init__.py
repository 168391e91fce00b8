"""Files in, plain data out: a file is data, never code."""

from dormancy.io.checkpoint import Assumption, Checkpoint, Source
from dormancy.io.files import atomic_path, printable, require_regular_file, sha256_file
from dormancy.io.folders import find_sample, list_checkpoints, list_runs
from dormancy.io.foreign_samples import open_foreign_sample
from dormancy.io.hdf5 import open_sample
from dormancy.io.hdf5_write import save_sample
from dormancy.io.hints import Hints
from dormancy.io.native import save_checkpoint
from dormancy.io.readers import load_checkpoint
from dormancy.io.sample import ObservationArray, ReplaySample
from dormancy.io.survey import NetworkFound, Survey, survey_checkpoint
from dormancy.io.training import Evaluation, TrainingRecord, read_training

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
