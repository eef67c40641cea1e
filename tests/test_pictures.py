"""The learner's pictures: every format comes out with the right colours, and nothing broken goes unnamed."""

import io
import itertools
import json
import os
import re
import struct
import sys
import threading
import time
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.overrides import TorchFunctionMode

from helpers import pictures

RED, GREEN, BLUE, ORANGE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (220, 120, 40)
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def read(folder, size=8, cache=None):
    """The folder, with any warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pictures.from_folder(folder, size, cache=cache, progress=False)


def read_and_told(folder, size=8, cache=None):
    """The folder, and all that is said of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = pictures.from_folder(folder, size, cache=cache, progress=False)
    assert {warning.filename for warning in caught} <= {__file__}
    return found, [str(warning.message) for warning in caught]


def read_one(folder, size=8):
    """The only picture of the folder, as ``(size, size, 3)``."""
    found = read(folder, size)
    assert len(found.pictures) == 1
    return found.pictures[0].permute(1, 2, 0).int()


def solid(colour, mode="RGB", size=(16, 16)):
    return Image.new(mode, size, colour)


def bands(*colours, horizontal=False, length=60, across=60):
    """Equal bands of colour from left to right, or from top to bottom."""
    rows = np.repeat(np.array(colours, np.uint8), length // len(colours), axis=0)
    image = np.repeat(rows[None], across, axis=0)
    return Image.fromarray(image.swapaxes(0, 1) if horizontal else image)


def near(picture, colour, tolerance=4):
    return bool((picture - torch.tensor(colour)).abs().max() <= tolerance)


# Formats and colours


@pytest.mark.parametrize("ending", ["png", "jpg", "JPG", "webp", "gif", "bmp", "tiff", "ppm", "jp2", "qoi"])
def test_formats_keep_their_colours_in_their_places(folder, ending):
    bands(ORANGE, (30, 60, 200)).save(folder / f"a.{ending}")
    picture = read_one(folder)
    assert near(picture[:, :3], ORANGE, 10)
    assert near(picture[:, 5:], (30, 60, 200), 10)


def test_pictures_are_uint8_channels_first(folder):
    bands(RED, BLUE).save(folder / "a.png")
    found = read(folder, size=6)
    assert found.pictures.dtype == torch.uint8
    assert found.pictures.shape == (1, 3, 6, 6)
    assert found.files == ("a.png",)
    assert found.broken == {}


def test_animation_gives_its_first_frame(folder):
    solid(RED).save(folder / "a.gif", save_all=True, append_images=[solid(BLUE), solid(GREEN)])
    assert near(read_one(folder), RED)


@pytest.mark.parametrize(("colour", "mode", "seen"), [(90, "L", (90,) * 3), (1, "1", (255,) * 3), (0, "1", (0,) * 3)])
def test_grey_and_bilevel(folder, colour, mode, seen):
    solid(colour, mode).save(folder / "a.png")
    assert near(read_one(folder), seen, 0)


def test_palette(folder):
    bands(ORANGE, BLUE).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "a.png")
    assert Image.open(folder / "a.png").mode == "P"
    picture = read_one(folder)
    assert near(picture[:, :3], ORANGE)
    assert near(picture[:, 5:], BLUE)


@pytest.mark.parametrize(
    ("colour", "mode", "seen"),
    [
        ((0, 0, 0, 0), "RGBA", (255, 255, 255)),
        ((255, 0, 0, 255), "RGBA", RED),
        ((255, 0, 0, 51), "RGBA", (255, 204, 204)),
        ((0, 51), "LA", (204, 204, 204)),
    ],
)
@pytest.mark.parametrize("ending", ["png", "webp"])
def test_alpha_lands_on_white(folder, colour, mode, seen, ending):
    solid(colour, mode).save(folder / f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    assert near(read_one(folder), seen, 1)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_transparent_colour_of_a_palette_lands_on_white(folder, ending):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))
    image.save(folder / f"a.{ending}", transparency=0)
    picture = read_one(folder)
    assert near(picture[:, :3], (255, 255, 255))
    assert near(picture[:, 5:], BLUE)


def test_transparent_colour_of_rgb_lands_on_white(folder):
    solid(RED).save(folder / "a.png", transparency=RED)
    assert near(read_one(folder), (255, 255, 255), 0)


def test_transparent_edge_does_not_bleed_its_hidden_colour(folder):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 31, 64))
    image.save(folder / "a.png")
    assert near(read_one(folder), (255, 255, 255), 0)


@pytest.mark.parametrize("ending", ["jpg", "tiff"])
def test_cmyk_red_stays_red(folder, ending):
    solid((0, 255, 255, 0), "CMYK").save(folder / f"a.{ending}")
    assert Image.open(folder / f"a.{ending}").mode == "CMYK"
    red, green, blue = read_one(folder)[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


RAMP = np.repeat(np.linspace(0, 65535, 16).round()[None], 16, axis=0)
STEPS = torch.arange(16) * 17  # the same ramp in 8 bits: 255 / 15 = 17


@pytest.mark.parametrize(
    ("values", "name", "mode"),
    [
        (RAMP.astype(np.uint16), "a.png", "I;16"),
        (RAMP.astype(np.uint16), "a.tiff", "I;16"),
        (RAMP.astype(">u2"), "a.tiff", "I;16B"),
        (RAMP.astype(np.uint16), "a.jp2", "I;16"),
        (RAMP.astype(np.uint16), "a.pgm", "I"),
        (RAMP.astype(np.int32), "a.tiff", "I"),
        ((RAMP / 65535).astype(np.float32), "a.tiff", "F"),
        ((RAMP / 257).astype(np.float32), "a.tiff", "F"),
        (RAMP.astype(np.float32), "a.tiff", "F"),
    ],
)
def test_deep_greys_keep_their_ramp(folder, values, name, mode):
    Image.fromarray(values).save(folder / name)
    assert Image.open(folder / name).mode == mode
    picture = read_one(folder, size=16)
    assert torch.equal(picture, STEPS.int()[None, :, None].expand(16, 16, 3))


def test_dark_sixteen_bits_stay_dark(folder):
    Image.fromarray(np.full((16, 16), 200, np.uint16)).save(folder / "a.png")
    assert near(read_one(folder), (1, 1, 1), 0)


def test_transparent_grey_of_sixteen_bits_lands_on_white(folder):
    values = RAMP.astype(np.uint16)
    Image.fromarray(values).save(folder / "a.png", transparency=0)
    picture = read_one(folder, size=16)
    assert near(picture[:, 0], (255, 255, 255), 0)
    assert torch.equal(picture[:, 1:, 0], STEPS[1:].int().expand(16, 15))


@pytest.mark.parametrize("value", [-0.5, 70000.0, float("nan"), float("inf")])
def test_floats_that_are_no_greys_are_named(folder, value):
    solid(RED).save(folder / "good.png")
    Image.fromarray(np.full((4, 4), value, np.float32)).save(folder / "bad.tiff")
    with pytest.warns(UserWarning, match=r"bad\.tiff \(grey values from .* outside 0\.\.65535\)"):
        found = pictures.from_folder(folder, 8, cache=None, progress=False)
    assert found.files == ("good.png",)


# Shape


@pytest.mark.parametrize(
    ("orientation", "stored", "horizontal"),
    [
        (1, (RED, BLUE), True),
        (3, (BLUE, RED), True),
        (4, (BLUE, RED), True),
        (5, (RED, BLUE), False),
        (6, (RED, BLUE), False),
        (7, (BLUE, RED), False),
        (8, (BLUE, RED), False),
    ],
)
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_turns_the_picture_upright(folder, orientation, stored, horizontal, ending):
    """Seen upright, each of these is red above blue. With tag 6, the first column is the top row."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    bands(*stored, horizontal=horizontal).save(folder / f"a.{ending}", exif=exif)
    picture = read_one(folder)
    assert near(picture[:3], RED, 12)
    assert near(picture[5:], BLUE, 12)


def test_exif_turns_to_the_right_side(folder):
    """Tag 6 is a quarter turn clockwise: what the file has at its top left is seen at the top right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = solid((0, 0, 0), size=(60, 60))
    image.paste(RED, (0, 0, 30, 30))
    image.save(folder / "a.png", exif=exif)
    picture = read_one(folder)
    assert near(picture[:3, 5:], RED)
    assert near(picture[:3, :3], (0, 0, 0))
    assert near(picture[5:], (0, 0, 0))


@pytest.mark.parametrize("horizontal", [False, True])
def test_centre_crop_keeps_the_centre(folder, horizontal):
    bands(RED, GREEN, BLUE, length=90, across=30, horizontal=horizontal).save(folder / "a.png")
    picture = read_one(folder)
    # At the edge of the crop Lanczos still sees a little of the neighbour.
    assert near(picture, GREEN, 20)
    assert near(picture[1:-1, 1:-1], GREEN, 1)


def test_resizing_antialiases(folder):
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * 255
    Image.fromarray(checkerboard.astype(np.uint8)).save(folder / "a.png")
    assert near(read_one(folder), (127, 127, 127), 3)


def test_right_size_is_left_alone(folder):
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(values).save(folder / "a.png")
    assert torch.equal(read_one(folder), torch.from_numpy(values).int())


def test_small_picture_is_enlarged(folder):
    bands(RED, BLUE, length=2, across=2).save(folder / "a.png")
    picture = read_one(folder, size=32)
    assert near(picture[:, :4], RED, 25)
    assert near(picture[:, -4:], BLUE, 25)


def test_large_jpeg_looks_like_the_same_picture_without_loss(folder):
    """The shortcut through a smaller JPEG must not be seen."""
    y, x = np.mgrid[:512, :704]
    waves = np.stack([np.sin(x / 9), np.sin(y / 7), np.sin((x + y) / 11)], axis=-1)
    image = Image.fromarray(((waves + 1) * 127).astype(np.uint8))
    image.save(folder / "a.jpg", quality=95, subsampling=0)
    image.save(folder / "b.png")
    jpeg, png = read(folder, size=32).pictures.int()
    assert (jpeg - png).abs().max() <= 3


# Which files, in which order


def test_order_is_natural_also_when_the_first_is_slow(folder, monkeypatch):
    names = ["1.png", "2.png", "10.png", "a2/9.png", "a2/11.png", "a2-b/1.png", "a10/1.png", "B1.png"]
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        solid((i * 30, 0, 0)).save(folder / name)
    square = pictures._square

    def slow_at_first(path, size):
        time.sleep(0.05 if path.name == "1.png" else 0)
        return square(path, size)

    monkeypatch.setattr(pictures, "_square", slow_at_first)
    found = read(folder)
    assert found.files == tuple(names)
    assert found.pictures[:, 0, 4, 4].tolist() == [i * 30 for i in range(len(names))]


def test_order_survives_digits_that_int_does_not_read(folder):
    for name in ("2.png", "²1.png", "01.png", "1.png"):
        solid(RED).save(folder / name)
    assert read(folder).files == ("01.png", "1.png", "2.png", "²1.png")


def test_other_and_hidden_files_are_ignored_silently(folder):
    solid(RED).save(folder / "a.png")
    for name in (".DS_Store", ".hidden.png", "._a.png", "notes.txt", "paper.pdf", "no_ending", ".git/b.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not a picture")
    found = read(folder)
    assert found.files == ("a.png",)
    assert found.broken == {}


def test_a_hidden_folder_may_be_read_when_it_is_asked_for(tmp_path):
    (tmp_path / ".mine").mkdir()
    solid(RED).save(tmp_path / ".mine" / "a.png")
    assert read(tmp_path / ".mine").files == ("a.png",)


def png_of(width, height):
    """A few bytes of PNG that claim to be this large."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return start + struct.pack(">I", 100) + b"IDAT" + b"\0" * 100


@pytest.fixture
def damaged(folder):
    """Seven files, of which 1 and 7 are pictures."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    solid(RED).save(folder / "1.png")
    for name in ("2.png", "3.jpg"):
        Image.fromarray(noise).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / "4.webp").write_bytes(b"")
    (folder / "5.png").write_text("a text with the wrong name")
    (folder / "6.png").write_bytes(png_of(50_000, 50_000))
    solid(BLUE).save(folder / "7.png")
    return folder


def test_broken_files_are_named_skipped_and_counted(damaged):
    with pytest.warns(UserWarning, match="skipped") as caught:
        found = pictures.from_folder(damaged, 8, cache=None, progress=False)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).startswith("skipped 5 of 7 files: 2.png (")
    assert found.files == ("1.png", "7.png")
    assert near(found.pictures[0].permute(1, 2, 0).int(), RED)
    assert near(found.pictures[1].permute(1, 2, 0).int(), BLUE)
    assert list(found.broken) == ["2.png", "3.jpg", "4.webp", "5.png", "6.png"]
    assert "truncated" in found.broken["2.png"]
    assert "truncated" in found.broken["3.jpg"]
    assert found.broken["4.webp"] == "empty file"
    assert found.broken["5.png"] == "not a picture"
    assert found.broken["6.png"] == "more than 178 million pixels; save a smaller copy"
    for name, reason in found.broken.items():
        assert f"{name} ({reason})" in str(warning.message)
        assert str(damaged) not in reason


def test_many_broken_files_are_not_all_listed(folder):
    solid(RED).save(folder / "a.png")
    for i in range(14):
        (folder / f"b{i}.png").touch()
    with pytest.warns(UserWarning, match=r"skipped 14 of 15 files: b0\.png .* b9\.png \(.*\), and 4 more$"):
        found = pictures.from_folder(folder, 8, cache=None, progress=False)
    assert len(found.broken) == 14


def test_nothing_to_read_says_what_to_do(folder):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere\. Check"):
        read(folder / "nowhere")
    with pytest.raises(ValueError, match=r"holds no pictures .* no files\. Put pictures there"):
        read(folder)
    (folder / "photo.HEIC").touch()
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"only files with \.heic, \.txt\. .* PNG or JPEG"):
        read(folder)
    (folder / "a.png").write_text("no")
    with pytest.raises(ValueError, match=r"none of the 1 picture files .* a\.png \(not a picture\)"):
        read(folder)
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file\. Give the folder"):
        read(folder / "a.png")


# Links


def link(target, at):
    try:
        at.symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("this system allows no links")


def test_folders_that_are_links_are_read_once_and_the_rest_is_named(folder, tmp_path):
    (tmp_path / "elsewhere" / "inside").mkdir(parents=True)
    solid(RED).save(tmp_path / "elsewhere" / "1.png")
    solid(GREEN).save(tmp_path / "elsewhere" / "inside" / "2.png")
    (folder / "real").mkdir()
    solid(BLUE).save(folder / "real" / "3.png")
    link(tmp_path / "elsewhere", folder / "faces")
    link("faces", folder / "faces again")
    link("real", folder / "a link to real")  # before it in the alphabet, and yet it keeps its own name
    link(folder, folder / "real" / "up")
    link("itself", folder / "itself")
    link("nowhere", folder / "gone.png")
    link("nowhere", folder / ".hidden")
    found, said = read_and_told(folder)
    assert found.files == ("faces/1.png", "faces/inside/2.png", "real/3.png")
    assert found.pictures[:, :, 4, 4].tolist() == [list(RED), list(GREEN), list(BLUE)]
    again, nowhere = "leads to a folder that is read already", "a link that leads nowhere"
    assert found.broken == {
        "a link to real": again,
        "faces again": again,
        "gone.png": nowhere,
        "itself": nowhere,
        "real/up": again,
    }
    assert said == [f"skipped 5 of 8 files: {', '.join(f'{name} ({why})' for name, why in found.broken.items())}"]


def test_a_link_may_be_named_itself(folder, tmp_path):
    solid(RED).save(folder / "1.png")
    link(folder, tmp_path / "link")
    assert read(tmp_path / "link").files == ("1.png",)


@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_link_that_leads_nowhere_is_named_with_what_to_do(tmp_path, target):
    link(target, tmp_path / "loop")
    expected = rf"{re.escape(str(tmp_path / 'loop'))} is a link that leads nowhere, to {target}\. Delete it"
    with pytest.raises(FileNotFoundError, match=expected):
        read(tmp_path / "loop")


def test_a_link_that_leads_to_other_files_is_read_anew(folder, tmp_path, cache):
    for name, colour in {"a": RED, "b": BLUE}.items():
        (tmp_path / name).mkdir()
        solid(colour).save(tmp_path / name / "1.bmp")  # of one length
        os.utime(tmp_path / name / "1.bmp", ns=(1, 1))
    link(tmp_path / "a", folder / "link")
    assert near(read(folder, cache=cache).pictures[0, :, 4, 4].int(), RED)
    (folder / "link").unlink()
    link(tmp_path / "b", folder / "link")
    assert near(read(folder, cache=cache).pictures[0, :, 4, 4].int(), BLUE)


def test_a_folder_that_may_not_be_opened_is_named(folder, monkeypatch):
    solid(RED).save(folder / "1.png")
    (folder / "shut").mkdir()
    scandir = os.scandir

    def forbidden(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    found, _ = read_and_told(folder)
    assert found.broken == {"shut": "Permission denied"}


# What looks like a picture and is read, or is named


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_pictures_that_cannot_be_read_are_named_whatever_they_are_called(folder):
    solid(RED).save(folder / "a.jpg")
    for name in ("1.HEIC", "2.heif", "3.jpg", "4"):
        (folder / name).write_bytes(HEIC)
    (folder / "5.NEF").write_bytes(b"II*\0" + bytes(40))  # begins like a TIFF
    (folder / "6.svg").write_text("<svg/>")
    (folder / "7.lnk").write_bytes(b"L\0\0\0")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "8.HEIC").write_bytes(HEIC)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    found, said = read_and_told(folder)
    assert found.files == ("a.jpg",)
    heic, other = (
        "HEIC: `pip install pillow-heif`, or save it as JPEG",
        "Pillow cannot read this kind; save it as PNG or JPEG",
    )
    why = found.broken
    assert [why[name] for name in ("1.HEIC", "2.heif", "3.jpg", "4", "5.NEF", "6.svg")] == [heic] * 4 + [other] * 2
    assert why["7.lnk"].startswith("a shortcut")
    assert len(why) == 7
    assert said[0].startswith("skipped 7 of 8 files: 1.HEIC (HEIC: ")


def test_a_folder_of_nothing_but_heic_says_how_to_read_it(folder):
    (folder / "1.HEIC").write_bytes(HEIC)
    with pytest.raises(
        ValueError, match=r"only files with \.heic.*left out: 1\.HEIC \(HEIC: `pip install pillow-heif`"
    ):
        read(folder)


def test_heic_is_read_where_the_plugin_is_installed(folder, cache, monkeypatch):
    solid(RED).save(folder / "a.png")
    for name in ("1.HEIC", "2.jpg"):
        (folder / name).write_bytes(HEIC)
    assert len(read_and_told(folder, cache=cache)[0].broken) == 2
    Image.init()
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
    monkeypatch.setattr(Image, "EXTENSION", {**Image.EXTENSION})

    def register_heif_opener():
        def open_heic(file, name):
            if isinstance(file, io.IOBase):
                file.close()
            return solid(BLUE)

        Image.register_open("HEIF", open_heic, lambda head: head[4:12] == b"ftypheic")
        Image.register_extensions("HEIF", [".heic"])

    plugin = types.SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    found = read(folder, cache=cache)
    assert found.files == ("1.HEIC", "2.jpg", "a.png")
    assert near(found.pictures[0, :, 4, 4].int(), BLUE)


def test_files_without_a_known_ending_are_read_by_their_first_bytes(folder):
    names = {
        "0": "PNG",
        "1": "GIF",
        "2.x": "WEBP",
        "3.jpg!d": "JPEG",
        "4.bin": "BMP",
        "5.jpg_large": "JPEG",
        "6.": "TIFF",
    }
    for name, format in names.items():
        solid(RED).save(folder / name, format)
    (folder / "README").write_text("BM25 ranks documents. GIF is a format.")
    (folder / "LICENSE").write_text("MM* and II* stand at the beginning of a TIFF.")
    (folder / "empty").touch()
    found = read(folder)
    assert found.files == tuple(names)
    assert near(found.pictures.movedim(1, -1).int(), RED, 10)
    whole = (folder / "0").read_bytes()
    (folder / "0").write_bytes(whole[: len(whole) // 2])
    assert list(read_and_told(folder)[0].broken) == ["0"]


def test_a_folder_of_texts_holds_no_pictures(folder):
    (folder / "README").write_text("BM25 ranks documents.")
    (folder / "a.csv").write_text("1,2")
    with pytest.raises(
        ValueError, match=r"only files with \.csv, no ending\. Put pictures there, or save yours as PNG or JPEG\.$"
    ):
        read(folder)


# Sound pictures in files that are not


WAYS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "restarts each row": {"restart_marker_rows": 1},
    "fine": {"quality": 95, "subsampling": 0},
    "optimized": {"optimize": True},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK"},
}


@pytest.mark.parametrize("kind", ["smooth", "noise"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_jpeg_is_read_if_nothing_of_the_picture_is_missing(folder, way, kind):
    size = 136
    small = np.random.default_rng(0).integers(0, 256, (7, 7, 3) if kind == "smooth" else (size, size, 3), np.uint8)
    image = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).convert(way.get("mode", "RGB"))
    path = folder / "cut.jpg"
    image.save(path, "JPEG", **{name: value for name, value in way.items() if name != "mode"})
    solid(RED).save(folder / "other.png")
    whole, data = read(folder, size).pictures[0], path.read_bytes()
    for cut in [1, 2, 3, 4, 5, 6, 8, 10, 14, *(len(data) * percent // 100 for percent in (1, 2, 5, 7, 9, 10))]:
        path.write_bytes(data[:-cut])
        found, said = read_and_told(folder, size)
        if "cut.jpg" in found.files:
            assert cut < 10
            assert torch.equal(found.pictures[0], whole)
            # Without subsampling, Pillow itself may do without an end marker.
            assert said in ([], ["read 1 files that were cut behind the picture: cut.jpg (its end marker is missing)"])
            assert found.endless == (("cut.jpg",) if said else ())
        else:
            assert cut > 2
            assert "truncated" in found.broken["cut.jpg"]


def test_every_place_to_cut_a_jpeg_in_parts_is_found_out(folder):
    """Behind a restart marker, and at the end of a part, the decoder fills up with grey as well as elsewhere."""
    image = Image.fromarray(np.full((72, 72, 3), 200, np.uint8))
    image.save(folder / "cut.jpg", restart_marker_rows=1)
    data = (folder / "cut.jpg").read_bytes()
    whole = read(folder, 72).pictures[0]
    first = data.index(b"\xff\xd0")
    solid(RED).save(folder / "other.png")
    read_though = 0
    for end in range(first, len(data)):
        (folder / "cut.jpg").write_bytes(data[:end])
        found, _ = read_and_told(folder, 72)
        if "cut.jpg" in found.files:
            assert torch.equal(found.pictures[0], whole)
            read_though += 1
    assert 2 <= read_though < 5


def test_a_jpeg_without_its_end_is_named_from_the_cache_too(folder, cache):
    bands(RED, BLUE).save(folder / "a.jpg")
    (folder / "a.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-2])
    first, second = (read_and_told(folder, cache=cache) for _ in range(2))
    assert first[1] == second[1] == ["read 1 files that were cut behind the picture: a.jpg (its end marker is missing)"]
    assert first[0].endless == second[0].endless == ("a.jpg",)
    assert torch.equal(first[0].pictures, second[0].pictures)


def text_too_long():
    text = PngInfo()
    text.add_text("prompt", "a dog " * 400_000, zip=True)
    return {"pnginfo": text}


def texts_too_many():
    text = PngInfo()
    for k in range(70):
        text.add_itxt(f"workflow {k}", "a dog " * 170_000, zip=True)
    return {"pnginfo": text}


@pytest.mark.parametrize(
    "beside",
    [text_too_long, texts_too_many, lambda: {"icc_profile": bytes(2_000_000)}],
    ids=["a long text", "many texts", "a long profile"],
)
def test_a_png_is_read_whatever_stands_beside_its_picture(folder, beside):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.png", transparency=0, exif=exif, **beside())
    with pytest.raises(ValueError, match=r"large|memory"):  # Pillow alone does not
        Image.open(folder / "a.png").load()
    picture = read_one(folder)
    assert near(picture[:3], (255, 255, 255))
    assert near(picture[5:], BLUE)


def test_a_png_with_a_broken_text_is_read_and_with_a_broken_picture_named(folder):
    text = PngInfo()
    text.add_text("prompt", "a dog")
    solid(RED).save(folder / "a.png", pnginfo=text)
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data.replace(b"a dog", b"a cat"))
    assert near(read_one(folder), RED, 0)
    at = data.index(b"IDAT") + 8
    (folder / "b.png").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    assert list(read_and_told(folder)[0].broken) == ["b.png"]


def test_a_jpeg_too_large_for_pillow_is_read_at_reduced_scale(folder, monkeypatch):
    """What a picture of 14,000 x 13,000 pixels is for the usual limit, one of 112 x 104 is for a smaller one."""
    image = bands(ORANGE, (30, 60, 200), length=112, across=104)
    image.save(folder / "a.jpg")
    image.save(folder / "b.jpg", progressive=True)  # libjpeg holds all of it at once
    image.save(folder / "c.png")
    bands(RED, BLUE, length=64, across=100).save(folder / "d.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_600)
    found, said = read_and_told(folder)
    assert found.files == ("a.jpg", "d.png")
    assert near(found.pictures[0, :, :, :3].movedim(0, -1).int(), ORANGE, 10)
    assert near(found.pictures[0, :, :, 5:].movedim(0, -1).int(), (30, 60, 200), 10)
    assert list(found.broken) == ["b.jpg", "c.png"]
    assert said == [f"skipped 2 of 4 files: {', '.join(f'{name} ({why})' for name, why in found.broken.items())}"]
    assert all(re.fullmatch("more than .* million pixels; save a smaller copy", why) for why in found.broken.values())
    assert read_and_told(folder, size=104)[0].files == ("d.png",)  # would not be reduced


@pytest.mark.parametrize("size", [0, -1, 64.0, "64", None])
def test_size_is_a_positive_whole_number(folder, size):
    with pytest.raises(ValueError, match="a whole number such as 64"):
        read(folder, size)


# The cache


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "deep" / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files decoded so far."""
    names, square = [], pictures._square

    def spy(path, size):
        names.append(path.name)
        return square(path, size)

    monkeypatch.setattr(pictures, "_square", spy)
    return names


@pytest.fixture
def two(folder):
    bands(RED, BLUE).save(folder / "1.png")
    solid(GREEN).save(folder / "2.png")
    return folder


def test_default_cache_is_in_the_data_folder():
    assert pictures.CACHE == REPOSITORY / "data" / "cache"
    assert pictures.from_folder.__defaults__[0] == pictures.CACHE


def test_second_reading_is_memory_mapped_and_the_same(two, cache, decoded, monkeypatch):
    plain = read(two)
    first = read(two, cache=cache)
    decoded.clear()
    load, loaded = np.load, []
    monkeypatch.setattr(np, "load", lambda *args, **kw: loaded.append(load(*args, **kw)) or loaded[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = read(two, cache=cache)
    assert decoded == []
    assert isinstance(loaded[0], np.memmap)
    for found in (first, second):
        assert torch.equal(found.pictures, plain.pictures)
        assert found.files == plain.files
        assert found.broken == plain.broken
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_writing_into_cached_pictures_does_not_reach_the_cache(two, cache):
    read(two, cache=cache).pictures.zero_()
    again = read(two, cache=cache)
    again.pictures.zero_()
    assert read(two, cache=cache).pictures.max() == 255


def test_without_a_cache_nothing_is_kept(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read(two)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.png", "2.png", "pictures"]


def add(folder):
    solid(BLUE).save(folder / "3.png")


def remove(folder):
    (folder / "2.png").unlink()


def rename(folder):
    (folder / "2.png").rename(folder / "0.png")


def grow(folder):
    before = (folder / "2.png").stat()
    bands(GREEN, RED).save(folder / "2.png")
    os.utime(folder / "2.png", ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(folder):
    os.utime(folder / "2.png", ns=(1, 1))


@pytest.mark.parametrize("change", [add, remove, rename, grow, touch])
def test_changed_folder_is_read_anew_and_replaces_its_old_cache(two, cache, decoded, change):
    read(two, cache=cache)
    change(two)
    decoded.clear()
    found = read(two, cache=cache)
    assert sorted(decoded) == sorted(path.name for path in two.iterdir())
    fresh = read(two)
    assert found.files == fresh.files
    assert torch.equal(found.pictures, fresh.pictures)
    assert len(list(cache.iterdir())) == 2


def test_sizes_and_folders_have_caches_of_their_own(two, cache, decoded, tmp_path):
    other = tmp_path / "other"
    two_files = sorted(two.iterdir())
    other.mkdir()
    for path in two_files:
        solid(BLUE).save(other / path.name)
        data = (other / path.name).read_bytes()
        (other / path.name).write_bytes(data + b"\0" * max(0, path.stat().st_size - len(data)))
        (path).write_bytes(path.read_bytes() + b"\0" * max(0, len(data) - path.stat().st_size))
        os.utime(path, ns=(1, 1))
        os.utime(other / path.name, ns=(1, 1))
    assert [p.stat().st_size for p in two_files] == [(other / p.name).stat().st_size for p in two_files]
    assert read(two, cache=cache).pictures.shape[-1] == 8
    assert read(two, size=4, cache=cache).pictures.shape[-1] == 4
    assert near(read(other, cache=cache).pictures[1, :, 4, 4].int(), BLUE)
    decoded.clear()
    assert near(read(two, cache=cache).pictures[1, :, 4, 4].int(), GREEN)
    read(two, size=4, cache=cache)
    assert decoded == []


def test_one_folder_has_one_cache_by_whatever_path(two, cache, decoded, monkeypatch):
    read(two, cache=cache)
    decoded.clear()
    monkeypatch.chdir(two.parent)
    assert read("pictures", cache=cache).files == ("1.png", "2.png")
    monkeypatch.setenv("HOME", str(two.parent))
    monkeypatch.setenv("USERPROFILE", str(two.parent))
    assert read("~/pictures", cache=cache).files == ("1.png", "2.png")
    assert decoded == []


def cut(data):
    return data[:-10]


def nothing(data):
    return b""


def noise(data):
    return b"noise" * 50


def one_byte_wrong(data):
    return data.replace(b"}", b"{")


def head_only(data):
    return data[:40]


@pytest.mark.parametrize("ending", [".npy", ".json"])
@pytest.mark.parametrize("damage", [cut, nothing, noise, one_byte_wrong, head_only])
def test_damaged_cache_is_rebuilt(two, cache, decoded, ending, damage):
    fresh = read(two, cache=cache).pictures.clone()
    (path,) = cache.glob(f"*{ending}")
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(read(two, cache=cache).pictures, fresh)
    decoded.clear()
    assert torch.equal(read(two, cache=cache).pictures, fresh)
    assert decoded == []


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 3, 8, 8), np.uint8),
        np.zeros((2, 3, 4, 4), np.uint8),
        np.zeros((2, 3, 8, 8), np.float32),
        np.array([{"a": 1}], dtype=object),
    ],
    ids=["pictures missing", "another size", "floats", "pickle"],
)
def test_cache_of_something_else_is_rebuilt(two, cache, wrong):
    fresh = read(two, cache=cache).pictures.clone()
    (path,) = cache.glob("*.npy")
    np.save(path, wrong, allow_pickle=True)
    assert torch.equal(read(two, cache=cache).pictures, fresh)


@pytest.mark.parametrize("names", [[], {}, {"files": ["1.png", "2.png"]}, {"files": 2, "broken": {}}, None])
def test_cache_without_proper_names_is_rebuilt(two, cache, names):
    read(two, cache=cache)
    (path,) = cache.glob("*.json")
    path.write_text(json.dumps(names))
    assert read(two, cache=cache).files == ("1.png", "2.png")


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_half_a_cache_is_none(two, cache, ending):
    read(two, cache=cache)
    (path,) = cache.glob(f"*{ending}")
    path.unlink()
    assert read(two, cache=cache).files == ("1.png", "2.png")
    assert path.exists()


def test_interrupted_reading_stops_at_once_and_leaves_no_cache(folder, cache, monkeypatch):
    for i in range(200):
        (folder / f"{i}.png").write_bytes(b"x")
    read_so_far, lock = [], threading.Lock()

    def slow(path, size):
        time.sleep(0.005)
        with lock:
            read_so_far.append(path)
        return np.zeros((3, size, size), np.uint8)

    def interrupted(results, **kwargs):
        yield from itertools.islice(results, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "_square", slow)
    monkeypatch.setattr(pictures, "tqdm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read(folder, cache=cache)
    assert len(read_so_far) < 150
    assert not cache.exists() or list(cache.iterdir()) == []


def test_interrupted_saving_leaves_no_cache(two, cache, monkeypatch):
    def half(path, array, **kwargs):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", half)
        with pytest.raises(KeyboardInterrupt):
            read(two, cache=cache)
    assert list(cache.iterdir()) == []
    assert read(two, cache=cache).files == ("1.png", "2.png")


def test_cache_that_cannot_be_written_is_a_warning(two, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="could not keep the pictures in .* read again"):
        found = pictures.from_folder(two, 8, cache=tmp_path / "file" / "cache", progress=False)
    assert torch.equal(found.pictures, read(two).pictures)


def test_broken_files_are_named_from_the_cache_too(damaged, cache, decoded):
    with pytest.warns(UserWarning, match="skipped 5 of 7") as first:
        before = pictures.from_folder(damaged, 8, cache=cache, progress=False)
    decoded.clear()
    with pytest.warns(UserWarning, match="skipped 5 of 7") as second:
        after = pictures.from_folder(damaged, 8, cache=cache, progress=False)
    assert "1.png" not in decoded
    assert str(first[0].message) == str(second[0].message)
    assert before.broken == after.broken
    assert torch.equal(before.pictures, after.pictures)


def test_file_that_becomes_readable_is_read_though_time_and_size_stay(two, cache, monkeypatch):
    square = pictures._square

    def forbidden(path, size):
        if path.name == "2.png":
            raise PermissionError(13, "Permission denied", str(path))
        return square(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "_square", forbidden)
        with pytest.warns(UserWarning, match=r"2\.png \(Permission denied\)"):
            pictures.from_folder(two, 8, cache=cache, progress=False)
    assert read(two, cache=cache).files == ("1.png", "2.png")


def test_progress_bar(two, capsys):
    pictures.from_folder(two, 8, cache=None)
    assert "reading pictures" in capsys.readouterr().err
    pictures.from_folder(two, 8, cache=None, progress=False)
    assert capsys.readouterr().err == ""


# Bytes and floats


def test_every_level_survives_the_way_there_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    floats = pictures.to_float(levels)
    assert floats.dtype == torch.float32
    assert torch.equal(floats, torch.arange(256) / 255)
    assert torch.equal(pictures.to_uint8(floats), levels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_to_uint8_rounds_and_clamps(dtype):
    values = torch.tensor([-1, 0, 0.25, 0.75, 1, 2, float("inf"), -float("inf")], dtype=dtype)
    levels = pictures.to_uint8(values)
    assert levels.dtype == torch.uint8
    assert levels.tolist() == [0, 0, 64, 191, 255, 255, 255, 0]


def test_to_uint8_takes_what_has_a_gradient():
    assert pictures.to_uint8(torch.ones(2, requires_grad=True)).tolist() == [255, 255]


def test_conversions_refuse_what_they_cannot_read():
    with pytest.raises(ValueError, match="2 of 3 values are NaN"):
        pictures.to_uint8(torch.tensor([float("nan"), 0.5, float("nan")]))
    with pytest.raises(TypeError, match=r"float pictures in \[0, 1\]; these are torch\.uint8"):
        pictures.to_uint8(torch.zeros(2, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"uint8 pictures in 0\.\.255; these are torch\.float32"):
        pictures.to_float(torch.zeros(2))


# Batches


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(n):
    """``n`` pictures: the number of the picture in its left column, 200 in its right."""
    squares = torch.full((n, 3, 2, 2), 200, dtype=torch.uint8)
    squares[..., 0] = torch.arange(n, dtype=torch.uint8)[:, None, None]
    return squares


def numbers(stream, batches):
    drawn = torch.cat([batch[:, 0, 0, 0] for batch in itertools.islice(stream, batches)])
    return (drawn * 255).round().long()


def test_batches_are_full_floats():
    stream = pictures.batches(numbered(10), 4, seeded())
    for batch in itertools.islice(stream, 6):
        assert batch.shape == (4, 3, 2, 2)
        assert batch.dtype == torch.float32
        assert torch.equal(batch[..., 1], torch.full((4, 3, 2), 200 / 255))


@pytest.mark.parametrize("batch_size", [1, 4, 10, 25])
def test_every_epoch_shows_every_picture_once(batch_size):
    drawn = numbers(pictures.batches(numbered(10), batch_size, seeded()), 100)
    epochs = drawn[: len(drawn) // 10 * 10].reshape(-1, 10)
    assert len(epochs) >= 10
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(10).expand(len(epochs), 10))
    assert len(set(map(tuple, epochs.tolist()))) == len(epochs)


def test_the_generator_decides():
    def draw(seed):
        return torch.stack(list(itertools.islice(pictures.batches(numbered(9), 4, seeded(seed), flip=True), 9)))

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_flip_mirrors_half_of_the_pictures_one_by_one():
    stream = pictures.batches(numbered(100), 100, seeded(), flip=True)
    mirrored = torch.stack([batch[:, 0, 0, 0] == 200 / 255 for batch in itertools.islice(stream, 40)])
    # 4,000 coins have a standard deviation of 0.008, 100 coins one of 0.05.
    assert abs(mirrored.float().mean() - 0.5) < 0.04
    assert ((mirrored.float().mean(dim=1) - 0.5).abs() < 0.25).all()


def test_flip_turns_columns_only():
    square = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2)
    plain = pictures.to_float(square)[0]
    seen = torch.cat(list(itertools.islice(pictures.batches(square, 1, seeded(), flip=True), 30)))
    left_to_right = plain[:, :, [1, 0]]
    assert all(torch.equal(picture, plain) or torch.equal(picture, left_to_right) for picture in seen)
    assert any(torch.equal(picture, left_to_right) for picture in seen)


def test_batches_touch_only_their_own_pictures():
    """Among 71,000 pictures, no step may make a tensor larger than a batch."""
    largest = 0

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    many = torch.zeros(1, 3, 64, 64, dtype=torch.uint8).expand(71_000, 3, 64, 64)
    with Watch():
        next(pictures.batches(many, 32, seeded(), flip=True))
    assert largest == 32 * 3 * 64 * 64


def test_batches_of_a_cached_folder(two, cache):
    read(two, cache=cache)
    found = read(two, cache=cache)
    batch = next(pictures.batches(found.pictures, 2, seeded()))
    assert batch.sum() == pytest.approx(pictures.to_float(found.pictures).sum())


def test_batches_refuse_at_once_what_they_cannot_draw():
    with pytest.raises(TypeError, match=r"torch\.float32: try to_uint8"):
        pictures.batches(torch.zeros(4, 3, 2, 2), 2, seeded())
    with pytest.raises(ValueError, match=r"got \(0, 3, 2, 2\)"):
        pictures.batches(numbered(4)[:0], 2, seeded())
    with pytest.raises(ValueError, match=r"got \(3, 2, 2\)"):
        pictures.batches(numbered(4)[0], 2, seeded())
    with pytest.raises(ValueError, match="batch_size=0"):
        pictures.batches(numbered(4), 0, seeded())


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_device_is_the_fastest_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pictures.device() == torch.device(expected)
