# make demo    a drive (simulated, or BAG=path) through all nodes over DDS; summary, pictures and report in out/demo
# make test    the whole suite          make lint    ruff and types          make bench    benchmarks, JSON in out/bench
#              ROS=kilted for any of these: ROS 2 Kilted in .venv-kilted instead of Jazzy in .venv
# make test-pure    the tests of what needs neither ROS nor torch, on any PYTHON=python3.10 to python3.13
# Each makes or repairs its environment first, from nothing but Python and the package registries.
ROS = jazzy
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SECONDS = 8
TESTS = test

VENV = .venv$(if $(filter-out jazzy,$(ROS)),-$(ROS))
PURE_VENV = .venv-pure-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# A tool that is missing would skip these; here nothing of them is even collected, so that nothing else skips in silence.
IMPURE = nodes launch networks losses train world export view bench docs test_export.py test_samples.py test_real_drive.py
SUPPLY = requirements/ros-$(ROS).txt environment/install.sh environment/tf2_msgs.sh

$(if $(wildcard requirements/ros-$(ROS).txt),,$(error ROS=$(ROS): wanted $(patsubst requirements/ros-%.txt,%,$(wildcard requirements/ros-*.txt))))

# A sourced ROS installation, or another environment of ROS wheels, must not leak into ours.
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: demo test test-pure lint docs bench bench-learn environment clean
.DELETE_ON_ERROR:

demo: $(VENV)/drive.stamp
	$(VENV)/bin/python -m depth_perception demo --out out/demo $(if $(BAG),--bag "$(BAG)",--seconds $(SECONDS))

test: $(VENV)/learn.stamp
	$(VENV)/bin/python -m pytest $(TESTS)

test-pure: $(PURE_VENV)/pure.stamp
	$(PURE_VENV)/bin/python -m pytest $(TESTS) $(IMPURE:%=--ignore=test/%)

lint: $(VENV)/learn.stamp
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy

# The same pages as a site, in out/site.
docs: $(VENV)/learn.stamp
	$(VENV)/bin/python -m mkdocs build --strict --site-dir out/site

# A row that fails, a soak that does not hold and a broken floor end it with an error, after all the others have run. The gate's code 2, a
# target that is missed so far, does not: the gate says which.
bench: $(VENV)/drive.stamp
	$(VENV)/bin/python -m depth_perception bench --out out/bench
	$(VENV)/bin/python -m bench.record --rates 110 --seconds 60 --out out/bench
	$(VENV)/bin/python -m bench.record --rates 60 --seconds 6 --kill 20 --cut 20 --out out/bench/killed
	$(VENV)/bin/python -m bench.chain --out out/bench; chained=$$?; \
	$(VENV)/bin/python -m bench.soak --minutes 10 --cycles 100 --out out/bench; soaked=$$?; \
	$(VENV)/bin/python -m bench.gate out/bench/chain.json; gated=$$?; \
	if [ $$gated -eq 2 ]; then gated=0; fi; \
	exit $$((gated ? gated : soaked ? soaked : chained))

bench-learn: $(VENV)/learn.stamp
	$(VENV)/bin/python -m bench.batches --out out/bench

environment: $(VENV)/learn.stamp

$(VENV)/drive.stamp: requirements/drive.txt $(SUPPLY)
	PYTHON="$(PYTHON)" environment/install.sh drive "$(ROS)" "$(VENV)"

$(VENV)/learn.stamp: requirements/learn.txt $(VENV)/drive.stamp
	PYTHON="$(PYTHON)" environment/install.sh learn "$(ROS)" "$(VENV)"

# The pins are Python 3.11's; other versions take what setup.py allows.
$(PURE_VENV)/pure.stamp: setup.py
	"$(PYTHON)" -m venv --clear $(PURE_VENV)
	$(PURE_VENV)/bin/python -m pip install -qq --editable . pytest hypothesis mcap onnx 'setuptools<80' wheel
	touch $@

clean:
	rm -rf .venv .venv-* out build install log *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
