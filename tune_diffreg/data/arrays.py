"""The array of an .npz file, read without believing what the file says of itself."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from tune_diffreg.errors import InputError

_SHARE = 0.5
"""Of the memory that is free, what an array may take: it is copied once."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path) -> np.ndarray:
    """The one array of uint8 of an .npz file, or that named `arr_0`.

    What it would take is known before any of it is unpacked, and no more is unpacked than that.

    Raises:
        InputError: there is no such file, it is no archive, holds something else, or more than
            memory does.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member(path, archive)
            with archive.open(member) as file:
                return _array(path, file, member.file_size)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except Exception as error:  # zipfile and NumPy raise more kinds than they document
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{path}: is not an .npz file that can be read ({reason})") from None


def require_memory(needed: int, what: str, otherwise: str = "") -> None:
    """Makes sure that an array of so many bytes can be made, and copied once.

    Raises:
        InputError: `what`, how much it is and how much there is, and `otherwise`.
    """
    import psutil

    most = int(_SHARE * psutil.virtual_memory().available)
    if needed > most:
        raise InputError(
            f"{what} {needed / 1e9:,.1f} GB, more than the {most / 1e9:,.1f} GB that there is "
            f"memory for{otherwise}"
        )


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Its name is compared, and never a path."""
    found = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
    if len(found) != 1 and "arr_0" not in found:
        raise InputError(f"{path}: holds {len(found)} arrays; one, or one named arr_0")
    return found["arr_0"] if "arr_0" in found else next(iter(found.values()))


def _array(path: Path, file: IO[bytes], unpacked: int) -> np.ndarray:
    """The array that `file` holds.

    Args:
        unpacked: bytes that the archive says there are; it gives no more of them.
    """
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its version {version} is not known")
    shape, by_columns, dtype = _HEADERS[version](file)
    if dtype != np.uint8:
        raise InputError(f"{path}: holds {dtype} {shape}; images are uint8")
    count = math.prod(shape)
    if count != unpacked - file.tell():
        raise ValueError(f"{shape} does not fit its {unpacked:,} bytes")
    require_memory(count, f"{path}: its images take")
    pixels = np.empty(count, dtype=np.uint8)
    rest = memoryview(pixels.data)
    while rest and (read := file.readinto(rest)):  # type: ignore[attr-defined]  # has it
        rest = rest[read:]
    if rest:
        raise ValueError("it was cut short")
    return pixels.reshape(shape, order="F" if by_columns else "C")
