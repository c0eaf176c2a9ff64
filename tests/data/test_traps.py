"""Images and archives that are larger, or other, than they look: refused before they unpack."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from PIL import Image
from torchvision.io import decode_gif, write_png

from tune_diffreg.data import arrays
from tune_diffreg.data.any_set import generated_set, real_set
from tune_diffreg.data.decoding import MOST_PIXELS, decoded
from tune_diffreg.data.image_folder import image_folder
from tune_diffreg.errors import InputError


def png(width: int, height: int, says: tuple[int, int] | None = None) -> bytes:
    """A black image of one bit a pixel.

    Args:
        says: its width and height in its header, where these are to be a lie.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    header = struct.pack(">IIBBBBB", *(says or (width, height)), 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "content", [png(20_000, 20_000), png(12_000, 12_000), png(8, 8, says=(2**31 - 1, 2**31 - 1))]
)
def test_a_small_file_that_is_a_huge_image_is_named_and_not_unpacked(
    tmp_path: Path, content: bytes
) -> None:
    assert len(content) < 100_000
    write_png(torch.zeros(1, 8, 8, dtype=torch.uint8), str(tmp_path / "a.png"))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(InputError, match=r"1 of 2 images .* bomb.png \(.*pixels"):
        image_folder(tmp_path, 1, 8)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"bomb.png: .*pixels"):
        generated_set(str(tmp_path), (1, 8, 8))


def test_an_image_that_would_be_huge_once_it_is_resized_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(png(1_000_000, 2))
    with pytest.raises(InputError, match=r"wide.png \(.* are more than"):
        image_folder(tmp_path, 1, 64)
    assert image_folder(tmp_path, 1, 4).shape == (1, 1, 4, 4)


def test_of_an_animation_one_frame_is_unpacked(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frames = [
        Image.fromarray(draw.integers(0, 256, (20, 16, 3), dtype=np.uint8)).quantize()
        for _ in range(5)
    ]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    whole = decode_gif(torch.from_numpy(np.fromfile(path, dtype=np.uint8)))
    assert whole.shape == (5, 3, 20, 16)
    assert torch.equal(decoded(path, 3), whole[0])
    assert decoded(path, 1).shape == (1, 20, 16)


def test_an_image_of_the_largest_size_is_read(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5)
    (tmp_path / "large.png").write_bytes(png(side, side))
    assert decoded(tmp_path / "large.png", 1).shape == (1, side, side)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", png(64, 64)[:-40], b"GIF89a" + b"\xff" * 40]
)
@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.jpg", "a.webp"])
def test_an_image_that_is_cut_short_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"1 of 1 images .* cannot be read: {name}"):
        image_folder(tmp_path, 3, 8)


def array_file(shape: tuple[int, ...], content: bytes, descr: str = "|u1") -> bytes:
    """A .npy file whose header says `shape`, whatever follows it."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


def archive(path: Path, *members: tuple[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return str(path)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (array_file((10**6, 1024, 1024, 3), b""), "does not fit its 128 bytes"),
        (array_file((-5, 8, 8), b"x" * 320), "does not fit"),
        (array_file((2, 8, 8), b"x" * 127), "does not fit"),
        (array_file((2, 8, 8), b"x" * 129), "does not fit"),
        (array_file((16,), b"x" * 128, "<f8"), "holds float64"),
        (pickled(), "holds object"),
        (b"", "is not an .npz file that can be read"),
        (b"\x93NUMPY\x07\x00", "is not an .npz file that can be read"),
        (b"\x80\x04}.", "is not an .npz file that can be read"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(
    tmp_path: Path, member: bytes, expected: str
) -> None:
    source = archive(tmp_path / "a.npz", ("arr_0.npy", member))
    tracemalloc.start()
    with pytest.raises(InputError, match=expected):
        real_set(source, None)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_archive_that_unpacks_to_more_than_memory_holds_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = array_file((300, 256, 256, 3), bytes(300 * 256 * 256 * 3))
    source = archive(tmp_path / "a.npz", ("arr_0.npy", black))
    assert Path(source).stat().st_size < len(black) / 500
    monkeypatch.setattr(arrays, "_SHARE", 1e-9)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"its images take 0.1 GB, more than the 0.0 GB"):
        real_set(source, None)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_archive_that_hides_how_much_it_unpacks_to_gives_no_more_than_it_says(
    tmp_path: Path,
) -> None:
    true = array_file((4, 8, 8), bytes(256)) + bytes(50_000_000)
    path = Path(archive(tmp_path / "a.npz", ("arr_0.npy", true)))
    says = len(true) - 50_000_000
    lie = path.read_bytes().replace(struct.pack("<I", len(true)), struct.pack("<I", says))
    path.write_bytes(lie)
    tracemalloc.start()
    try:
        assert real_set(str(path), None).shape == (4, 1, 8, 8)
    except InputError as refused:
        assert "is not an .npz file that can be read" in str(refused)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["../../outside.npy", "/tmp/outside.npy", "a\0b", "x" * 5000])
def test_the_name_of_a_member_is_no_path(tmp_path: Path, name: str) -> None:
    before = set(tmp_path.parent.rglob("*"))
    images = array_file((4, 8, 8), bytes(range(256)))
    assert real_set(archive(tmp_path / "a.npz", (name, images)), None).shape == (4, 1, 8, 8)
    assert set(tmp_path.parent.rglob("*")) == before | {tmp_path / "a.npz"}


@pytest.mark.parametrize(
    "write", [lambda p: np.save(p.open("wb"), np.zeros((4, 8, 8), np.uint8)), lambda p: p.touch(),
              lambda p: p.mkdir(), lambda p: p.symlink_to(p)],
)  # fmt: skip
def test_what_is_no_archive_is_one_sentence(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"a\.npz: "):
        real_set(str(tmp_path / "a.npz"), None)


@pytest.mark.parametrize(
    "source", ["~nobody-of-that-name/images", "a" * 300, "/".join(["a"] * 5000)]
)
def test_a_path_that_can_be_none_is_one_sentence(source: str) -> None:
    with pytest.raises(InputError):
        real_set(source, None)
