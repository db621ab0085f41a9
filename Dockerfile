# ROS 2 Jazzy with this package, built by colcon: for driving, recording and playing. Training needs `make environment` instead (no torch here).
#   docker build -t depth_perception .
#   docker run --rm --net=host --ipc=host depth_perception ros2 launch depth_perception drive.launch.py image:=/camera/image_raw
# Not built where it was written, which has no Docker. What can be checked without it is: test/docs/test_shell.py.
FROM ros:jazzy-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-colcon-common-extensions python3-numpy python3-opencv python3-pip python3-psutil python3-tqdm python3-yaml \
        ros-jazzy-rmw-fastrtps-cpp ros-jazzy-vision-msgs \
    && rm -rf /var/lib/apt/lists/*

# What rosdep has no key for. Ubuntu's Python is the one that ROS uses, hence no virtual environment; its messages are built for NumPy 1.
RUN python3 -m pip install --break-system-packages --no-cache-dir 'numpy<2' onnxruntime rosbags lz4

WORKDIR /workspace
COPY package.xml setup.py setup.cfg src/depth_perception/
COPY resource src/depth_perception/resource
COPY launch src/depth_perception/launch
COPY scripts src/depth_perception/scripts
COPY config src/depth_perception/config
COPY models src/depth_perception/models
COPY depth_perception src/depth_perception/depth_perception

RUN . /opt/ros/jazzy/setup.sh && colcon build --packages-select depth_perception --event-handlers console_direct+

# /ros_entrypoint.sh sources ROS, and this workspace after it.
RUN sed -i 's|^exec |source /workspace/install/setup.bash\nexec |' /ros_entrypoint.sh
ENV FASTRTPS_DEFAULT_PROFILES_FILE=/workspace/install/depth_perception/share/depth_perception/config/fastdds.xml
CMD ["ros2", "launch", "depth_perception", "drive.launch.py"]
