"""What a file is, told by its first bytes: for messages that say what was seen instead of what was hoped for."""

from __future__ import annotations

__all__ = ["HEAD_SIZE", "describe", "is_zip"]

HEAD_SIZE = 512

_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_CONVERT = "convert it with torch.save(torch.load(file, weights_only=True), new)"

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, perhaps a replay sample"),
    (_LEGACY_TORCH, f"torch's format from before version 1.6, which carries no checksums; {_CONVERT}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"),
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"BZh", "bzip2-compressed; unpack it first"),
    (b"\xfd7zXZ", "xz-compressed; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK", "a damaged zip archive; copy or save it again"),
    (b"<", "a web page or XML, perhaps a failed download; fetch the file again"),
)


def is_zip(head: bytes) -> bool:
    """Whether a file beginning with `head` is a zip archive, as torch has written its files since version 1.6."""
    return head.startswith(b"PK\x03\x04")


def describe(head: bytes) -> str:
    """Say what a file beginning with `head` (up to 512 bytes) is, and what to do with it.

    >>> describe(b"\\x1f\\x8b\\x08")
    'gzip-compressed; unpack it first'
    """
    for magic, meaning in _MAGIC:
        if head.startswith(magic):
            return meaning
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a bare Python pickle, which runs code when loaded and is never loaded here; save a state_dict instead"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        return "a safetensors file with no header that ends"
    if not any(head):
        return "nothing but zeros, perhaps an unfinished copy; copy it again"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "text"
    return f"of an unknown kind (it begins with {head[:8].hex(' ')})"
