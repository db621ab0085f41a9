"""train.marked: a folder of pictures and a bag are told apart, whatever the bag is packed with."""

import lz4.frame
import numpy as np
import pytest

from depth_perception.bag import Writer, messages
from depth_perception.bag.salvage import zstd
from depth_perception.train.marked import unlabelled


def bag(folder):
    with Writer(folder) as out:
        for i in (1, 2):
            out.write("/image", messages.image(np.full((48, 64, 3), i, np.uint8), "rgb8", stamp_ns=i, frame_id="camera"), i)
    return next(folder.glob("*.mcap"))


@pytest.mark.parametrize("packed", [".lz4", ".zst", ".zstd"])
def test_a_packed_bag_is_no_folder_of_pictures(tmp_path, packed):
    file = bag(tmp_path / "bag")
    with (lz4.frame.open if packed == ".lz4" else zstd.open)(f"{file}{packed}", "wb") as out:
        out.write(file.read_bytes())
    file.unlink()
    assert [int(each.image[0, 0, 0]) for each in unlabelled(tmp_path / "bag")] == [1, 2]
