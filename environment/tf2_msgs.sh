#!/usr/bin/env bash
# Builds tf2_msgs (its one message, TFMessage) and installs it into a virtual environment that holds the ROS wheels:
# the package registry does not have it, and without it no TF crosses DDS.
#   environment/tf2_msgs.sh VENV      needs cmake, g++ and the wheels of requirements/ros-DISTRIBUTION.txt
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "$1" && pwd)
python=$venv/bin/python
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH PYTHONPATH

# The wheels' CMake files name the include directories of the machine that built them: make them this Python's.
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
numpy=$("$python" -c 'import numpy; print(numpy.get_include())')
[ -f "$headers/Python.h" ] || { echo "tf2_msgs needs Python's headers ($headers/Python.h)" >&2; exit 1; }
{ grep -rlE --include='*.cmake' '/opt/python/cp' "$venv/share" || true; } | xargs --no-run-if-empty sed -i -E \
  -e "s#/opt/python/cp[^/]+/lib/python[^/]+/site-packages/numpy/[^;\"]*include#$numpy#g" \
  -e "s#/opt/python/cp[^/]+/include/python3[.0-9]*#$headers#g"

export AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv PATH=$venv/bin:$PATH
cmake -S "$here/tf2_msgs" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
  -DPython3_EXECUTABLE="$python" -DCMAKE_INSTALL_PREFIX="$venv" >"$build/log" 2>&1 &&
  cmake --build "$build" --parallel 2 >>"$build/log" 2>&1 &&
  cmake --install "$build" >>"$build/log" 2>&1 || { tail -n 20 "$build/log" >&2; exit 1; }
"$python" -c 'from tf2_msgs.msg import TFMessage'
