"""Work in other processes: in order, once each, the same as in one; a Dask cluster of four workers, one of which is killed in every test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cifs
import conftest
import numpy as np
import pytest

from xrdmatch.cli import pool
from xrdmatch.errors import LibraryError, XrdMatchError
from xrdmatch.library.build import Told, build
from xrdmatch.search.options import SearchOptions
from xrdmatch.system import parallel
from xrdmatch.system.parallel import Workers, ordered
from xrdmatch.training.augmentation import PhysicsOptions, write_physics

LOCALHOST = "127.0.0.1"


def prepared(job):
    return job


def noted(job, item):
    """The item's square, and a line that says who computed it."""
    with Path(job, str(os.getpid())).open("a") as stream:
        stream.write(f"{item}\n")
    time.sleep(0.01)
    return item**2


def said(folder):
    return {int(path.name): [int(line) for line in path.read_text().split()] for path in Path(folder).iterdir()}


def never_ready(job):
    raise LibraryError("nothing to load")


def refuses(job, item):
    if item == 3:
        raise ValueError("three")
    return item


@pytest.mark.parametrize("jobs", [1, 2])
def test_in_order_and_once(tmp_path, jobs):
    taken = []

    def items():
        for number in range(60):
            taken.append(number)
            yield number

    results = ordered(noted, items(), Workers(jobs), str(tmp_path), prepared, batch=2)
    assert next(results) == 0
    assert len(taken) <= 1 if jobs == 1 else len(taken) <= 2 * parallel.AHEAD * jobs  # memory stays flat
    assert list(results) == [number**2 for number in range(1, 60)]
    assert Counter(item for lines in said(tmp_path).values() for item in lines) == Counter(range(60))
    assert (os.getpid() in said(tmp_path)) == (jobs == 1)


def test_what_the_function_raises_comes_through():
    results = ordered(refuses, range(9), Workers(2))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


@pytest.mark.parametrize("jobs", [1, 2])
def test_why_a_worker_cannot_begin_comes_through(jobs):
    with pytest.raises(LibraryError, match="nothing to load"):
        list(ordered(refuses, range(9), Workers(jobs), None, never_ready))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_process_is_said(tmp_path):
    results = ordered(noted, range(100), Workers(2), str(tmp_path), batch=2)
    next(results)
    os.kill(next(iter(said(tmp_path))), signal.SIGKILL)
    with pytest.raises(XrdMatchError, match="killed"):
        list(results)


def test_the_threads_of_the_environment_come_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert list(ordered(refuses, range(2), Workers(2))) == [0, 1]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(XrdMatchError, match=r'distributed.*pip install distributed, .*: pip install "\.\[cluster\]"'):
        list(ordered(refuses, range(2), Workers(2, "local")))


def test_another_version_on_a_worker():
    with pytest.raises(XrdMatchError, match="install the same"):
        parallel._work_there(parallel._Task(refuses, None, None), [1], "0.0.1")


def xrdmatch(*words, folder=None):
    return subprocess.run([sys.executable, "-m", "xrdmatch", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("word", ["foo", "tcp://host", "localhost", "tcp://:8786"])
def test_an_unlikely_address(word):
    done = xrdmatch("simulate", "docs", "-o", "out.h5", "--scheduler", word)
    assert done.returncode == 2
    assert "tcp://HOST:PORT" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
class TestCluster:
    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls):
        distributed = pytest.importorskip("distributed", reason="needs the cluster extra")
        with distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, memory_limit=None, dashboard_address=None, silence_logs="CRITICAL", host=LOCALHOST
        ) as started:
            yield started

    @pytest.fixture
    def four(self, cluster):
        """The cluster with all its workers there again."""
        with cluster.get_client() as client:
            client.wait_for_workers(4, timeout=60)
            return Workers(1, cluster.scheduler_address)

    @pytest.fixture
    def kill(self, cluster):
        """Kills a worker that works or holds results, once; called again where there is none yet. It has to have happened in the end."""
        killed = []

        def act(*_):
            if not killed:
                with cluster.get_client() as client:
                    loaded = [address for keys in (client.processing(), client.has_what()) for address, held in keys.items() if held]
                    killed.extend(client.run(os.getpid, workers=loaded[:1]).values() if loaded else [])
                for process in killed:
                    os.kill(process, signal.SIGKILL)

        yield act
        assert len(killed) == 1

    def test_any_work(self, four, kill, tmp_path, monkeypatch):
        monkeypatch.setattr(parallel, "FEWEST", 4)
        results = ordered(noted, range(800), four, str(tmp_path), prepared, batch=4)
        first = [next(results) for _ in range(40)]
        kill()
        assert first + list(results) == [number**2 for number in range(800)]
        lines = said(tmp_path)
        assert len(lines) >= 4
        assert {item for items in lines.values() for item in items} == set(range(800))

    def test_simulate(self, four, kill, tmp_path, monkeypatch):
        monkeypatch.setattr("xrdmatch.library.build._BATCH", 2)
        monkeypatch.setattr(parallel, "FEWEST", 2)
        rng = np.random.default_rng(0)
        atoms = [f"C{i} C {x:.4f} {y:.4f} {z:.4f}" for i, (x, y, z) in enumerate(rng.random((60, 3)))]
        (tmp_path / "cifs").mkdir()
        for number in range(80):
            (tmp_path / "cifs" / f"S{number}.cif").write_text(cifs.cif(atoms, (18 + 0.1 * number, 16, 17, 90, 90, 90)))
        (tmp_path / "cifs" / "S33.cif").write_text("<html></html>")
        build([tmp_path / "cifs"], tmp_path / "one.h5")
        _, report = build([tmp_path / "cifs"], tmp_path / "four.h5", Workers(1, four.scheduler), told=Told(kill))
        assert report.done == 79
        assert [name for name, _ in report.failed] == ["S33.cif"]
        assert (tmp_path / "four.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()

    def test_augment(self, four, kill, library, tmp_path, monkeypatch):
        monkeypatch.setattr(parallel, "FEWEST", 2)
        rows = np.arange(160) % len(library)
        for name, options in {"one": {}, "four": {"workers": four, "progress": kill}}.items():
            write_physics(library, rows, tmp_path / f"{name}.h5", PhysicsOptions(copies=8), **options)
        assert (tmp_path / "four.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()

    def test_identify(self, four, kill, tiny_model, library, tmp_path, monkeypatch):
        monkeypatch.setattr(parallel, "FEWEST", 1)
        for row in range(5):
            conftest.write_scan(tmp_path / f"{row}.xy", library, row)
        (tmp_path / "5.xy").write_text("no numbers\n")
        files = [(str(tmp_path / f"{number % 6}.xy"), "") for number in range(40)]
        job = pool.Job(str(tiny_model), SearchOptions())
        wanted = [answer.to_json() for answer in pool.answers(files, Workers(1), job)]
        found = []
        for answer in pool.answers(files, four, job):
            found.append(answer.to_json())
            kill()
        for answer in wanted + found:
            del answer["seconds"]
        assert found == wanted

    def test_the_command(self, four, tiny_model, library, tmp_path):
        """Paths are those of the command, though the workers were started in another folder."""
        (tmp_path / "scans").mkdir()
        for row in range(3):
            conftest.write_scan(tmp_path / "scans" / f"{row}.xy", library, row)
        (tmp_path / "scans" / "broken.xy").write_text("no numbers\n")
        answers = []
        for options in (["--jobs", 1], ["--scheduler", four.scheduler]):
            done = xrdmatch("identify", "scans", "-m", os.path.relpath(tiny_model, tmp_path), "-f", "json", *options, folder=tmp_path)
            assert done.returncode == 1, done.stderr
            assert "Traceback" not in done.stderr
            answers.append([{**json.loads(line), "seconds": 0} for line in done.stdout.splitlines()])
        assert answers[0] == answers[1]
        assert [answer["file"] for answer in answers[0]] == [f"scans/{name}.xy" for name in (0, 1, 2, "broken")]


class TestNoCluster:
    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch):
        pytest.importorskip("distributed", reason="needs the cluster extra")
        monkeypatch.setattr(parallel, "ANSWER", 0.5)
        monkeypatch.setattr(parallel, "ARRIVE", 0.5)

    def test_nobody_answers(self):
        with pytest.raises(XrdMatchError, match="no Dask scheduler answers"):
            list(ordered(refuses, range(2), Workers(1, f"tcp://{LOCALHOST}:9")))

    def test_no_workers_come(self):
        from distributed import LocalCluster

        with LocalCluster(n_workers=0, dashboard_address=None, host=LOCALHOST) as cluster, pytest.raises(XrdMatchError, match="no workers"):
            list(ordered(refuses, range(2), Workers(1, cluster.scheduler_address)))

    def test_a_local_one(self):
        assert list(ordered(refuses, range(3), Workers(2, "local"))) == [0, 1, 2]
