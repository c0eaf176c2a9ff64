"""Files that are whole or absent, and files whose damage is noticed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tune_diffreg.errors import InputError
from tune_diffreg.mirror import publish

_DIGEST = hashlib.sha256().digest_size
_PAGE = 4096
_PNG = b"\x89PNG\r\n\x1a\n"

HALF_WRITTEN = ".*.tmp"
"""Names of what `replacing` writes; one that is there when nobody writes was never finished."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces `path` by `content`, durably: after a crash it holds the old or the new, whole."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` once it is whole and on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        publish(path)
    finally:
        with suppress(OSError):  # what went wrong before says more
            temporary.unlink(missing_ok=True)


def append(path: Path, end: int, content: bytes, sync: bool = False) -> int:
    """Appends to a file that the caller alone writes, and returns where it ends then.

    Args:
        end: what this returned last. What lies beyond was written when the storage failed, in
            part or not surely, and is cut off first.
        sync: returns when it is on the disk.

    Raises:
        OSError: it is not there, or there is no file; to be tried again with the same `end`.
    """
    # Opened each time, since a file that was open when a server went down stays unusable.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        if os.fstat(file).st_size > end:
            os.ftruncate(file, end)
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
        if sync:
            os.fsync(file)
    finally:
        os.close(file)  # some network file systems tell of a full disk here
    return end + len(content)


def append_durably(path: Path, end: int, content: bytes) -> int:
    """The same, and returns when it is on the disk."""
    return append(path, end, content, sync=True)


def check_writable(folder: Path) -> None:
    """Raises OSError where nothing can be written in `folder` now."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(2 * _PAGE))  # a lock that was just emptied may have freed one
            file.flush()
            os.fsync(file.fileno())
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Holds the lock of the file `path`, made if need be, as one process at a time can.

    Raises:
        InputError: `busy`, where another process holds it; or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)  # first of all, or whoever looks would take the last holder for us
            check_writable(path.parent)
            file.write(f"{socket.gethostname()} {os.getpid()}")
            file.flush()
        except BlockingIOError:
            raise InputError(busy) from None
        except OSError as error:
            raise InputError(f"{path.parent} cannot be written ({error.strerror})") from None
        yield


def user_path(text: str) -> Path:
    """A path as a user writes it, in which ~ is a home folder.

    Raises:
        InputError: there is no such home folder, or no system takes such a path.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except RuntimeError:
        raise InputError(f"{text}: there is no such home folder") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{text[:60]}: is no path ({reason})") from None
    return path


def read_text(path: Path, most: int) -> str:
    """A text file of at most `most` bytes.

    Raises:
        InputError: it is missing, cannot be read, is larger, or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise InputError(f"{path}: is larger than {most:,} bytes, the most that is read")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:  # the latter of a path that no system takes
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason})") from None


def read_picture(path: Path) -> bytes:
    """A PNG file, as it is.

    Raises:
        InputError: it cannot be read, or is no PNG.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not content.startswith(_PNG):
        raise InputError(f"{path}: is damaged: it is no PNG picture")
    return content


def check_new(path: Path) -> None:
    """Raises InputError where `path` cannot be a new folder: it is in use, or holds something."""
    in_use = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if in_use or path == Path.cwd():
        raise InputError(f"{path} exists already; choose another --output")


def write_sealed(path: Path, content: bytes) -> None:
    """Writes `content` and its SHA-256, atomically."""
    write_atomically(path, content + hashlib.sha256(content).digest())


def read_sealed(path: Path) -> memoryview:
    """The content of a sealed file.

    Raises:
        ValueError: it was cut short or changed.
    """
    whole = memoryview(path.read_bytes())
    content, digest = whole[:-_DIGEST], whole[-_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum is wrong")
    return content
