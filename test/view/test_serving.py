"""The viewer's page: on the loopback only, with leave to speak to this machine only, and ended with its process."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
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


def test_no_proxy_stands_between_this_machine_and_itself(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(server.url, timeout=10) as answer:
        assert "Rerun" in answer.read().decode()


def test_the_page_reads_from_the_next_port():
    for port in range(20_011, 20_111, 2):  # below those that the system gives away
        with contextlib.suppress(BadInput):
            served = Server(port=port, memory_mb=100)
            break
    served.close()
    assert served.url.startswith(f"http://127.0.0.1:{port}/") and served.sink == f"rerun+http://127.0.0.1:{port + 1}/proxy"


def test_a_recording_is_finished_without_its_server(tmp_path):
    served = Server(port=0, memory_mb=100)
    recording = Recording(server=served, file=tmp_path / "drive.rrd")
    served.close()
    Scene(recording.stream).said(1_700_000_000_000_000_000, "INFO", "hello")
    recording.close()
    assert [each.name for each in tmp_path.iterdir()] == ["drive.rrd"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_server_does_not_outlive_a_process_that_is_killed():
    program = ("import time\nfrom depth_perception.view.serving import Server\n"
               "Server(port=0, memory_mb=100)\nprint(flush=True)\ntime.sleep(99)")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None and parent.stdout.readline() == b"\n"
            children = psutil.Process(parent.pid).children(recursive=True)
        finally:
            parent.send_signal(signal.SIGKILL)
    assert children and not psutil.wait_procs(children, timeout=20)[1]


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
