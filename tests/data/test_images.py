"""Pictures from disk: what is refused before it is decoded. What their pixels mean: tests/data/test_mapper.py."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from transavs.data.errors import AVSDatasetError
from transavs.data.images import image_size, read_frame, read_instances, read_mask


def png(width, height, rows=b""):
    """A grey PNG that says it is of this size."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "read",
    [lambda path: read_frame(path, "RGB"), read_mask, read_instances, lambda path: image_size(path, "frame")],
    ids=["frame", "mask", "instances", "size"],
)
@pytest.mark.parametrize("width, height, reason", [(8193, 8193, "8193x8193 pixels"), (100000, 100000, "bomb")])
def test_a_picture_that_claims_too_many_pixels_is_refused(tmp_path, read, width, height, reason, no_more_memory):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    with no_more_memory(), pytest.raises(AVSDatasetError, match=rf"^{path}: .*{reason}[^\n]*$"):
        read(path)


def test_many_large_masks_are_refused(tmp_path, no_more_memory):
    path = tmp_path / "instances.png"
    Image.fromarray(np.arange(4096**2, dtype=np.uint8).reshape(4096, 4096)).save(path)  # 255 objects
    with no_more_memory(megabytes=600), pytest.raises(AVSDatasetError, match="255 objects, expected masks of at most"):
        read_instances(path)


def test_a_program_for_ghostscript_is_no_picture(tmp_path):
    path = tmp_path / "frame.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    assert Image.open(path).format == "EPS"
    with pytest.raises(AVSDatasetError, match="not a readable frame"):
        read_frame(path, "RGB")
