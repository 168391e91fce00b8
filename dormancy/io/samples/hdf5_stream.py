"""A file for the HDF5 library to write to, which never tells it about trouble."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Sink"]


@final
class Sink(io.RawIOBase):
    """Passes bytes on to `stream` until a write fails; from then on it forgets them and keeps the error.

    The HDF5 library does not survive a failed write: on a full disk it dropped chunks without a word, left a file that
    looked finished, and crashed the process later. So it always hears that all is well, and the caller asks
    `raise_error` whether it was.
    """

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        self._error: OSError | None = None

    def raise_error(self) -> None:
        """Raise what the first failed write raised, if any."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as in any file."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer`; what was forgotten reads as zeros."""
        view = memoryview(buffer).cast("B")
        count = self._stream.readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def write(self, data: Buffer) -> int:
        """Take all of `data`, and keep it unless a write failed before."""
        view = memoryview(data).cast("B")
        done = 0
        while self._error is None and done < len(view):
            try:
                done += self._stream.write(view[done:])  # may take a part only
            except OSError as error:
                self._error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        if self._error is None:
            try:
                return self._stream.truncate(size)
            except OSError as error:
                self._error = error
        return self.tell() if size is None else size
