"""Files as bytes: what may be read, how a file is written so that it is whole or not there, how names are shown."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dormancy.errors import FileError, OutputError
from dormancy.text.escape import one_line, printable

__all__ = ["atomic_path", "open_regular_file", "require_regular_file", "sha256_file"]

_READ_SIZE = 1 << 20


def require_regular_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a `Path` when it is a regular file with something in it.

    Raises `FileError` when it is missing, a folder, a FIFO, socket or device, empty, or not readable. Nothing is
    opened before that is known: opening a FIFO would wait for ever.
    """
    file = Path(path)
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise FileError(_why_unreadable(file, error)) from error
    _check_kind(file, status)
    if not os.access(file, os.R_OK):
        raise FileError(f"{printable(file)}: permission denied; make the file readable")
    return file


def _check_kind(file: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f"{printable(file)}: is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{printable(file)}: is {_kind(status.st_mode)}, not a regular file; copy its content first")
    if status.st_size == 0:
        raise FileError(f"{printable(file)}: is empty; write or copy it again")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _why_unreadable(file: Path, error: OSError | ValueError) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"{printable(file)}: no such file; check the path"
    if isinstance(error, PermissionError):
        return f"{printable(file)}: permission denied; make the file readable"
    return f"{printable(file)}: cannot be read: {one_line(error)}"


@contextlib.contextmanager
def open_regular_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file for reading; what was checked is what is read.

    Raises `FileError` as `require_regular_file` does, and when reading fails.
    """
    file = require_regular_file(path)
    try:
        # O_NONBLOCK: had the file been exchanged for a FIFO meanwhile, open returns instead of waiting.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise FileError(_why_unreadable(file, error)) from error
    with os.fdopen(descriptor, "rb") as stream:
        _check_kind(file, os.fstat(descriptor))
        yield stream


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises `FileError` when the file cannot be read.
    """
    with open_regular_file(path) as stream:
        return sha256_stream(stream, path)


def sha256_stream(stream: BinaryIO, path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of an open file from its start; `path` is named when reading fails."""
    digest = hashlib.sha256()
    try:
        stream.seek(0)
        while block := stream.read(_READ_SIZE):
            digest.update(block)
    except OSError as error:
        raise FileError(_why_unreadable(Path(path), error)) from error
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], force: bool = False) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; on success its file becomes `path`, on failure it is removed.

    The file is flushed to the disk before it gets its name, and its folder after, so that a power cut leaves the old
    file or the new one, whole. Raises `OutputError` when `path` exists and `force` is not given (also when it
    appeared meanwhile), when the folder is missing or not writable, and when the disk is full.
    """
    target = Path(path)
    _check_target(target, force)
    if target.is_symlink():
        target = target.resolve()
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        _create(temporary)
        yield temporary
        _publish(temporary, target, force)
    except OSError as error:
        raise OutputError(why_unwritable(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _check_target(target: Path, force: bool) -> None:
    try:
        mode = target.lstat().st_mode if not target.is_symlink() or not target.exists() else target.stat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(why_unwritable(target, error)) from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{printable(target)}: is a folder; name a file in it")
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise OutputError(f"{printable(target)}: is {_kind(mode)}, not a regular file; choose another name")
    if not force:
        raise OutputError(_exists(target))


def _exists(target: Path) -> str:
    return f"{printable(target)}: already exists; choose another name, or overwrite it with --force"


def _create(temporary: Path) -> None:
    # Not tempfile.mkstemp: its mode 0600 would stay with the published file; this one follows the umask.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _publish(temporary: Path, target: Path, force: bool) -> None:
    _flush(temporary)
    if force:
        temporary.replace(target)
    else:
        _rename_new(temporary, target)
    _flush(target.parent)


def _rename_new(temporary: Path, target: Path) -> None:
    """Rename without overwriting: unlike rename, link fails when another process made `target` meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise OutputError(_exists(target)) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        _check_target(target, force=False)  # a file system without hard links: check again, then rename
        temporary.replace(target)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP, errno.EBADF)):
            raise  # some network file systems cannot flush a folder; a file that cannot be flushed is a failure
    finally:
        os.close(descriptor)


def why_unwritable(path: str | os.PathLike[str], error: BaseException) -> str:
    """Say in one line why writing `path` failed and what to do."""
    name = printable(path)
    cause = _first_os_error(error)
    if cause is None:
        return f"{name}: cannot be written: {one_line(error)}"
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}: disk full; free some space or write elsewhere"
    if cause.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{name}: its folder does not exist; create it first"
    if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name}: permission denied; choose a folder that can be written to"
    return f"{name}: cannot be written: {printable(cause.strerror or one_line(cause))}; choose another place"


def _first_os_error(error: BaseException | None) -> OSError | None:
    """Return what the system said: a library's own complaint may have come on top of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error
