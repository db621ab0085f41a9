"""What DDS needs to carry images: the shipped Fast DDS profile, set before rclpy is imported.

With its defaults Fast DDS loses most 1.4 MB images when best effort; with a 32 MB shared-memory segment, none.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from pathlib import Path

from depth_perception.model import share_directory


def environment(*, loopback: bool, domain: int | None = None) -> dict[str, str]:
    """The process environment for a node of ours: this one's, plus transport profile and discovery range.

    A profile that the user has set already stays. loopback: nothing leaves this machine (tests, demo, benchmarks).
    """
    env = dict(os.environ)
    profile = str(share_directory() / "config" / ("fastdds_loopback.xml" if loopback else "fastdds.xml"))
    for name in profile_variables():
        env.setdefault(name, profile)
    if loopback:
        env["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if domain is not None:
        env["ROS_DOMAIN_ID"] = str(domain)
    return env


def profile_variables() -> tuple[str, ...]:
    """Under which names Fast DDS looks for a profile: fastdds (Kilted and later) complains of the name that fastrtps (before) reads."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    if any((Path(prefix) / "share" / "fastdds").is_dir() for prefix in prefixes if prefix):
        return ("FASTDDS_DEFAULT_PROFILES_FILE",)
    return ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


@functools.cache
def private_domain() -> int:
    """A domain that nobody on this machine uses: runs side by side do not meet, and a replayed bag never speaks into a car's graph."""
    first = os.getpid() % 90
    domains = [10 + (first + i) % 90 for i in range(90)]
    return next((domain for domain in domains if _is_free(domain)), domains[0])


def _is_free(domain: int) -> bool:
    """Whether nobody has the UDP port of the domain's first participant (7400 + 250 * domain + 10, RTPS 9.6.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7410 + 250 * domain))
        except OSError:
            return False
    return True
