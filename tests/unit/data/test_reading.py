import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelproof.data.image_set import image_id
from pixelproof.data.reading import (
    UnreadableImageError,
    find_images,
    read_image,
    strict_reading,
    to_array,
    to_rgb,
)
from pixelproof.errors import DataError
from tests.conftest import draw_image


def encode(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or draw_image(0, 1, 64, 48)).save(buffer, format=kind, **options)
    return buffer.getvalue()


PNG, JPEG = encode("PNG"), encode("JPEG", quality=90)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def oversized_png() -> bytes:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def frames(kind: str) -> bytes:
    return encode(kind, save_all=True, append_images=[draw_image(1, 2, 64, 48)])


BAD_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"

UNREADABLE = {
    "zero-byte.png": (b"", "empty"),
    "truncated.png": (PNG[: len(PNG) // 2], "truncated"),
    "truncated.jpg": (JPEG[: len(JPEG) // 2], "JPEG"),
    "flipped-idat.png": (flip(PNG, len(PNG) // 2), "IDAT"),
    "no-iend.png": (PNG[:-12], "IEND"),
    "mid-scan.jpg": (JPEG[:1500] + bytes(40) + JPEG[1540:], "JPEG"),
    "89-megapixels.png": (oversized_png(), "exceeds limit"),
    "frames.gif": (frames("GIF"), "one frame"),
    "frames.tiff": (frames("TIFF"), "one frame"),
    "frames.png": (frames("PNG"), "one frame"),
    "text.jpg": (b"this is no image\n" * 20, "expected one of PNG"),
    "float.tiff": (encode("TIFF", Image.new("F", (8, 8), 0.5)), "mode F"),
    "exif.jpg": (encode("JPEG", exif=BAD_EXIF), "EXIF"),
    "exif-header.jpg": (encode("JPEG", exif=b"Exif\0\0garbage"), "damaged EXIF"),
    "exif-cut.png": (encode("PNG", exif=b"Exif\0\0MM"), "damaged EXIF"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    data, reason = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    with strict_reading(), pytest.raises(UnreadableImageError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")
    code = (
        "import resource, sys, pathlib\n"
        "from pixelproof.data.reading import read_image, strict_reading, UnreadableImageError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    with strict_reading(): read_image(pathlib.Path(sys.argv[1]))\n"
        "except UnreadableImageError: pass\n"
        "else: raise SystemExit('read')\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.png")], check=True)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(min_value=8, max_value=len(PNG) - 1))
def test_a_flipped_bit_anywhere_in_a_png_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    path = tmp_path_factory.mktemp("png") / "flipped.png"
    path.write_bytes(flip(PNG, at))
    with strict_reading(), pytest.raises(UnreadableImageError):
        read_image(path)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), head=st.sampled_from([b"", PNG[:40], JPEG[:400], b"GIF89a"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.png"
    path.write_bytes(head + data)
    with strict_reading(), pytest.raises(UnreadableImageError):
        read_image(path)


def mode_images() -> dict[str, Image.Image]:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    palette = Image.fromarray(ramp).convert("P")
    palette.info["transparency"] = 8
    alpha = Image.merge("RGBA", [Image.fromarray(np.roll(ramp, s)) for s in (0, 9, 18, 27)])
    return {
        "gray": Image.fromarray(ramp),
        "16-bit": Image.fromarray(ramp.astype(np.uint16) * 257 + 100),
        "palette": palette,
        "alpha": alpha,
        "cmyk": Image.merge("CMYK", [Image.fromarray(np.roll(ramp, s)) for s in (0, 9, 18, 27)]),
    }


GOLDEN = {
    "gray": "1a88ca46001697b4",
    "16-bit": "1a88ca46001697b4",
    "palette": "946a7cfe45299359",
    "alpha": "9a44bc553aea93e3",
    "cmyk": "b481c1b372c6072d",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_every_mode_becomes_rgb_by_one_rule(name: str, tmp_path: Path) -> None:
    kind = "tiff" if name == "cmyk" else "png"
    path = tmp_path / f"{name}.{kind}"
    mode_images()[name].save(path)
    image = read_image(path).image
    assert image.mode == "RGB"
    assert hashlib.sha256(image.tobytes()).hexdigest()[:16] == GOLDEN[name]


def test_16_bits_are_scaled_and_never_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "16.png")
    red = np.asarray(read_image(tmp_path / "16.png").image)[0, :, 0]
    assert red.tolist() == [round(int(value) / 257) for value in values[0]]


def test_a_transparent_16_bit_gray_is_white(tmp_path: Path) -> None:
    values = np.array([[700, 40_000]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "16.png", transparency=700)
    red = np.asarray(read_image(tmp_path / "16.png").image)[0, :, 0]
    assert red.tolist() == [255, round(40_000 / 257)]


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = draw_image(0, 1, 30, 20)
    upright.save(tmp_path / "turned.png", exif=exif)
    read = read_image(tmp_path / "turned.png")
    assert read.image.size == (20, 30)
    assert np.array_equal(np.asarray(read.image), np.rot90(np.asarray(upright), -1))


def test_a_png_named_jpg_is_read_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "png.jpg").write_bytes(PNG)
    assert read_image(tmp_path / "png.jpg").note == "named .jpg, holds PNG"


def test_fit(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (0, 0, 10, 20))
    assert to_array(image, 20, "stretch")[0, 10, 0] == 255
    assert to_array(image, 20, "crop").max() == 0  # the red quarter is cut off
    assert to_array(image, 20, "crop").shape == (3, 20, 20)
    wide = Image.new("RGB", (256, 256))
    wide.paste((255, 0, 0), (0, 0, 14, 256))  # what is cut off, but for what is blurred
    assert to_array(wide, 224, "imagenet").max() < 8
    assert to_array(wide, 224, "imagenet").shape == (3, 224, 224)


def test_the_id_is_the_content() -> None:
    array = to_array(draw_image(0, 0), 8, "stretch")
    changed = array.copy()
    changed[0, 0, 0] ^= 1
    expected = hashlib.sha256(b"(3, 8, 8)" + array.tobytes()).hexdigest()[:16]
    assert image_id(array) == int(expected, 16)
    assert image_id(changed) != image_id(array)


class TestFindImages:
    def write(self, root: Path, *names: str) -> None:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_image(0, 1).save(path)

    def test_classes_are_folders_and_hidden_ones_are_not(self, tmp_path: Path) -> None:
        self.write(tmp_path, "b/2.png", "b/1.png", "a/deep/er/3.png", ".git/4.png", "a/.x.png")
        (tmp_path / "groups.csv").write_text("path,module\n")
        found = find_images(tmp_path)
        assert list(found) == ["a", "b"]
        assert [path.name for path in found["b"]] == ["1.png", "2.png"]
        assert [path.name for path in found["a"]] == ["3.png"]

    def test_links_are_not_followed_in_circles(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a/1.png", "b/2.png")
        (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
        (tmp_path / "again").symlink_to(tmp_path / "a")
        assert sum(map(len, find_images(tmp_path).values())) == 2

    def test_a_link_out_of_the_root_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, "data/a/1.png", "data/b/2.png", "secret.png")
        (tmp_path / "data/a/out.png").symlink_to(tmp_path / "secret.png")
        with pytest.raises(DataError, match=r"out\.png.*copy"):
            find_images(tmp_path / "data")

    def test_a_class_that_is_a_link_out_of_the_root_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, "data/a/1.png", "data/b/2.png", "elsewhere/3.png")
        (tmp_path / "data/c").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match=r"data/c: a link.*copy"):
            find_images(tmp_path / "data")

    @pytest.mark.parametrize("names", [(), ("a/1.png",)])
    def test_fewer_than_two_classes(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        self.write(tmp_path, *names)
        with pytest.raises(DataError, match="two or more class folders"):
            find_images(tmp_path)

    def test_an_empty_class(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a/1.png")
        (tmp_path / "b").mkdir()
        with pytest.raises(DataError, match="b: expected images"):
            find_images(tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="make data"):
            find_images(tmp_path / "data")

    def test_names_of_any_bytes(self, tmp_path: Path) -> None:
        self.write(tmp_path, "b/1.png", "a/grün \n.png")
        odd = os.fsdecode(b"\xff\xfe.png")
        self.write(tmp_path, f"a/{odd}")
        assert len(find_images(tmp_path)["a"]) == 2
