"""nodes.transport: the profile under the names that the installed Fast DDS reads; the user's own stays."""

import pytest

from depth_perception.nodes import transport

NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.fixture(params=[("fastrtps", {NEW, OLD}), ("fastdds", {NEW})], ids=["before Kilted", "since Kilted"])
def installed(request, tmp_path, monkeypatch):
    """The names that a ROS installation's Fast DDS wants, with that installation sourced and no profile set."""
    package, names = request.param
    (tmp_path / "share" / package).mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    monkeypatch.setattr("sys.prefix", "/nowhere")
    for name in (NEW, OLD):
        monkeypatch.delenv(name, raising=False)
    return names


@pytest.mark.parametrize(("loopback", "file"), [(True, "fastdds_loopback.xml"), (False, "fastdds.xml")])
def test_the_profile_is_set_under_the_names_that_are_read(installed, loopback, file):
    env = transport.environment(loopback=loopback, domain=7)
    assert {name for name in (NEW, OLD) if name in env} == installed
    assert all(env[name].endswith(f"/config/{file}") for name in installed)
    assert env["ROS_DOMAIN_ID"] == "7"


def test_the_user_s_own_profile_stays(installed, monkeypatch):
    for name in installed:
        monkeypatch.setenv(name, "/mine.xml")
    env = transport.environment(loopback=False)
    assert {env[name] for name in installed} == {"/mine.xml"}
