"""What stands between a stranger's HDF5 file and its numbers.

HDF5 can point outside itself (soft and external links, virtual datasets, external storage: each can leak another local
file), load plug-ins to undo unknown filters, and declare terabytes in a kilobyte. None of that is needed for a sample,
so none of it is followed. Variable-length data is refused since it is what makes the library crash on damaged files.
"""

from __future__ import annotations

from math import prod
from typing import Any, NoReturn, final

import h5py
from h5py import h5d, h5l, h5t, h5z

from dormancy.errors import SampleError, UnsafeFileError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.hdf5 import StoredArray
from dormancy.io.limits import MAX_IN_MEMORY, MAX_RATIO, MAX_ROW, SAMPLE_DTYPES
from dormancy.text.escape import printable

__all__ = ["GuardedFile"]


MAX_ENTRIES = 256
MAX_ATTRIBUTE = 1 << 20


MAX_CHUNK = 1 << 26


_FILTERS = frozenset({h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF})
_LAYOUTS = frozenset({h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED})
_NUMBERS = frozenset({h5t.INTEGER, h5t.FLOAT, h5t.ENUM})


@final
class GuardedFile:
    """An open HDF5 file of which nothing is read before it was checked. `path` is named in messages."""

    def __init__(self, file: h5py.File, path: object, size: int) -> None:
        self.file = file
        self.name = printable(path)
        self.path = path
        self.size = size

    def unsafe(self, reason: str) -> NoReturn:
        """Refuse the file."""
        raise UnsafeFileError(f"{self.name}: refused: {reason}; make the sample again")

    def attributes(self) -> dict[str, str]:
        """Return the root attributes as text: fixed-length strings and whole numbers."""
        attributes = self.file.attrs
        if len(attributes) > MAX_ENTRIES:
            self.unsafe(f"it has more than {MAX_ENTRIES} attributes")
        return {name: self.attribute(name) for name in attributes}

    def attribute(self, name: str) -> str:
        """Return one root attribute as text; raises as `attributes` does."""
        shown = printable(name, 60)
        attribute = self.file.attrs.get_id(name)
        kind = attribute.get_type()
        if kind.get_class() == h5t.STRING and kind.is_variable_str():
            self.unsafe(f"attribute '{shown}' has variable length")
        if kind.get_class() not in (h5t.STRING, h5t.INTEGER) or attribute.shape != ():
            self.unsafe(f"attribute '{shown}' is neither a text nor a whole number")
        if kind.get_size() > MAX_ATTRIBUTE:
            self.unsafe(f"attribute '{shown}' takes {kind.get_size()} bytes")
        value = self.file.attrs[name]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def entries(self, group: h5py.Group, limit: int = MAX_ENTRIES) -> list[str]:
        """Return the names in a group, after checking that each is a plain member and no link to elsewhere."""
        if len(group) > limit:
            self.unsafe(f"it has more than {limit} entries in '{printable(group.name, 60)}'")
        names = list(group)
        for name in names:
            if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5l.TYPE_HARD:
                self.unsafe(f"'{printable(name, 60)}' is a link, which could lead to another file")
        return names

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """Return a member of a group whose links were checked, after checking how it is stored and what it claims."""
        dataset = group[name]
        shown = printable(name, 60)
        if not isinstance(dataset, h5py.Dataset):
            raise SampleError(f"{self.name}: '{shown}' is not a dataset; make the sample again")
        self._check_storage(dataset.id.get_create_plist(), shown)
        self._check_type(dataset.id.get_type(), shown)
        self._check_size(dataset, shown)
        return dataset

    def _check_storage(self, properties: Any, shown: str) -> None:
        if properties.get_layout() not in _LAYOUTS:
            self.unsafe(f"'{shown}' is a virtual dataset, which could read another file")
        if properties.get_external_count():
            self.unsafe(f"'{shown}' is stored in another file")
        filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
        for number in filters:
            if number not in _FILTERS or filters.count(number) > 1:
                self.unsafe(
                    f"'{shown}' uses filter {number}; only deflate, shuffle, fletcher32 and lzf, each once, are read"
                )

    def _check_type(self, kind: Any, shown: str) -> None:
        if kind.get_class() not in _NUMBERS:
            self.unsafe(f"'{shown}' holds text, references, records or objects instead of numbers")
        if kind.dtype.newbyteorder("=") not in SAMPLE_DTYPES or h5py.check_enum_dtype(kind.dtype):
            raise SampleError(
                f"{self.name}: '{shown}' has the type {printable(kind.dtype, 40)}, which is not read; convert it"
            )

    def _check_size(self, dataset: h5py.Dataset, shown: str) -> None:
        if not dataset.shape or prod(dataset.shape) == 0:
            raise SampleError(f"{self.name}: '{shown}' has no rows; make the sample again")
        row = prod(dataset.shape[1:]) * dataset.dtype.itemsize
        chunk = prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        if row > MAX_ROW or chunk > MAX_CHUNK:
            self.unsafe(f"a row of '{shown}' takes {row} bytes and a chunk {chunk}, more than {MAX_ROW}")
        stored = dataset.id.get_storage_size()
        if stored > self.size:
            self.unsafe(f"'{shown}' claims {stored} stored bytes in a file of {self.size}")
        if row * dataset.shape[0] > MAX_RATIO * stored:
            self.unsafe(f"'{shown}' claims {row * dataset.shape[0]} bytes but only {stored} are stored")

    def lazy(self, group: h5py.Group, name: str) -> StoredArray:
        """Return a checked dataset of which rows are read when they are asked for."""
        return StoredArray(self.dataset(group, name), self.path)

    def in_memory(self, group: h5py.Group, name: str) -> Array:
        """Return all rows of a checked dataset."""
        stored = self.lazy(group, name)
        taken = prod(stored.shape) * stored.dtype.itemsize
        if taken > MAX_IN_MEMORY:
            self.unsafe(f"'{printable(name, 60)}' takes {taken} bytes")
        return stored[0 : len(stored)]
