"""Storage that is no folder (s3://, gs:// ...), worked on in a local copy.

The copy is an ordinary folder. A file that is written there whole is published at once, one that
is appended to piece by piece, so that all that is known outlives the machine.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tune_diffreg.addresses import folder_at
from tune_diffreg.elsewhere import Elsewhere, May, always
from tune_diffreg.errors import InputError
from tune_diffreg.lease import Lease, holder
from tune_diffreg.secrets import holds_credentials

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_MARK = ".storage"  # in a local copy: the address of what it is a copy of
_MOST_PIECES = 100
_LEASE = ".lease"
_PIECE = re.compile("[0-9]{15}")


def storage_at(address: str, check: bool = True) -> Path:
    """The folder to work in: the address itself, or a local copy of what is elsewhere.

    Args:
        check: whether it is made sure that it can be reached; a trial waits for it instead.

    Raises:
        InputError: nothing can be reached there, or the address holds credentials.
    """
    folder = folder_at(address)
    if folder is not None:
        return folder
    if holds_credentials(address):
        scheme = address.partition(":")[0]
        raise InputError(
            f"--storage {scheme}://...: an address holds no credentials; put them into the "
            "environment, or give the machines a role"
        )
    copies = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tune-diffreg"
    copy = copies / hashlib.sha256(address.encode()).hexdigest()[:16]
    copy.mkdir(parents=True, exist_ok=True)
    if check:
        Mirror(address, copy).check()
    (copy / _MARK).write_text(address)
    return copy


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


def shed(folder: Path, seconds: float = 600.0) -> None:
    """Removes from a local copy what is in a folder and nobody here has written for a while.

    It has been published, and is fetched again where somebody asks for it.
    """
    if mirror_of(folder) is None:
        return
    oldest = time.time() - seconds
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process may have removed it
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


class Mirror:
    """One storage elsewhere and its local copy.

    A file that grows is kept as pieces, each named by the byte that it begins at, since such
    storage knows no appending; now and then all are put into the first.

    Raises:
        OSError: by all methods, when the storage does not answer within seconds, or another machine
            has gone on with the study that this one had a lease of.
    """

    def __init__(self, address: str, copy: Path) -> None:
        self.address = address
        self._copy = copy
        self._storage = Elsewhere(address)
        self._published: dict[Path, tuple[int, int]] = {}  # bytes, pieces
        self._leases: dict[Path, Lease] = {}

    def check(self) -> None:
        """Raises InputError if the storage cannot be reached."""
        self._storage.check()

    def files(self) -> tuple[FileSystem, str]:
        """The file system and the path of the storage in it, as Ray takes them too."""
        return self._storage.files()

    def keeps(self, path: Path) -> bool:
        """Whether a file of the copy belongs to the storage: most files of a study do."""
        parts = path.relative_to(self._copy).parts
        return len(parts) > 1 and not any(part.startswith(".") for part in parts)

    def publish(self, path: Path) -> None:
        self._write(path, self._there(path), path.read_bytes())

    def fetch(self, path: Path) -> None:
        content = self._storage.read(self._there(path))
        if content is not None:
            _replace(path, content)

    def withdraw(self, path: Path) -> None:
        self._remove(path, self._there(path))

    def publish_growth(self, path: Path) -> None:
        if path not in self._published:
            self._published[path] = self._require_growth(path)
        begin, count = self._published[path]
        whole = count >= _MOST_PIECES
        with path.open("rb") as file:
            file.seek(0 if whole else begin)
            new = file.read()
        if whole:
            self._write(path, self._piece(path, 0), new)
            for later in self._pieces(path)[1:]:
                self._remove(path, self._piece(path, later))
            self._published[path] = (len(new), 1)
        elif new:
            self._write(path, self._piece(path, begin), new)
            self._published[path] = (begin + len(new), count + 1)

    def fetch_growth(self, path: Path) -> None:
        """What has been published of it, unless the copy holds all of that and more."""
        content, _ = self._grown(path)
        here = path.read_bytes() if path.exists() else b""
        if not here.startswith(content):
            _replace(path, content)
        self._published.pop(path, None)  # another may have published more

    def found(self, folder: Path, name: str) -> list[Path]:
        """Files of that name anywhere below a folder, as the copy would have them."""
        below = self._storage.list(self._there(folder), recursive=True)
        root = self.files()[1]
        return [self._copy / i.path[len(root) + 1 :] for i in below if i.base_name == name]

    def names(self) -> list[str]:
        """Of the folders at the top, whoever made them."""
        return [info.base_name for info in self._storage.list("") if not info.is_file]

    @contextmanager
    def lease(self, folder: Path, busy: str) -> Iterator[None]:
        """Holds a study's folder against other machines; see `tune_diffreg.lease`.

        Should this machine only have slept while another took over, it can write no more there.

        Raises:
            InputError: `busy`, where another machine holds it.
        """
        lease = Lease(self._storage, self._there(folder / _LEASE))
        with lease.held(busy):
            self._leases[folder] = lease
            try:
                yield
            finally:
                del self._leases[folder]

    def is_held(self, folder: Path) -> bool:
        """Whether a machine runs the study of this folder now."""
        return self.holder(folder) is not None

    def holder(self, folder: Path) -> str | None:
        """Machine and process that run the study of this folder now, with a space between."""
        return holder(self._storage, self._there(folder / _LEASE))

    def _require_growth(self, path: Path) -> tuple[int, int]:
        """How much of a file has been published, in how many pieces, before this process did.

        Raises:
            OSError: the copy is no growth of that, but of something else.
        """
        content, pieces = self._grown(path)
        here = path.read_bytes()
        if here.startswith(content):
            return len(content), len(pieces)
        if here.startswith(content[: content.rfind(b"\n") + 1]):
            return 0, _MOST_PIECES  # a torn last line was cut off here: all is published anew
        raise OSError(errno.ESTALE, "another machine has gone on with this study")

    def _grown(self, path: Path) -> tuple[bytes, list[int]]:
        content, pieces = b"", self._pieces(path)
        for begin in pieces:
            if begin <= len(content):
                piece = self._storage.read(self._piece(path, begin)) or b""
                content = max(content, content[:begin] + piece, key=len)
        return content, pieces

    def _pieces(self, path: Path) -> list[int]:
        """Where they begin, in order; what else lies there is not ours."""
        found = self._storage.list(f"{self._there(path)}.pieces")
        return sorted(int(info.base_name) for info in found if _PIECE.fullmatch(info.base_name))

    def _piece(self, path: Path, begin: int) -> str:
        return f"{self._there(path)}.pieces/{begin:015d}"

    def _write(self, path: Path, there: str, content: bytes) -> None:
        self._storage.write(there, content, self._may(path))

    def _remove(self, path: Path, there: str) -> None:
        self._storage.remove(there, self._may(path))

    def _may(self, path: Path) -> May:
        """What asks before each try to change `path` whether the study is still this process'."""
        held = (self._leases[folder] for folder in path.parents if folder in self._leases)
        lease = next(held, None)
        return always if lease is None else lease.require

    def _there(self, path: Path) -> str:
        return path.relative_to(self._copy).as_posix()


@lru_cache
def _mirror(copy: Path) -> Mirror:
    return Mirror((copy / _MARK).read_text(), copy)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.fetched")
    temporary.write_bytes(content)
    temporary.replace(path)
