"""What DDS needs to carry images: the shipped Fast DDS profile, set before rclpy is imported.

With its defaults Fast DDS loses most 1.4 MB images when best effort; with a 32 MB shared-memory segment, none.
"""

from __future__ import annotations

import os

from depth_perception.model import share_directory


def environment(*, loopback: bool, domain: int | None = None) -> dict[str, str]:
    """The process environment for a node of ours: this one's, plus transport profile and discovery range.

    A profile that the user has set already stays. loopback: nothing leaves this machine (tests, demo, benchmarks).
    """
    env = dict(os.environ)
    profile = str(share_directory() / "config" / ("fastdds_loopback.xml" if loopback else "fastdds.xml"))
    env.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", profile)
    env.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", profile)  # the name before Kilted
    if loopback:
        env["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if domain is not None:
        env["ROS_DOMAIN_ID"] = str(domain)
    return env


def private_domain() -> int:
    """A domain id of this process's own: runs side by side do not meet, and a replayed bag never speaks into a car's live graph."""
    return 10 + os.getpid() % 90
