# make demo    a drive (simulated, or BAG=path) through all nodes over DDS; summary, pictures and report in out/demo
# make test    the whole suite          make lint    ruff and types          make bench    benchmarks, JSON in out/bench
# Each makes or repairs .venv first, from nothing but Python 3.11 and the package registries.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SECONDS = 8
TESTS = test

# A sourced ROS installation, or another environment of ROS wheels, must not leak into .venv.
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: demo test lint bench environment clean
.DELETE_ON_ERROR:

demo: .venv/drive.stamp
	.venv/bin/python -m depth_perception demo --out out/demo $(if $(BAG),--bag "$(BAG)",--seconds $(SECONDS))

test: .venv/learn.stamp
	.venv/bin/python -m pytest $(TESTS)

lint: .venv/learn.stamp
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy

bench: .venv/drive.stamp
	.venv/bin/python -m depth_perception bench --out out/bench

environment: .venv/learn.stamp

.venv/drive.stamp: requirements/drive.txt requirements/build.txt environment/install.sh environment/tf2_msgs.sh
	PYTHON="$(PYTHON)" environment/install.sh drive

.venv/learn.stamp: requirements/learn.txt .venv/drive.stamp
	PYTHON="$(PYTHON)" environment/install.sh learn

clean:
	rm -rf .venv out build install log *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
