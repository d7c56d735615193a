"""serve as a process of its own: a hundred scans by two browsers at once, broken connections, Ctrl-C, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest
from commands import in_subprocess

pytest.importorskip("starlette", reason="serve needs the serve extra")
pytest.importorskip("uvicorn", reason="serve needs the serve extra")


class Server:
    """A running `xrdmatch serve` and what it printed."""

    def __init__(self, process):
        self.process = process
        self.address = process.stdout.readline().strip()
        parts = urlsplit(self.address)
        self.origin, self.place = f"{parts.scheme}://{parts.netloc}", (parts.hostname, parts.port)
        self.path = parts.path

    def post(self, place, content, **asked):
        request = Request(f"{self.address}api/{place}?{urlencode(asked)}", content, {"Origin": self.origin})
        try:
            return json.load(urlopen(request, timeout=60))
        except HTTPError as error:
            return json.load(error)

    def get(self, place):
        return urlopen(self.address + place, timeout=60).read().decode()

    def when_done(self):
        end = time.monotonic() + 240
        while (state := json.loads(self.get("api/state")))["counts"]["done"] < state["counts"]["all"]:
            assert time.monotonic() < end, "the scans are not done"
            time.sleep(0.1)
        return state

    def ended(self, number):
        """Exit code and standard error after a signal."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@contextmanager
def serving(tmp_path, model, *options):
    (tmp_path / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "xrdmatch", "serve", "--no-browser", "--jobs", "1", "--device", "cpu", "-m", str(model), *map(str, options)]
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


def left(tmp_path):
    """What is in the temporary folder, but for a mark that onnxruntime leaves."""
    return [path.name for path in (tmp_path / "tmp").iterdir() if path.name != ".ses"]


def test_a_hundred_scans_by_two_browsers_then_ctrl_c(tmp_path, tiny_model, scans):
    contents = [(scans / name).read_bytes() for name in ("a.xy", "b.xy")]
    with serving(tmp_path, tiny_model, "--keep", tmp_path / "kept") as server:

        def drops(who):
            for number in range(50):
                assert "number" in server.post("scans", contents[who], name=f"{who}/{number}.xy")

        browsers = [threading.Thread(target=drops, args=(who,)) for who in (0, 1)]
        for browser in browsers:
            browser.start()
        for browser in browsers:
            browser.join()
        state = server.when_done()
        assert state["counts"]["all"] == 100
        assert len(left(tmp_path)) == 1
        lines = [json.loads(line) for line in server.get("files/results.jsonl").splitlines()]
        code, err = server.ended(signal.SIGINT)
    assert code == 0
    assert {line["file"] for line in lines} == {f"{who}/{number}.xy" for who in (0, 1) for number in range(50)}
    for who in (0, 1):
        (same,) = {json.dumps({**line, "file": "", "seconds": 0}) for line in lines if line["file"].startswith(f"{who}/")}
        assert json.loads(same)["verdict"] == "match"
    assert left(tmp_path) == []
    assert "Traceback" not in err
    assert [json.loads(line) for line in (tmp_path / "kept" / "results.jsonl").read_text().splitlines()] == lines
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["report.html", "results.csv", "results.jsonl"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_kept_when_it_ends_at_work(tmp_path, tiny_model, scans, number):
    with serving(tmp_path, tiny_model) as server:
        for scan in range(30):
            server.post("scans", (scans / "a.xy").read_bytes(), name=f"{scan}.xy")
        code, err = server.ended(number)
    assert code == 0
    assert left(tmp_path) == []
    assert "Traceback" not in err


def upload(server, name):
    return [f"POST {server.path}api/scans?name={name} HTTP/1.1", f"Host: {server.origin.removeprefix('http://')}", f"Origin: {server.origin}"]


def connected(server, head, body=b""):
    made = socket.create_connection(server.place, timeout=60)
    made.sendall("\r\n".join([*head, "", ""]).encode() + body)
    return made


def test_connections_that_break_off_or_stall_stop_nobody(tmp_path, tiny_model, scans):
    with serving(tmp_path, tiny_model) as server:
        head = [*upload(server, "half.xy"), "Content-Length: 100000"]
        connected(server, head, b"5.0 10\n").close()
        stalled = [connected(server, head, b"5.0 10\n") for _ in range(20)]
        server.post("scans", (scans / "a.xy").read_bytes(), name="whole.xy")
        assert [scan["name"] for scan in server.when_done()["scans"]] == ["whole.xy"]
        for one in stalled:
            one.close()
        end = time.monotonic() + 60
        while any("half.xy" in names for _, _, names in os.walk(tmp_path / "tmp")):
            assert time.monotonic() < end, "what was broken off is still there"
            time.sleep(0.05)
        code, err = server.ended(signal.SIGINT)
    assert (code, left(tmp_path)) == (0, [])
    assert "Traceback" not in err


def test_a_huge_file_is_refused_and_the_server_goes_on(tmp_path, tiny_model, scans):
    with serving(tmp_path, tiny_model, "--max-size", "1", "--max-scans", "1") as server:
        with connected(server, [*upload(server, "huge.xy"), "Content-Length: 900000000000"]) as huge:
            assert b" 413 " in huge.recv(10_000).splitlines()[0]
        assert "number" in server.post("scans", (scans / "a.xy").read_bytes(), name="a.xy")
        assert "no more fit" in server.post("scans", b"1 1\n", name="b.xy")["error"]
        server.when_done()
        assert server.ended(signal.SIGINT)[0] == 0


def test_only_this_machine_reaches_it(tmp_path, tiny_model):
    with serving(tmp_path, tiny_model) as server:
        assert server.place[0] == "127.0.0.1"
        inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inner:
            inner.connect(("192.0.2.1", 9))  # sends nothing; tells our address on the network
            outer = inner.getsockname()[0]
        if not outer.startswith("127."):
            with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
                socket.create_connection((outer, server.place[1]), timeout=5)
        assert len(server.path.strip("/")) >= 32
        assert server.ended(signal.SIGINT)[0] == 0


def test_a_port_that_is_taken_and_a_model_that_is_none_are_told(tmp_path, tiny_model):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = in_subprocess("serve", "--no-browser", "--port", port, "-m", tiny_model, "--device", "cpu")
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"port {port} cannot be used".encode() in done.stderr
    done = in_subprocess("serve", "--no-browser", "-m", tmp_path / "none")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path, tiny_model):
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('none', name='starlette')\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = in_subprocess("serve", "--no-browser", "-m", tiny_model, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 1
    assert b"starlette uvicorn" in done.stderr
    assert len(done.stderr.decode().strip().splitlines()) == 1


def test_keep_takes_a_folder(tmp_path, tiny_model):
    (tmp_path / "file").touch()
    done = in_subprocess("serve", "--no-browser", "-m", tiny_model, "--keep", tmp_path / "file")
    assert done.returncode == 2
    assert b"give a folder" in done.stderr
