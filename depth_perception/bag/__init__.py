"""rosbag2 in and out: sqlite3 and mcap, split files, compression, cut files; frames in constant memory."""

from depth_perception.bag.frames import FrameReader, frames
from depth_perception.bag.messages import TYPES
from depth_perception.bag.reader import Bag
from depth_perception.bag.topics import Topics, guess_topics
from depth_perception.bag.writer import Writer

__all__ = ["TYPES", "Bag", "FrameReader", "Topics", "Writer", "frames", "guess_topics"]
