"""Images kept in one file: decoded once, mapped, and the same as those in memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torchvision.io import write_png

from tune_diffreg.data import MappedImages, Splits, cut
from tune_diffreg.data.image_folder import image_folder
from tune_diffreg.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty random images."""
    draw = torch.Generator().manual_seed(0)
    (tmp_path / "images").mkdir()
    for number in range(30):
        image = torch.randint(0, 256, (3, 12, 12), generator=draw).to(torch.uint8)
        write_png(image, str(tmp_path / "images" / f"{number:02}.png"))
    return tmp_path / "images"


def kept(folder: Path, cache: Path, size: int = 12) -> tuple[MappedImages, int]:
    """The images through the cache, and how many had to be read for it."""
    read: list[int] = []
    images = image_folder(folder, 3, size, lambda done, _: read.append(done), cache)
    assert isinstance(images, MappedImages)
    return images, len(read)


def test_what_is_kept_is_what_was_read_and_is_read_once(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "somewhere" / "images.u8"
    plain = image_folder(folder, 3, 12)
    first, read = kept(folder, cache)
    assert read == 30
    assert torch.equal(first[:], plain)
    again, read = kept(folder, cache)
    assert read == 0
    assert torch.equal(again[:], plain)
    assert {path.name for path in cache.parent.iterdir()} == {"images.u8"}


def test_a_changed_image_or_size_or_a_file_cut_short_is_read_anew(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "images.u8"
    kept(folder, cache)
    write_png(torch.zeros(3, 12, 12, dtype=torch.uint8), str(folder / "00.png"))
    images, read = kept(folder, cache)
    assert (read, images[0].max()) == (30, 0)
    assert kept(folder, cache, size=8)[1] == 30
    kept(folder, cache)
    cache.write_bytes(cache.read_bytes()[:-1])
    assert kept(folder, cache)[1] == 30


def test_another_file_of_the_user_s_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    for name, content in {"thesis.txt": b"forty years of work", "empty.u8": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} exists and is no cache of images"):
            kept(folder, tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    with pytest.raises(InputError, match="has the name of an image"):
        kept(folder, folder / "more.png")
    with pytest.raises(InputError, match="is a folder"):
        kept(folder, tmp_path)


def test_a_set_that_was_made_anew_since_is_not_read_for_the_old_one(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "images.u8"
    images, _ = kept(folder, cache)
    elsewhere = pickle.loads(pickle.dumps(images))
    write_png(torch.zeros(3, 12, 12, dtype=torch.uint8), str(folder / "00.png"))
    kept(folder, cache)
    with pytest.raises(InputError, match="no longer holds the images that the study was started"):
        elsewhere[0]
    cache.unlink()
    with pytest.raises(InputError, match="no longer holds"):
        pickle.loads(pickle.dumps(images))[0]
    assert kept(folder, cache)[1] == 30


def test_images_that_cannot_be_read_leave_no_file(folder: Path, tmp_path: Path) -> None:
    (folder / "07.png").write_bytes(b"no image")
    cache = tmp_path / "cache" / "images.u8"
    with pytest.raises(InputError, match=r"1 of 30 images .*: 07.png;"):
        kept(folder, cache)
    assert list(cache.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_sentence(folder: Path) -> None:
    with pytest.raises(InputError, match=r"data.cache: .* cannot be written"):
        kept(folder, folder / "00.png" / "images.u8")


def test_splits_of_mapped_images_are_those_of_images_in_memory(
    folder: Path, tmp_path: Path
) -> None:
    mapped, _ = kept(folder, tmp_path / "images.u8")
    by_file = cut(mapped, 15, 10, 5, seed=3)
    in_memory = cut(image_folder(folder, 3, 12), 15, 10, 5, seed=3)
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(by_file, name), getattr(in_memory, name)
        assert ours.shape == theirs.shape
        assert ours.nbytes == theirs.nbytes
        assert torch.equal(ours[:], theirs)
        assert torch.equal(ours[torch.tensor([3, 0, 3])], theirs[torch.tensor([3, 0, 3])])
    assert by_file.digest == in_memory.digest
    assert by_file.duplicates() == in_memory.duplicates()


def test_mapped_images_are_sent_as_a_path(folder: Path, tmp_path: Path) -> None:
    mapped, _ = kept(folder, tmp_path / "images.u8")
    part = mapped.part(torch.tensor([4, 2]))
    _ = part[0]
    sent = pickle.dumps(part)
    assert len(sent) < 1500
    assert torch.equal(pickle.loads(sent)[:], mapped[:][[4, 2]])
    assert isinstance(cut(mapped, 10, 10, 10, seed=0), Splits)
