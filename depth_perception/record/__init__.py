"""Recording: bytes in, bag out, no decoding.

config        what can be asked of a recorder
recording     the queue and the thread: everything, the last gigabytes, or what was around a trigger
split_bag     a rosbag2 directory, one file after another; kept: what each file begins with
mcap_file     one file; metadata: metadata.yaml
triggers      what is worth a snapshot
pace, health  what came, what is missing, how long the disk lasts
repair        finishes what a killed recorder left
"""

from depth_perception.record.config import Config
from depth_perception.record.recording import FOREVER, Counts, Recording
from depth_perception.record.repair import repair

__all__ = ["FOREVER", "Config", "Counts", "Recording", "repair"]
