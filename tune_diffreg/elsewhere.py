"""Storage that is no folder (s3://, gs:// ...): its files, asked for again where it is silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from tune_diffreg.errors import InputError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem, S3FileSystem

_TRIES, _PAUSE_SECONDS = 3, 1.0

T = TypeVar("T")
May = Callable[[], None]
"""Raises where a change must not be made any more; asked again before every try."""


def always() -> None:
    """For changes that nobody else could be in the way of."""


class Elsewhere:
    """The storage at an address. Its files are named by their paths below it.

    Raises:
        OSError: by all methods, when the storage does not answer within seconds; who can wait for
            longer does (`tune_diffreg.patience`).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._answers = True

    def check(self) -> None:
        """Raises InputError if the storage cannot be reached, or the address is of no place."""
        try:
            files, root = self.files()
            if not root:
                raise InputError(
                    f"--storage {self.address}: names no bucket or folder; write it as "
                    "s3://bucket/folder"
                )
            bucket = root.split("/")[0]
            if self.address.startswith("s3://") and not _is_there(files, bucket):
                raise InputError(f"--storage {self.address}: there is no bucket {bucket}")
            files.get_file_info(root)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"--storage {self.address}: cannot be reached ({reason})") from None

    def files(self) -> tuple[FileSystem, str]:
        """The file system and the path of the storage in it, as Ray takes them too."""
        return _files(self.address)

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""

        def read() -> bytes | None:
            try:
                with self.files()[0].open_input_stream(self._there(path)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        return self._patiently(read)

    def write(self, path: str, content: bytes, may: May = always) -> None:
        """Makes a file, or replaces it."""

        def write() -> None:
            with self.files()[0].open_output_stream(self._there(path)) as stream:
                stream.write(content)

        self._patiently(write, may)

    def remove(self, path: str, may: May = always) -> None:
        """Removes a file, if it is there."""

        def remove() -> None:
            files, there = self.files()[0], self._there(path)
            if files.get_file_info(there).is_file:
                files.delete_file(there)

        self._patiently(remove, may)

    def list(self, folder: str, recursive: bool = False) -> list[FileInfo]:
        """What is in a folder, which need not be there, and with `recursive` in those in it."""
        from pyarrow.fs import FileSelector

        root = self._there(folder).rstrip("/")
        selector = FileSelector(root, allow_not_found=True, recursive=recursive)
        return list(self._patiently(lambda: self.files()[0].get_file_info(selector)))

    def _there(self, path: str) -> str:
        return f"{self.files()[1]}/{path}"

    def _patiently(self, ask: Callable[[], T], may: May = always) -> T:
        """Asks again where the storage did not answer: a few times, or once if it is known to be
        silent, so that what is left to do at a study's end does not take minutes."""
        for tries_left in reversed(range(_TRIES if self._answers else 1)):
            may()
            try:
                found = ask()
            except OSError:
                self._answers = tries_left > 0
                if not tries_left:
                    raise
            else:
                self._answers = True
                return found
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")


def _is_there(files: FileSystem, path: str) -> bool:
    from pyarrow.fs import FileType

    return bool(files.get_file_info(path).type != FileType.NotFound)


@lru_cache
def _files(address: str) -> tuple[FileSystem, str]:
    """As Ray does: what Arrow knows, and through fsspec all else."""
    from pyarrow import ArrowInvalid, fs

    try:
        files, root = fs.FileSystem.from_uri(address)
    except ArrowInvalid:
        from fsspec.core import url_to_fs

        other, root = url_to_fs(address)
        files = fs.PyFileSystem(fs.FSSpecHandler(other))
    # What is asked not to be checked cannot be asked for but by the address.
    if isinstance(files, fs.S3FileSystem) and "tls_verify_certificates" not in address:
        files = _hasty(files)
    return files, root.rstrip("/")


def _hasty(files: S3FileSystem) -> S3FileSystem:
    """The same, giving up within seconds: as it comes from an address, it asks for minutes."""
    from pyarrow import fs

    (options,) = files.__reduce__()[1]
    if not options["proxy_options"]["host"]:
        del options["proxy_options"]
    tried = fs.AwsStandardS3RetryStrategy(max_attempts=2)
    return fs.S3FileSystem(**options, retry_strategy=tried)
