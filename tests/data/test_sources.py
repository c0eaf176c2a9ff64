"""Images from a folder and from CIFAR-10's own files."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.io import write_png
from torchvision.transforms.v2.functional import to_pil_image

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.data.cifar10 import cifar10
from tune_diffreg.data.decoding import decoded
from tune_diffreg.data.image_folder import image_folder
from tune_diffreg.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images, nested, of several shapes and kinds."""
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    for name, channels, height, width in [
        ("a.png", 3, 20, 30),
        ("b.PNG", 1, 16, 16),
        ("inner/c.png", 4, 40, 16),
        ("inner/d.jpg", 3, 33, 21),
        ("inner/deep/e.jpeg", 1, 64, 64),
        ("inner/deep/f.png", 3, 9, 9),
    ]:
        image = torch.randint(0, 256, (channels, height, width), generator=draw).to(torch.uint8)
        to_pil_image(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_nested_folder_of_mixed_images_becomes_one_tensor(folder: Path, channels: int) -> None:
    seen = []
    images = image_folder(folder, channels, 16, lambda done, total: seen.append((done, total)))
    assert images.shape == (6, channels, 16, 16)
    assert images.dtype == torch.uint8
    assert seen[-1] == (6, 6)


def test_an_image_of_the_right_size_is_read_as_it_is(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    write_png(image, str(tmp_path / "a.png"))
    assert torch.equal(image_folder(tmp_path, 3, 16)[0], image)


def test_the_centre_is_cut_from_a_wide_image(tmp_path: Path) -> None:
    image = torch.zeros(1, 8, 24, dtype=torch.uint8)
    image[:, :, 8:16] = 200
    write_png(image, str(tmp_path / "wide.png"))
    assert (image_folder(tmp_path, 1, 8) == 200).all()


def test_sixteen_bits_turned_photographs_and_animations_are_read_right(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16))
    deep.save(tmp_path / "a.png")
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))  # bright above, to be shown turned by a quarter
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.jpg", exif=exif, quality=95)
    frames = [Image.new("RGB", (8, 8), (value, value, value)) for value in (200, 10)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    sixteen, photograph, animation = image_folder(tmp_path, 1, 8)
    assert (sixteen.int() - 40_000 // 257).abs().max() <= 1
    assert photograph[0, :, 4:].float().mean() > 200
    assert photograph[0, :, :4].float().mean() < 50
    assert (animation.int() - 200).abs().max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white_whatever_colour_is_under_it(
    tmp_path: Path, mode: str
) -> None:
    half = Image.new("RGBA", (16, 16), (40, 40, 40, 255))
    half.paste((90, 90, 90, 0), (0, 0, 8, 16))
    if mode == "P":
        palette = half.convert("RGB").quantize(2)
        palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    else:
        half.convert(mode).save(tmp_path / "a.png")
    for channels in (1, 3):
        (read,) = image_folder(tmp_path, channels, 16)
        assert (read[:, :, :8] == 255).all()
        assert (read[:, :, 8:].int() - 40).abs().max() <= 1


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    bits: int, pixels: list[tuple[int, ...]], clear: tuple[int, ...], turned: bool = False
) -> bytes:
    """A row of pixels, gray or RGB, of which one colour is transparent, each twice."""
    values = [value for pixel in pixels for value in pixel * 2]
    row = int("".join(f"{value:0{bits}b}" for value in values), 2) << -len(values) * bits % 8
    filled = b"\0" + row.to_bytes((len(values) * bits + 7) // 8, "big")
    kind = 2 if len(clear) == 3 else 0
    exif = Image.Exif()
    exif[0x0112] = 6
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 2 * len(pixels), 1, bits, kind, 0, 0, 0)),
        (b"tRNS", struct.pack(f">{len(clear)}H", *clear)),
        *([(b"eXIf", exif.tobytes()[6:])] if turned else []),
        (b"IDAT", zlib.compress(filled)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("bits", "pixels", "seen"),
    [
        (1, [(1,), (0,)], [0]),
        (2, [(1,), (2,), (3,)], [170, 255]),
        (4, [(5,), (6,), (10,)], [102, 170]),
        (8, [(90,), (91,)], [91]),
        (8, [(9, 8, 7), (9, 8, 6)], [(9, 8, 6)]),
        # Of 16 bits the upper 8 are shown, but all of them say what is transparent.
        (16, [(1000,), (1001,), (40_000,)], [3, 156]),
        (16, [(40_000, 1000, 9), (40_000, 1000, 8), (1000, 9, 40_000)], [(156, 3, 0), (3, 0, 156)]),
        (16, [(0, 0, 0), (0, 0, 255), (257, 0, 0)], [(0, 0, 0), (1, 0, 0)]),
    ],
)
def test_of_one_transparent_colour_all_its_pixels_lie_on_white_and_no_others(
    tmp_path: Path, bits: int, pixels: list[tuple[int, ...]], seen: list[Any], turned: bool
) -> None:
    """The first colour is the transparent one."""
    (tmp_path / "a.png").write_bytes(png(bits, pixels, clear=pixels[0], turned=turned))
    read = decoded(tmp_path / "a.png", 3)
    assert read.shape == ((3, 2 * len(pixels), 1) if turned else (3, 1, 2 * len(pixels)))
    shown = [colour if isinstance(colour, tuple) else (colour,) * 3 for colour in (255, *seen)]
    assert read.flatten(1).T.tolist() == [list(colour) for colour in shown for _ in "ab"]
    if len(pixels[0]) == 1:
        gray = decoded(tmp_path / "a.png", 1)
        assert gray.flatten().tolist() == [colour[0] for colour in shown for _ in "ab"]


def test_the_colours_of_print_files_are_read_as_they_look(tmp_path: Path) -> None:
    orange = Image.new("RGB", (16, 16), (200, 60, 30)).convert("CMYK")
    orange.save(tmp_path / "a.jpg", quality=95)
    (read,) = image_folder(tmp_path, 3, 16)
    expected = torch.tensor([200, 60, 30]).view(3, 1, 1)
    assert (read.int() - expected).abs().max() <= 3


def test_linked_folders_are_followed_and_circles_end(folder: Path, tmp_path: Path) -> None:
    (folder / "inner" / "around").symlink_to(folder)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    write_png(torch.zeros(1, 8, 8, dtype=torch.uint8), str(outside / "g.png"))
    (folder / "linked").symlink_to(outside)
    assert len(image_folder(folder, 3, 16)) == 7
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"1 of 8 images .*: gone.png;"):
        image_folder(folder, 3, 16)


def test_unreadable_images_are_named(folder: Path) -> None:
    (folder / "inner" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (folder / "empty.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 of 8 images .*: empty.jpg, inner/broken.png;"):
        image_folder(folder, 3, 16)


def test_a_folder_that_is_absent_or_holds_no_images_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        image_folder(tmp_path / "absent", 3, 16)
    with pytest.raises(InputError, match=r"no images \(.png, .jpg"):
        image_folder(tmp_path, 3, 16)


def test_absent_cifar10_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/none.tar.gz")  # nobody listens there
    with pytest.raises(InputError, match=r"put cifar-10-python.tar.gz, or the folder"):
        cifar10(tmp_path)


def test_cifar10_is_read_from_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in CIFAR-10's layout, made here; only their published checksums are put aside."""
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    pixels = torch.randint(0, 256, (20, 3072), dtype=torch.uint8).numpy()
    for name, _ in CIFAR10.train_list:
        (base / name).write_bytes(pickle.dumps({"data": pixels, "labels": [0] * 20}))
    (base / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": ["thing"]}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    images = cifar10(tmp_path)
    assert images.shape == (100, 3, 32, 32)
    assert torch.equal(images[0].flatten(), torch.from_numpy(pixels[0]))


def test_a_source_of_another_size_than_the_model_is_one_sentence() -> None:
    study = tiny_study()
    wrong = study.model.model_copy(update={"sample_size": 16})
    with pytest.raises(InputError, match="images are 1x8x8, but the model takes 1x16x16"):
        load_splits(study.data, wrong)
