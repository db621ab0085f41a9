"""What is left unread for whoever scores on it: the end of a bag, calibrated or not, and of a folder; the same that `loop` holds out."""

import cv2
import numpy as np
import pytest

from depth_perception.bag import FrameReader, Writer, messages
from depth_perception.frame import Calibration
from depth_perception.loop.held import hold_out, hold_out_folder
from depth_perception.train.leave_end import but_the_end
from depth_perception.train.marked import labelled, unlabelled

CALIBRATION = Calibration(np.array([[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]), 64, 32, "camera")


@pytest.mark.parametrize("info", [True, False])
def test_of_a_bag(tmp_path, info):
    with Writer(tmp_path / "a") as out:
        for k in range(11):
            stamp, log_ns = 10**9 + k * 10**8, k * 10**8  # the camera's clock is another one
            image = np.full((32, 64, 3), k, np.uint8)
            out.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), log_ns)
            out.write("/truth/markings", messages.image(image[..., 0] % 2, "mono8", stamp_ns=stamp, frame_id="camera"), log_ns)
            if info:
                out.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), log_ns)
    for read in (labelled, unlabelled):
        assert [int(each.image[0, 0, 0]) for each in read(tmp_path / "a", leave_end=0.25)] == [*range(8)]
        assert len(list(read(tmp_path / "a"))) == 11


@pytest.mark.parametrize("pairing", ["latest", "nearest"])
def test_images_that_cannot_be_used_do_not_move_it(tmp_path, pairing):
    """The recorder came late to the first images, and the camera's driver was not ready."""
    with Writer(tmp_path / "a") as out:
        for k in range(41):
            stamp, log_ns = 10**9 + k * 10**8, max(k, 3) * 10**8 + k
            out.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), log_ns)
            image = messages.image(np.full((32, 64, 3), k, np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera")
            image.encoding = "rgb8" if k > 5 else "nonsense"
            out.write("/camera/image", image, log_ns)
    reader = FrameReader(tmp_path / "a", pairing=pairing)
    learned = [int(frame.image[0, 0, 0]) for frame in but_the_end(reader, reader, 0.25)]
    held = [int(frame.image[0, 0, 0]) for frame in FrameReader(hold_out(tmp_path / "a", tmp_path / "end", share=0.25), pairing=pairing)]
    assert reader.skipped.total() == 6
    # The log spans 0.3 to 4 s: what was logged before 3.075 s is learned from. The held-out end begins a moment later.
    assert (learned, held) == ([*range(6, 31)], [*range(32, 41)])


def test_of_a_folder(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / "f" / part).mkdir(parents=True)
        for k in range(9):
            cv2.imwrite(str(tmp_path / "f" / part / f"{k}.png"), np.full((32, 64), k % 2, np.uint8))
    learned = [each.name[-5] for each in labelled(tmp_path / "f", leave_end=0.25)]
    held = hold_out_folder(tmp_path / "f", tmp_path / "end", share=0.25)
    scored = [each.name[-5] for each in labelled(held)]
    assert (learned, scored) == (list("0123456"), list("78"))
