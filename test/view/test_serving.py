"""The viewer's page: on the loopback only, with leave to speak to this machine only, and ended with its process."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request

import psutil
import pytest

pytest.importorskip("rerun", reason="needs rerun: pip install 'depth_perception[view]'")

from depth_perception.frame import BadInput
from depth_perception.view.scene import Scene
from depth_perception.view.serving import Recording, Server


@pytest.fixture(scope="module")
def server():
    served = Server(port=0, memory_mb=100)
    yield served
    served.close()


def listening():
    """Addresses that this process and its children listen on."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {each.laddr.ip for process in processes for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}


def test_it_listens_on_the_loopback_only(server):
    assert server.runs
    assert listening() == {"127.0.0.1"}


def test_the_page_is_rerun_s_and_may_speak_to_this_machine_only(server):
    with urllib.request.urlopen(server.url, timeout=10) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "Rerun" in text and "re_viewer.js" in text
    (data,) = urllib.parse.parse_qs(urllib.parse.urlsplit(server.url).query)["url"]
    assert data == server.sink
    allowed = {word for part in policy.split(";") for word in part.split()[1:]}
    hosts = {urllib.parse.urlsplit(word).hostname for word in allowed if "://" in word}
    assert hosts == {"127.0.0.1", "localhost"} and "*" not in policy
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(server.url.partition("?")[0] + "nothing", timeout=10)


def test_what_is_logged_gets_there(server, tmp_path):
    recording = Recording(server=server, file=tmp_path / "drive.rrd")
    Scene(recording.stream).said(1_700_000_000_000_000_000, "INFO", "hello")
    recording.close()  # flush: it raises where the server has not taken it
    assert (tmp_path / "drive.rrd").stat().st_size > 1000


def test_a_port_that_is_taken_is_one_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {taken}: "):
            Server(port=taken, memory_mb=100)


def test_closing_ends_its_process():
    before = {child.pid for child in psutil.Process().children()}
    served = Server(port=0, memory_mb=100)
    assert len({child.pid for child in psutil.Process().children()} - before) == 1
    page = served.url.partition("?")[0]
    served.close()
    assert not served.runs and not {child.pid for child in psutil.Process().children()} - before
    with pytest.raises(OSError):
        urllib.request.urlopen(page, timeout=5)
