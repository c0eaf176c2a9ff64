"""Storage that is no folder (s3://, gs:// ...), worked on in a local copy.

The copy is an ordinary folder. A file that is written there whole is published at once, one that
is appended to piece by piece, so that all that is known outlives the machine.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from tune_diffreg.errors import InputError
from tune_diffreg.json_text import parse_json
from tune_diffreg.secrets import holds_credentials

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_MARK = ".storage"  # in a local copy: the address of what it is a copy of
_OWN = "references"  # what each machine makes for itself
_TRIES, _PAUSE_SECONDS = 3, 1.0
_MOST_PIECES = 100
_LEASE_SECONDS, _RENEWED_SECONDS = 60.0, 15.0

T = TypeVar("T")


def storage_at(address: str) -> Path:
    """The folder to work in: the address itself, or a local copy of what is elsewhere.

    Raises:
        InputError: nothing can be reached there, or the address holds credentials.
    """
    parts = split_address("--storage", address)
    if not parts.scheme:
        return Path(address)
    if parts.scheme == "file":
        return Path(parts.path)
    if holds_credentials(address):
        raise InputError(
            f"--storage {parts.scheme}://...: an address holds no credentials; put them into the "
            "environment, or give the machines a role"
        )
    copies = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tune-diffreg"
    copy = copies / hashlib.sha256(address.encode()).hexdigest()[:16]
    copy.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(address, copy)
    mirror.check()
    (copy / _MARK).write_text(address)
    return copy


def split_address(option: str, address: str) -> SplitResult:
    """The parts of an address; of a path it is the path alone.

    Raises:
        InputError: it is none.
    """
    try:
        return urlsplit(address)
    except ValueError as error:  # brackets that are no IPv6 address
        raise InputError(f"{option} {address}: is no address ({error})") from None


def address_of(storage: Path) -> str:
    """What `storage_at` was given for this folder."""
    mirror = mirror_of(storage)
    return str(storage) if mirror is None else mirror.address


def mirror_of(path: Path) -> Mirror | None:
    """What `path` lies in a local copy of; None where it lies in no such copy."""
    for folder in (path, *path.parents):
        if (folder / _MARK).is_file():
            return _mirror(folder)
    return None


def publish(path: Path) -> None:
    """Brings a file that was written whole to where it belongs, if it lies in a local copy."""
    mirror = mirror_of(path)
    if mirror is not None and mirror.keeps(path):
        mirror.publish(path)


def publish_growth(path: Path) -> None:
    """The same of a file that was appended to: what is new in it."""
    mirror = mirror_of(path)
    if mirror is not None and path.exists():
        mirror.publish_growth(path)


def fetch(path: Path) -> None:
    """Makes a file of a local copy what it is where it belongs, if it is there."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.fetch(path)


def withdraw(path: Path) -> None:
    """Removes a file, here and where it belongs."""
    path.unlink(missing_ok=True)
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.withdraw(path)


class Mirror:
    """One storage elsewhere and its local copy.

    A file that grows is kept as pieces, each named by the byte that it begins at, since such
    storage knows no appending; now and then all are put into the first.

    Raises:
        OSError: by all methods, when the storage does not answer within seconds; who can wait for
            longer does (`tune_diffreg.patience`).
    """

    def __init__(self, address: str, copy: Path) -> None:
        self.address = address
        self._copy = copy
        self._published: dict[Path, tuple[int, int]] = {}  # bytes, pieces
        self._taken_over = set[str]()

    def check(self) -> None:
        """Raises InputError if the storage cannot be reached."""
        try:
            files, root = self.files()
            files.get_file_info(root)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"--storage {self.address}: cannot be reached ({reason})") from None

    def files(self) -> tuple[FileSystem, str]:
        """The file system and the path of the storage in it, as Ray takes them too."""
        return _files(self.address)

    def keeps(self, path: Path) -> bool:
        """Whether a file of the copy belongs to the storage: most files of a study do."""
        parts = path.relative_to(self._copy).parts
        return len(parts) > 1 and parts[0] != _OWN and not any(p.startswith(".") for p in parts)

    def publish(self, path: Path) -> None:
        self._write(self._there(path), path.read_bytes())

    def fetch(self, path: Path) -> None:
        content = self._read(self._there(path))
        if content is not None:
            _replace(path, content)

    def withdraw(self, path: Path) -> None:
        files, there = self.files()[0], self._there(path)
        if _patiently(lambda: files.get_file_info(there)).is_file:
            _patiently(lambda: files.delete_file(there))

    def publish_growth(self, path: Path) -> None:
        if path not in self._published:
            content, pieces = self._grown(path)
            self._published[path] = (len(content), pieces)
        begin, pieces = self._published[path]
        whole = pieces >= _MOST_PIECES
        with path.open("rb") as file:
            file.seek(0 if whole else begin)
            new = file.read()
        if whole:
            self._write(self._piece(path, 0), new)
            for piece in self._pieces(path)[1:]:
                _patiently(partial(self.files()[0].delete_file, piece.path))
            self._published[path] = (len(new), 1)
        elif new:
            self._write(self._piece(path, begin), new)
            self._published[path] = (begin + len(new), pieces + 1)

    def fetch_growth(self, path: Path) -> None:
        """What has been published of it, unless the copy holds all of that and more."""
        content, _ = self._grown(path)
        here = path.read_bytes() if path.exists() else b""
        if not here.startswith(content):
            _replace(path, content)

    def names(self) -> list[str]:
        """Of the folders at the top."""
        return [info.base_name for info in self._list("") if not info.is_file]

    @contextmanager
    def lease(self, folder: Path, busy: str) -> Iterator[None]:
        """Holds a study's folder against other machines while it is renewed.

        One that a machine left behind is watched for a minute before it is taken over. Should that
        machine only have slept, it finds that it can write no more.

        Raises:
            InputError: `busy`, where another machine holds it.
        """
        there = self._there(folder / ".lease")
        holder, mark = f"{socket.gethostname()} {os.getpid()}", secrets.token_hex(8)
        ended = threading.Event()

        def mine() -> bool:
            return self._lease(folder).get("mark") == mark

        def renew() -> None:
            lease = {"holder": holder, "mark": mark, "time": time.time(), "at": time.monotonic()}
            self._write(there, json.dumps(lease).encode())

        def keep() -> None:
            while not ended.wait(_RENEWED_SECONDS):
                with suppress(OSError):  # the study's own writing will find out
                    if not mine():
                        self._taken_over.add(self._there(folder))
                        return
                    renew()

        if self._is_renewed(folder):
            raise InputError(busy)
        renew()
        time.sleep(_PAUSE_SECONDS)
        if not mine():  # both came at once
            raise InputError(busy)
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with suppress(OSError):  # it lapses by itself
                if mine():
                    self.files()[0].delete_file(there)
            self._taken_over.discard(self._there(folder))

    def is_held(self, folder: Path) -> bool:
        """Whether a machine runs the study of this folder now."""
        return self.holder(folder) is not None

    def holder(self, folder: Path) -> str | None:
        """Machine and process that run the study of this folder now, with a space between.

        As far as can be told at once: wrong where two machines' clocks differ by a minute.
        """
        lease = self._lease(folder)
        try:
            held = abs(lease["time"] - time.time()) < _LEASE_SECONDS
            return str(lease["holder"]) if held else None
        except (KeyError, TypeError, OverflowError):  # there is none, or none that we wrote
            return None

    def _lease(self, folder: Path) -> dict[str, Any]:
        try:
            found = parse_json(self._read(self._there(folder / ".lease")) or b"{}")
        except ValueError:  # not ours
            return {}
        return found if isinstance(found, dict) else {}

    def _is_renewed(self, folder: Path) -> bool:
        """Whether somebody renews the lease, by looking on: clocks of two machines may differ."""
        first, end = self._lease(folder), time.monotonic() + _LEASE_SECONDS
        while first and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
            now = self._lease(folder)
            if now != first:
                return bool(now)
        return False

    def _grown(self, path: Path) -> tuple[bytes, int]:
        content, pieces = b"", self._pieces(path)
        for piece in pieces:
            begin = int(piece.base_name)
            if begin <= len(content):
                content = max(content, content[:begin] + (self._read(piece.path) or b""), key=len)
        return content, len(pieces)

    def _pieces(self, path: Path) -> list[FileInfo]:
        found = self._list(self._relative(path) + ".pieces")
        ours = (piece for piece in found if piece.base_name.isdecimal())
        return sorted(ours, key=lambda piece: piece.base_name)

    def _piece(self, path: Path, begin: int) -> str:
        return f"{self._there(path)}.pieces/{begin:015d}"

    def _list(self, folder: str) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        files, root = self.files()
        selector = FileSelector(f"{root}/{folder}".rstrip("/"), allow_not_found=True)
        return list(_patiently(lambda: files.get_file_info(selector)))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._copy).as_posix()

    def _there(self, path: Path) -> str:
        return f"{self.files()[1]}/{self._relative(path)}"

    def _read(self, there: str) -> bytes | None:
        def read() -> bytes | None:
            try:
                with self.files()[0].open_input_stream(there) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        return _patiently(read)

    def _write(self, there: str, content: bytes) -> None:
        if any(there.startswith(f"{folder}/") for folder in self._taken_over):
            raise OSError(errno.ESTALE, "another machine has gone on with this study")

        def write() -> None:
            with self.files()[0].open_output_stream(there) as stream:
                stream.write(content)

        _patiently(write)


@lru_cache
def _mirror(copy: Path) -> Mirror:
    return Mirror((copy / _MARK).read_text(), copy)


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
    return files, root.rstrip("/")


def _patiently(ask: Callable[[], T]) -> T:
    """Asks again where the storage did not answer, a few times."""
    for _ in range(_TRIES - 1):
        with suppress(OSError):
            return ask()
        time.sleep(_PAUSE_SECONDS)
    return ask()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.fetched")
    temporary.write_bytes(content)
    temporary.replace(path)
