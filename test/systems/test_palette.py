"""Colours of masks mean classes, by a file that anybody can write."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="compares with the network's classes, which needs torch")

from depth_perception.frame import BadInput
from depth_perception.model import share_directory
from depth_perception.networks import markings
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.palette import COLOURS, IGNORE, Palette, coloured, overlay, read_palette
from depth_perception.world.paint import Marking


def test_red_is_a_line_pink_a_zebra_crossing_and_black_nothing():
    mask = np.array([[(255, 0, 0), (255, 192, 203), (0, 0, 0), (128, 128, 128)]], np.uint8)
    assert Palette().classes_of(mask, name="m").tolist() == [[Marking.SOLID, Marking.ZEBRA, Marking.BACKGROUND, IGNORE]]


def test_classes_become_colours_and_classes_again():
    mask = np.arange(len(CLASSES), dtype=np.uint8)[None]
    assert Palette().classes_of(coloured(mask), name="m").tolist() == mask.tolist()
    assert Palette().classes_of(mask, name="m") is mask


def test_the_shipped_palette_is_the_default_one():
    assert read_palette(share_directory() / "config" / "palettes" / "default.yaml") == Palette()


def test_simulator_network_and_contract_count_the_classes_alike():
    assert markings.CLASSES == CLASSES == tuple(COLOURS) and len(Marking) == len(CLASSES)
    words = [name.split()[0] for name in CLASSES]
    assert words == [marking.name.lower() for marking in Marking]


def test_an_own_palette_may_have_several_colours_of_a_class(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("background: [[0, 0, 0], [10, 10, 10]]\nsolid line: [1, 2, 3]\n")
    mask = np.array([[(10, 10, 10), (1, 2, 3)]], np.uint8)
    assert read_palette(file).classes_of(mask, name="m").tolist() == [[0, 1]]


@pytest.mark.parametrize(("text", "word"), [
    ("lane: [0, 0, 0]", "unknown class 'lane'"), ("arrow: [0, 0]", r"\[r, g, b\]"), ("arrow: [0, 0, 256]", r"\[r, g, b\]"),
    ("", "class names"), ("arrow: [1, 1, 1]\ntext: [1, 1, 1]", "two classes"), ("[", "cannot be read")])
def test_a_wrong_palette_is_refused_in_a_sentence(tmp_path, text, word):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(BadInput, match=word):
        read_palette(tmp_path / "p.yaml")


def test_masks_of_unknown_colours_or_ids_are_refused():
    with pytest.raises(BadInput, match=r"left\.png: the colour \(9, 9, 9\)"):
        Palette().classes_of(np.full((2, 2, 3), 9, np.uint8), name="left.png")
    with pytest.raises(BadInput, match=r"left\.png: wanted class ids 0 to 6 or 255, got 7"):
        Palette().classes_of(np.full((2, 2), 7, np.uint8), name="left.png")


def test_an_overlay_leaves_the_background_as_it_is():
    image = np.full((1, 2, 3), 100, np.uint8)
    assert overlay(image, np.array([[0, 1]], np.uint8), strength=0.5).tolist() == [[[100, 100, 100], [177, 50, 50]]]
