"""The lift of S3: what drives against the plain index_add, on cameras whose view from above is known."""

import numpy as np
import onnx
import pytest
import torch

from depth_perception.engine import Engine
from depth_perception.export.onnx_file import write_onnx
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import frustum
from depth_perception.geometry.grid import Grid
from depth_perception.geometry.polar import NOWHERE, polar
from depth_perception.networks import lift
from depth_perception.networks.bev_image import BevImage, BevImageConfig
from depth_perception.networks.placed import at

K = np.array([[32.0, 0, 31.5], [0, 32, 15.5], [0, 0, 1]])
AHEAD = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])  # optical -> body, 1.5 m up
GRID = Grid(0.0, -8.0, 0.5, 32, 32)
DEPTHS = np.array([2.0, 4.0, 8.0])
CAMERA = Calibration(K, 64, 32, T_base_camera=AHEAD)
SIZE = {"height": 32, "width": 64}


def test_a_feature_comes_to_lie_where_its_ray_and_depth_say():
    features, depth = torch.zeros(1, 1, 4, 8), torch.zeros(1, 3, 4, 8)
    features[0, 0, 2, 5], depth[0, 1, 2, 5] = 3.0, 1.0  # column 5 of 8 at 4 m: u = 43.5, 1.5 m to the right
    seen = lift.pillars(features, depth, torch.from_numpy(polar(CAMERA, **SIZE, depths=DEPTHS, grid=GRID))[None])[0, 0]
    row, column = np.unravel_index(int(seen.argmax()), seen.shape)
    x, y = GRID.centres()[row, column]
    assert abs(x - 4.0) <= 0.5 and abs(y + 1.5) <= 0.5 and 2.2 < float(seen.max()) <= 3


def test_every_cell_reads_the_features_that_fall_into_it():
    """Per cell, the mean index_add's features are the ones that grid_sample reads: one column and bin each, all rows added."""
    torch.manual_seed(0)
    features = torch.zeros(1, 4, 4, 64)
    features[0, 0], features[0, 1] = torch.arange(64), 1.0  # which column
    depth = torch.full((1, 48, 4, 64), 0.25)
    depths = np.geomspace(2, 16, 48)
    wide = Calibration(np.array([[256.0, 0, 255.5], [0, 256, 15.5], [0, 0, 1]]), 512, 32, T_base_camera=AHEAD)
    cells = frustum.cells(wide, height=32, width=512, stride=8, depths=depths, grid=GRID)
    summed = lift.scattered(features, depth, torch.from_numpy(cells)[None], count=GRID.outside)[0].reshape(4, 32, 32)
    read = lift.pillars(features, depth, torch.from_numpy(polar(wide, height=32, width=512, depths=depths, grid=GRID))[None])[0]
    both = (summed[1] > 0) & (read[1] > 0.99)
    assert both.sum() > 100
    column_of_sum, column_of_read = summed[0][both] / summed[1][both], read[0][both] / read[1][both]
    assert float((column_of_sum - column_of_read).abs().median()) < 0.7  # of 64 columns


def test_cells_behind_the_camera_and_beside_its_view_are_nowhere():
    places = polar(CAMERA, **SIZE, depths=DEPTHS, grid=Grid(-8.0, -8.0, 0.5, 32, 32))
    x, y = np.moveaxis(Grid(-8.0, -8.0, 0.5, 32, 32).centres(), -1, 0)
    assert (places[x < 0] == NOWHERE).all() and (places[np.abs(y) > 1.1 * x] == NOWHERE).all()
    assert (np.abs(places[(x > 2) & (np.abs(y) < 0.9 * x)]) <= 1).all()
    turned = Calibration(K, 64, 32)
    with pytest.raises(BadInput, match="T_base_camera"):
        polar(turned, **SIZE, depths=DEPTHS, grid=GRID)
    with pytest.raises(BadInput, match="rising"):
        polar(CAMERA, **SIZE, depths=np.array([4.0, 2.0]), grid=GRID)


def test_slices_of_height_are_parts_of_the_pillar():
    torch.manual_seed(0)
    features, depth = torch.rand(2, 3, 4, 8), torch.rand(2, 3, 4, 8).softmax(1)
    places = torch.from_numpy(polar(CAMERA, **SIZE, depths=DEPTHS, grid=GRID))[None].repeat(2, 1, 1, 1)
    heights = torch.from_numpy(frustum.heights(CAMERA, **SIZE, stride=8, depths=DEPTHS)).view(1, 3, 4, 8).repeat(2, 1, 1, 1)
    parts = lift.slices(features, depth, places, heights, (0.5, 1.5)).view(2, 3, 3, 32, 32)
    assert torch.allclose(parts.sum(1), lift.pillars(features, depth, places), atol=1e-5)
    assert all(float(parts[:, k].abs().max()) > 0 for k in range(3))
    low = depth * (heights < 0.5)
    assert torch.allclose(parts[:, 0], lift.pillars(features, low, places), atol=1e-6)


def test_the_literal_fusion_adds_what_has_the_same_cell_and_height():
    torch.manual_seed(0)
    features, depth = torch.rand(2, 3, 4, 8), torch.rand(2, 3, 4, 8)
    cells = torch.from_numpy(frustum.cells(CAMERA, **SIZE, stride=8, depths=DEPTHS, grid=GRID))[None].repeat(2, 1)
    heights = torch.from_numpy(frustum.heights(CAMERA, **SIZE, stride=8, depths=DEPTHS)).view(1, 3, 4, 8).repeat(2, 1, 1, 1)
    found = lift.scattered_slices(features, depth, cells, heights, (0.5, 1.5), count=GRID.outside).view(2, 3, 3, -1)
    wanted = torch.zeros_like(found)
    for b, d, row, column in np.ndindex(2, 3, 4, 8):  # straight from the text
        cell, z = int(cells[b, (d * 4 + row) * 8 + column]), float(heights[b, d, row, column])
        if cell < GRID.outside:
            wanted[b, int(z >= 0.5) + int(z >= 1.5), :, cell] += depth[b, d, row, column] * features[b, :, row, column]
    assert torch.allclose(found, wanted, atol=1e-5) and wanted.sum() > 1
    assert torch.allclose(found.sum(1), lift.scattered(features, depth, cells, count=GRID.outside), atol=1e-5)


@pytest.mark.parametrize("fusion", lift.FUSIONS)
def test_both_fusions_are_exported_and_answer_as_trained(tmp_path, fusion):
    config = BevImageConfig(channels=(4, 4, 6, 6, 6), width=8, wider=(8,), depths=(2.0, 4.0, 8.0, 16.0), grid=GRID, fusion=fusion)
    network = BevImage(config).eval()
    inputs = config.inputs(64, 128)
    assert list(inputs) == ["image", "polar", "heights"][: len(inputs)]
    shown = {name: torch.rand(shape) * 2 - 0.5 for name, shape in inputs.items()}
    outputs = {"features": config.features(), "depth": [1, 4, 8, 16]}
    write_onnx(network, tmp_path / "n.onnx", inputs=inputs, outputs=outputs)
    answer = Engine(tmp_path / "n.onnx", device="cpu")(**{name: x.numpy() for name, x in shown.items()})
    with torch.no_grad():
        features, depth = network(*shown.values())
    assert np.allclose(answer["features"], features.numpy(), atol=1e-4) and np.allclose(answer["depth"], depth.numpy(), atol=1e-4)
    assert np.allclose(answer["depth"].sum(1), 1, atol=1e-4) and list(answer["features"].shape) == config.features()
    kinds = {node.op_type for node in onnx.load(tmp_path / "n.onnx").graph.node}
    assert "GridSample" in kinds and not kinds & {"ScatterND", "ScatterElements"}  # TensorRT has none that adds


def test_layers_are_chosen_and_say_the_stride():
    image = torch.rand(1, 3, 64, 128)
    strides = {(1, 2): 4, (2, 3, 4): 8, (3,): 16}
    for layers, stride in strides.items():
        network = BevImage(BevImageConfig(channels=(4, 4, 6, 6, 6), width=8, wider=(), deeper=(0,), layers=layers, grid=GRID)).eval()
        content, depth = network.seen(image)
        assert network.config.stride == stride and content.shape == (1, 8, 64 // stride, 128 // stride) and depth.shape[1] == 64
        assert len(network.layer_outputs(image)) == layers[-1] + 1
    for layers in ((), (3, 2), (5,)):
        with pytest.raises(BadInput, match="layers: wanted some of the stages 0 to 4"):
            BevImageConfig(layers=layers)


def test_features_are_read_at_their_places():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    places = torch.tensor([[[-0.75, -2 / 3], [0.25, 0.0], [0.5, 2 / 3]]])  # x, y of cell middles (0, 0), (1, 2), between (2, 2) and (2, 3)
    assert at(features, places)[0, :, 0].tolist() == pytest.approx([0.0, 6.0, 10.5], abs=1e-4)
