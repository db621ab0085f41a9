#!/usr/bin/env bash
# Makes or repairs an environment: pinned wheels of one ROS distribution, the few Debian libraries they need, tf2_msgs.
#   environment/install.sh drive jazzy .venv             what drives and simulates (no torch)
#   environment/install.sh learn kilted .venv-kilted     that, and what trains, tests and lints
# PYTHON names the interpreter (python3.11). `make` calls this only when a requirements file is newer than its stamp.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1 distribution=$2 venv=$3
python=${PYTHON:-python3.11}
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH PYTHONPATH
export PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "environment: $*" >&2; }

missing_debian_packages() {
  local version
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
  "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || echo "$version-dev"
  command -v cmake >/dev/null || echo cmake
  command -v g++ >/dev/null || echo g++
  local library package
  while read -r library package; do
    "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$library" 2>/dev/null || echo "$package"
  done <<'LIBRARIES'
libusb-1.0.so.0 libusb-1.0-0
libgomp.so.1 libgomp1
libGL.so.1 libgl1
libEGL.so.1 libegl1
libX11.so.6 libx11-6
libudev.so.1 libudev1
libidn2.so.0 libidn2-0
LIBRARIES
}

debian_packages() {
  local packages
  packages=$(missing_debian_packages | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "apt-get install $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 ||
      { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null; } ||
      say "apt-get could not install $packages; going on without."
  else
    say "missing Debian packages, please install them: $packages"
  fi
}

virtual_environment() {
  if [ -e "$venv/incomplete" ]; then
    say "the last installation was interrupted; starting over"
    rm -rf "$venv"
  elif [ -d "$venv" ] && ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "$venv has no working Python; starting over"
    rm -rf "$venv"
  fi
  [ -d "$venv" ] || "$python" -m venv "$venv"
}

install_wheels() {
  touch "$venv/incomplete"
  "$venv/bin/python" -m pip install -qq -r requirements/drive.txt -r "requirements/ros-$distribution.txt" "$@" # errors only
  rm "$venv/incomplete"
}

tf2_messages() {
  "$venv/bin/python" -c 'from tf2_msgs.msg import TFMessage' 2>/dev/null && return 0
  environment/tf2_msgs.sh "$venv" || {
    say "tf2_msgs was not built (it needs cmake, g++ and Python's headers): no TF; give extrinsics as parameters."
    return 1
  }
}

debian_packages
virtual_environment
say "installing what is needed to $what on ROS 2 $distribution into $venv"
case $what in
  drive)
    install_wheels
    tf2_messages && touch "$venv/drive.stamp" || true # without it, the next run tries again
    ;;
  learn)
    install_wheels -r requirements/learn.txt
    { [ -e "$venv/drive.stamp" ] || tf2_messages; } && touch "$venv/drive.stamp" || true # an interrupted run had started over
    touch "$venv/learn.stamp"
    ;;
  *)
    say "drive or learn, not $what"
    exit 2
    ;;
esac
