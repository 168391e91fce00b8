"""Write replay samples: slab by slab, so that memory does not grow with the sample."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dormancy._version import __version__
from dormancy.errors import SampleError, UsageError
from dormancy.io.arrays.base import ObservationArray
from dormancy.io.files import atomic_path
from dormancy.io.limits import MAX_ROW, SAMPLE_DTYPES
from dormancy.io.safety.hdf5 import MAX_ATTRIBUTE
from dormancy.io.samples.formats.native import OPTIONAL_ARRAYS, SCHEMA, SCHEMA_VERSION
from dormancy.io.samples.hdf5_stream import Sink
from dormancy.io.samples.sample import ReplaySample
from dormancy.text.escape import printable

__all__ = ["save_sample"]

CHUNK_ROWS = 16
SMALL_CHUNK = 1 << 15
"""Bytes. 16 frames of pixels make a chunk of 450 kB; 16 rows of four floats would make 256 bytes and cost more to find
than to read, so that chunks of small rows hold as many rows as fit into this."""

SLAB = 1 << 23
"""Bytes held in memory while copying."""


def save_sample(path: str | os.PathLike[str], sample: ReplaySample, *, force: bool = False) -> Path:
    """Write `sample` to `path` in one step, the whole file or nothing, and return the path.

    Observations are read and written by slab. Equal samples give equal bytes. The provenance becomes root attributes;
    ``created_by`` is added when it is missing. Raises `SampleError` when the arrays disagree on the number of rows or
    hold something other than numbers, `UsageError` for provenance that is not text, and `OutputError` when the file
    exists and `force` is not given, or when it cannot be written.
    """
    arrays = _arrays(sample)
    attributes = _attributes(sample.provenance)
    with atomic_path(path, force) as temporary, temporary.open("r+b", buffering=0) as stream:
        sink = Sink(stream)
        with h5py.File(sink, "w", libver=("v110", "v110")) as file:
            _write(file, attributes, arrays, sink)
        sink.raise_error()  # closing the file writes too
    return Path(path)


def _arrays(sample: ReplaySample) -> dict[str, ObservationArray]:
    """Return every array of the sample under its place in the file, after checking that it can be written there."""
    sample.check("sample")
    found: dict[str, ObservationArray] = {}
    for name in ("observations", "next_observations", *OPTIONAL_ARRAYS):
        array = getattr(sample, name)
        if isinstance(array, Mapping):
            found |= {f"{name}/{_input_name(inner)}": part for inner, part in sorted(array.items())}
        elif array is not None:
            found[name] = array
    for name, array in found.items():
        _check_writable(name, array)
    return found


def _input_name(name: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,80}", name) or name in (".", ".."):
        raise SampleError(
            f"sample: '{printable(name, 60)}' cannot name an input; use letters, digits, '_', '-', '.', ':'"
        )
    return name


def _check_writable(name: str, array: ObservationArray) -> None:
    shown = printable(name, 60)
    if np.dtype(array.dtype).newbyteorder("=") not in SAMPLE_DTYPES:
        raise SampleError(f"sample: '{shown}' has the type {printable(array.dtype, 40)}; convert it to numbers")
    row = prod(array.shape[1:]) * array.dtype.itemsize
    if not 0 < row <= MAX_ROW:
        raise SampleError(f"sample: a row of '{shown}' takes {row} bytes; rows take 1 to {MAX_ROW}")


def _attributes(provenance: Mapping[str, str]) -> dict[str, bytes]:
    given = {"created_by": f"dormancy {__version__}", **provenance}
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or name in ("schema", "schema_version"):
            raise UsageError(
                f"provenance '{printable(name, 60)}' cannot name an attribute; use letters, digits and '_'"
            )
        if not isinstance(value, str) or "\0" in value or len(value.encode("utf-8", "replace")) > MAX_ATTRIBUTE:
            raise UsageError(f"provenance {name!r} must be text of at most {MAX_ATTRIBUTE} bytes without NUL")
    texts = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **given}
    return {name: texts[name].encode("utf-8", "replace") for name in sorted(texts)}  # equal mappings, equal bytes


def _write(
    file: h5py.File, attributes: Mapping[str, bytes], arrays: Mapping[str, ObservationArray], sink: Sink
) -> None:
    for name, text in attributes.items():
        # Fixed length: variable-length text is what makes the HDF5 library crash on damaged files.
        file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))
    for name, array in arrays.items():
        for _ in _copied(file, name, array):
            sink.raise_error()


def _copied(file: h5py.File, name: str, array: ObservationArray) -> Iterator[int]:
    """Copy an array slab by slab; yield the row reached after each."""
    rows, row = len(array), prod(array.shape[1:]) * array.dtype.itemsize
    chunk = min(rows, max(CHUNK_ROWS, SMALL_CHUNK // row))
    dataset: Any = file.create_dataset(
        name,
        shape=array.shape,
        dtype=np.dtype(array.dtype).newbyteorder("="),
        chunks=(chunk, *array.shape[1:]),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fletcher32=True,
    )
    slab = max(1, SLAB // (row * chunk)) * chunk  # whole chunks, so that each is compressed once
    for start in range(0, rows, slab):
        dataset[start : start + slab] = array[start : start + slab]
        yield min(start + slab, rows)
