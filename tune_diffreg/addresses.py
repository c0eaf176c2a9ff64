"""What an address of a storage says, or a path in its place."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from tune_diffreg.errors import InputError


def split_address(option: str, address: str) -> SplitResult:
    """The parts of an address; of a path it is the path alone.

    Raises:
        InputError: it is none.
    """
    try:
        return urlsplit(address)
    except ValueError as error:  # brackets that are no IPv6 address
        raise InputError(f"{option} {address}: is no address ({error})") from None


def folder_at(address: str) -> Path | None:
    """The folder of this machine that a storage is; None where it is elsewhere.

    Raises:
        InputError: it is a file, or another machine's folder.
    """
    parts = split_address("--storage", address)
    if parts.scheme not in ("", "file"):
        return None
    if parts.scheme and parts.netloc not in ("", "localhost"):
        raise InputError(
            f"--storage {address}: is a folder of another machine, {parts.netloc}; mount it, and "
            "give its path here"
        )
    folder = Path(parts.path if parts.scheme else address)
    try:
        is_other = folder.exists() and not folder.is_dir()
    except (OSError, ValueError):  # a path that no system takes: what wants to use it says so
        is_other = False
    if is_other:
        raise InputError(f"--storage {address}: is a file, and not a folder")
    return folder
