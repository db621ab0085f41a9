"""Three ways to install: pip, colcon build, colcon build --symlink-install. Each puts executables, marker and data where ROS 2 looks."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "scripts").iterdir())
EXECUTABLES = {"depth_node", "odometry_node", "bev_node", "objects_node", "markings_node", "recorder_node", "drive", "player", "viewer"}
SHARED = ("launch", "config", "models")
WAYS = ("pip", "colcon", "symlink")
# Another ROS installation, or this run's own paths, must not help.
LEAKS = ("PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


@dataclass(frozen=True)
class Installed:
    """Attributes:
    source: the checkout that was installed.
    prefix: what AMENT_PREFIX_PATH has to name.
    setup: a file to source, where the way of installing has one.
    """

    source: Path
    prefix: Path
    setup: Path | None = None

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a command as a user would after this installation, with this interpreter as python3."""
        env = clean() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "ROS_LOG_DIR": str(cwd / "log")}
        if self.setup is None:
            site = next(self.prefix.rglob("site-packages"))
            env |= {"PYTHONPATH": str(site), "AMENT_PREFIX_PATH": str(self.prefix)}
        else:
            command = ("bash", "-c", f'source "{self.setup}" && exec "$@"', "bash", *command)
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def clean() -> dict[str, str]:
    """This process's environment without what would lead to another installation."""
    return {name: value for name, value in os.environ.items() if name not in LEAKS}


def copy_of_the_sources(target: Path) -> Path:
    """What an installation is made of; pip and colcon write beside it."""
    for folder in ("depth_perception", "scripts", "resource", *SHARED):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("package.xml", "setup.py", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / file, target)
    return target


@pytest.fixture(scope="module")
def colcon(request: pytest.FixtureRequest) -> Path:
    """colcon, in an environment of its own (it brings pytest plugins) that is kept between runs."""
    folder = Path(request.config.cache.mkdir(f"colcon-{sys.version_info.major}.{sys.version_info.minor}"))
    program = folder / "bin" / "colcon"
    if not program.is_file() or subprocess.run([program, "--help"], capture_output=True).returncode != 0:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, env=clean())
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "setuptools<80", "colcon-common-extensions"]
        result = subprocess.run(install, capture_output=True, text=True, env=clean())
        if result.returncode != 0:
            shutil.rmtree(folder)
            pytest.skip("colcon is not here and pip could not install it from the package registry")
    return program


@pytest.fixture(scope="module", params=WAYS)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package, installed in one of the three ways."""
    if request.param == "pip":
        pytest.importorskip("setuptools")
        source, prefix = copy_of_the_sources(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("prefix")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
                   "--ignore-installed", "--no-warn-script-location", "--prefix", str(prefix), str(source)]  # fmt: skip
        done, result = Installed(source, prefix), subprocess.run(command, capture_output=True, text=True, cwd=source)
    else:
        program = request.getfixturevalue("colcon")
        workspace = tmp_path_factory.mktemp("workspace")
        source = copy_of_the_sources(workspace / "src" / "depth_perception")
        command = [program, "--log-base", "log", "build", *(["--symlink-install"] if request.param == "symlink" else [])]
        install = workspace / "install"
        done = Installed(source, install / "depth_perception", install / "local_setup.bash")
        result = subprocess.run(command, capture_output=True, text=True, cwd=workspace, env=clean())
    assert result.returncode == 0, result.stdout + result.stderr
    return done


def files_under(folder: Path) -> set[str]:
    """Relative paths of the files under a folder."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}


def test_executables_are_where_ros2_run_and_launch_look(installed: Installed):
    folder = installed.prefix / "lib" / "depth_perception"
    assert {file.name for file in folder.iterdir()} == {script.name for script in SCRIPTS}
    assert all(file.stat().st_mode & 0o777 == 0o755 for file in folder.iterdir())


def test_index_marker_and_shared_files_are_there_to_the_byte(installed: Installed):
    assert (installed.prefix / "share/ament_index/resource_index/packages/depth_perception").is_file()
    share = installed.prefix / "share" / "depth_perception"
    assert (share / "package.xml").read_text() == (ROOT / "package.xml").read_text()
    for folder in SHARED:
        assert files_under(share / folder) == files_under(installed.source / folder)
        for name in files_under(share / folder):
            assert (share / folder / name).read_bytes() == (installed.source / folder / name).read_bytes()


def test_every_module_can_be_found_and_the_shipped_model_too(installed: Installed, tmp_path: Path):
    code = "import depth_perception, depth_perception.model as m; print(depth_perception.__file__); print(m.share_directory(), m.shipped())"
    result = installed.run("python3", "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    module, share = result.stdout.splitlines()
    package = Path(module).parent
    assert files_under(package) == files_under(installed.source / "depth_perception")
    place = Path(share.split()[0])
    assert (place / "models" / "student" / "manifest.json").is_file()
    if (package.parent / "package.xml").is_file():  # --symlink-install: the checkout itself is used
        assert package.resolve() == installed.source / "depth_perception"
    else:
        assert package.is_relative_to(installed.prefix)
        assert place == installed.prefix / "share" / "depth_perception"


def test_a_bad_parameter_is_one_sentence_and_exit_2(installed: Installed, tmp_path: Path):
    pytest.importorskip("rclpy")
    drive = installed.prefix / "lib" / "depth_perception" / "drive"
    result = installed.run(str(drive), "--ros-args", "-p", "depth.max_depth_m:=-1.0", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "depth.max_depth_m" in result.stderr
    assert "Traceback" not in result.stderr


def test_symlink_install_links_to_the_source(installed: Installed):
    scripts = installed.prefix / "lib" / "depth_perception"
    shared = installed.prefix / "share" / "depth_perception"
    files = [*scripts.iterdir(), shared / "launch" / "drive.launch.py", shared / "config" / "drive.yaml"]
    linked = {file.resolve().is_relative_to(installed.source) for file in files}
    assert linked == {installed.setup is not None and (scripts / "drive").is_symlink()}


def test_without_ament_prefix_path_the_interpreter_s_own_prefix_is_searched(installed: Installed, tmp_path: Path):
    if installed.setup is not None:
        pytest.skip("colcon's setup files set AMENT_PREFIX_PATH")
    code = f"import os, sys; sys.prefix = {str(installed.prefix)!r}; del os.environ['AMENT_PREFIX_PATH']"
    result = installed.run("python3", "-c", f"{code}; import depth_perception.model as m; print(m.share_directory())", cwd=tmp_path)
    assert result.stdout.strip() == str(installed.prefix / "share" / "depth_perception"), result.stderr


def test_the_contract_s_executables_are_there():
    assert {script.name for script in SCRIPTS} == EXECUTABLES


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_executable_calls_the_main_of_its_name(script: Path):
    assert script.stat().st_mode & 0o777 == 0o755
    assert script.read_text().splitlines()[0] == "#!/usr/bin/env python3"
    imported = {(node.module, alias.name) for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)
                for alias in node.names}  # fmt: skip
    assert (f"depth_perception.nodes.{script.name}", "main") in imported
    module = ast.parse((ROOT / "depth_perception" / "nodes" / f"{script.name}.py").read_text())
    assert "main" in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
