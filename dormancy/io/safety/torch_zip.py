"""The zip directory of a torch file, read strictly before torch reads it.

`torch.load` checks no checksum (a flipped bit in a weight loads silently) and inflates what is compressed (4 MB become
11 GB). It also has a zip parser of its own: whatever two parsers may read differently is refused here, so that what
was checked is what torch sees.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, final

from dormancy.errors import FileError, FormatError, UnsafeFileError
from dormancy.text.escape import one_line, printable

__all__ = ["TorchArchive", "check_inflated", "list_members", "read_storages", "read_stored", "read_torch_archive"]

MAX_MEMBERS = 20_000
MAX_DIRECTORY = 4 << 20
MAX_PICKLE = 16 << 20
MAX_CODE = 64 << 20
"""Bounds far above real checkpoints (a hundred members, a pickle of some kB): they bound the time a check may take."""

_READ_SIZE = 1 << 20
_MEMBER = re.compile(
    r"(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/[0-9]{1,9})"
)
_STORAGE = re.compile(r"/data/[0-9]+$")
_LOCAL_LENGTHS = struct.Struct("<26x2H")
_END, _LOCATOR, _END64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sIQI"), struct.Struct("<4sQ2H2I4Q")


@final
@dataclass(frozen=True)
class TorchArchive:
    """What a checked torch zip holds: its pickle, and the size in bytes of every storage by its key."""

    pickle: bytes
    storages: Mapping[str, int]


def read_torch_archive(stream: BinaryIO, path: object) -> TorchArchive:
    """Check the zip directory and the CRC-32 of every member of a torch file; return its pickle and storage sizes.

    Raises `FileError` when the file is truncated or damaged, `UnsafeFileError` when it is built to mislead or to
    exhaust (compressed, duplicate or overlapping members, names with paths), and `FormatError` when it is another kind
    of zip. `path` is named in messages.
    """
    name = printable(path)
    with _opened(stream, name) as (archive, directory):
        check = _Check(archive, stream, name)
        root = check.names()
        check.places(directory)
        return check.content(root)


def read_storages(stream: BinaryIO, path: object, keys: Iterable[str]) -> dict[str, bytearray]:
    """Return the bytes of some storages of a torch file that `read_torch_archive` has checked, each read once.

    They are stored as they are, so together they take no more memory than the file has bytes.
    """
    with _opened(stream, printable(path)) as (archive, _):
        root = archive.namelist()[0].partition("/")[0]
        return {key: bytearray(archive.read(f"{root}/data/{key}")) for key in keys}


def check_inflated(stream: BinaryIO, path: object) -> None:
    """Check that the members of a program, whose code torch compresses, come to no more than its file and some code.

    Raises `UnsafeFileError` when they inflate to more, `FileError` when the directory is damaged.
    """
    name = printable(path)
    with _opened(stream, name) as (archive, directory):
        infos = archive.infolist()
        code = sum(info.file_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
        data = sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_STORED)
        if code > MAX_CODE or data > directory:
            _unsafe(name, f"its members inflate to {code + data} bytes")


def list_members(stream: BinaryIO, path: object) -> list[str]:
    """Return the names in a zip archive, to tell what kind of archive it is.

    Raises `FileError` when its directory is truncated or damaged, `UnsafeFileError` when it is built to mislead.
    """
    with _opened(stream, printable(path)) as (archive, _):
        return [info.orig_filename for info in archive.infolist()]


def read_stored(stream: BinaryIO, path: object, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """Return the `wanted` members (name to most bytes) of a zip archive of stored files, their CRC-32 checked.

    Raises as `read_torch_archive` does; all members are looked at, those not wanted are not read.
    """
    name = printable(path)
    with _opened(stream, name) as (archive, directory):
        check = _Check(archive, stream, name)
        check.places(directory)
        if len({info.orig_filename for info in check.infos}) != len(check.infos):
            _unsafe(name, "two of its members have the same name")
        return {info.filename: check.bounded(info, wanted) for info in check.infos if info.filename in wanted}


@contextlib.contextmanager
def _opened(stream: BinaryIO, name: str) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """Give the archive and the offset of its directory; name the file in whatever goes wrong meanwhile."""
    try:
        members, directory = _end_of_directory(stream, name)
        with zipfile.ZipFile(stream) as archive:
            if len(archive.infolist()) != members:
                _unsafe(name, "its zip directory holds another number of members than it says")
            yield archive, directory
    except (zipfile.BadZipFile, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise FileError(f"{name}: truncated or damaged ({one_line(error, 120)}); copy or save it again") from error


def _unsafe(name: str, reason: str) -> NoReturn:
    raise UnsafeFileError(f"{name}: refused: {reason}; save it again with torch.save")


def _unpacked(stream: BinaryIO, layout: struct.Struct, offset: int) -> tuple[Any, ...]:
    stream.seek(max(offset, 0))
    return layout.unpack(stream.read(layout.size))


def _end_of_directory(stream: BinaryIO, name: str) -> tuple[int, int]:
    """Return the number of members and the offset of the directory, after checking what the end of the file says.

    Accepted is the plain ending only (and its 64-bit form, which torch writes): no comment, no gap, no second truth.
    """
    end = stream.seek(0, 2) - _END.size
    signature, *_, members, length, start, comment = _unpacked(stream, _END, end)
    if signature != b"PK\x05\x06" or comment:
        raise zipfile.BadZipFile("no zip directory at its end")
    locator = _unpacked(stream, _LOCATOR, end - _LOCATOR.size)
    if locator[0] == b"PK\x06\x07":
        end -= _LOCATOR.size + _END64.size
        signature, *_, members, length, start = _unpacked(stream, _END64, end)
        if signature != b"PK\x06\x06" or locator[2] != end:
            _unsafe(name, "its two zip directories disagree")
    if start + length != end:
        _unsafe(name, "its zip directory is not where the file says")
    if members > MAX_MEMBERS or length > MAX_DIRECTORY:
        _unsafe(name, f"its zip directory has {members} members in {length} bytes")
    return members, start


@final
class _Check:
    """The members of an opened archive, looked at from outside to inside."""

    def __init__(self, archive: zipfile.ZipFile, stream: BinaryIO, name: str) -> None:
        self.archive = archive
        self.stream = stream
        self.name = name
        self.infos = archive.infolist()

    def names(self) -> str:
        """Check the names; return the folder that all members lie in, with its slash."""
        names = [info.orig_filename for info in self.infos]
        root = names[0].partition("/")[0] + "/" if names else "/"
        if f"{root}data.pkl" not in names:
            shown = ", ".join(f"'{printable(name, 40)}'" for name in names[:4]) or "nothing"
            raise FormatError(f"{self.name}: a zip archive, but no torch file (it holds {shown}); name a checkpoint")
        if f"{root}constants.pkl" in names:
            raise FormatError(
                f"{self.name}: a TorchScript archive, which is code; save the network's state_dict instead"
            )
        for info in self.infos:
            inner = info.orig_filename.removeprefix(root)
            if info.filename != info.orig_filename or inner == info.orig_filename or not _MEMBER.fullmatch(inner):
                shown = printable(info.orig_filename, 60)
                _unsafe(self.name, f"member '{shown}' does not belong in a torch file")
        if len(set(names)) != len(names):
            _unsafe(self.name, "two of its members have the same name")
        return root

    def places(self, directory: int) -> None:
        """Check that the members follow each other from the first byte to the directory, stored as they are."""
        position = 0
        for info in sorted(self.infos, key=lambda info: info.header_offset):
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 0x1:
                _unsafe(self.name, f"member '{printable(info.filename, 60)}' is compressed or encrypted")
            if info.header_offset < position or (position == 0 and info.header_offset != 0):
                _unsafe(self.name, "its members overlap, or something stands before them")
            lengths = _unpacked(self.stream, _LOCAL_LENGTHS, info.header_offset)
            position = info.header_offset + _LOCAL_LENGTHS.size + sum(lengths) + info.file_size
        if position > directory:
            _unsafe(self.name, "its members overlap its directory")

    def content(self, root: str) -> TorchArchive:
        """Read every member to its end, which checks its CRC-32; keep the pickle."""
        checked = {info.filename.removeprefix(root): self._verified(info) for info in self.infos}
        if checked.get("byteorder", b"little") != b"little":
            raise FormatError(f"{self.name}: saved on a big-endian machine; save it again on a little-endian one")
        prefix = f"{root}data/"
        storages = {
            info.filename.removeprefix(prefix): info.file_size
            for info in self.infos
            if info.filename.startswith(prefix)
        }
        return TorchArchive(checked["data.pkl"], storages)

    def bounded(self, info: zipfile.ZipInfo, most: Mapping[str, int]) -> bytes:
        """Return the bytes of a member that may take so many at most."""
        if info.file_size > most[info.filename]:
            _unsafe(self.name, f"member '{printable(info.filename, 60)}' takes {info.file_size} bytes")
        return b"".join(_blocks(self.archive, info))

    def _verified(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a member, or nothing for a storage: those are read, checked and dropped."""
        keep = not _STORAGE.search(info.filename)
        if keep and info.file_size > MAX_PICKLE:
            _unsafe(self.name, f"member '{printable(info.filename, 60)}' takes {info.file_size} bytes")
        return b"".join(block for block in _blocks(self.archive, info) if keep)


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as member:
        while block := member.read(_READ_SIZE):
            yield block
