"""The page of serve: who may ask, what it takes, what it answers, and that this is what the command line answers."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile

import cifs
import pytest
from commands import EVIL
from conftest import write_scan

pytest.importorskip("starlette", reason="serve needs the serve extra")
pytest.importorskip("httpx2", reason="Starlette's test client needs httpx2")

from starlette.testclient import TestClient

from xrdmatch.serve.answering import beginning
from xrdmatch.serve.app import application
from xrdmatch.serve.guard import HEADERS
from xrdmatch.serve.settings import Limits
from xrdmatch.serve.work import WorkQueue
from xrdmatch.serve.workspace import Workspace, safe_name

TOKEN, HOST = "a-token", "127.0.0.1:8123"
ORIGIN = {"origin": f"http://{HOST}"}
LIMITS = Limits(file_bytes=200_000, scans=6, all_bytes=600_000, structures=2)
OWN = cifs.cif(["Zn1 Zn 0 0 0", "O1 O 0.2 0 0", "C1 C 0.3 0.1 0", "C2 C 0.5 0.5 0.1"], (14.1, 14.1, 14.1, 90, 90, 90))
#: What differs from one run to the next.
PASSING = ("seconds", "file", "provider")


class Page:
    """A running page and a browser that was given its address."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.client = TestClient(application(workspace, TOKEN, (HOST,)), base_url=f"http://{HOST}/{TOKEN}/", headers=ORIGIN)

    def drop(self, path, name=None, **settings):
        asked = {"name": name or path.name, "settings": json.dumps(settings)}
        return self.client.post("api/scans", params=asked, content=path.read_bytes())

    def post(self, place, **data):
        return self.client.post(f"api/{place}", json=data)

    def state(self, since=0):
        return self.client.get("api/state", params={"since": since}).json()

    def when_done(self):
        """The state when nothing is being worked on any more."""
        end = time.monotonic() + 120
        while (state := self.state())["counts"]["done"] < state["counts"]["all"]:
            assert time.monotonic() < end, "the scans are not done"
            time.sleep(0.05)
        return state

    def results(self, name="results.jsonl"):
        return [json.loads(line) for line in self.client.get(f"files/{name}").text.splitlines()]


@pytest.fixture(scope="module")
def work(tiny_model):
    queue = WorkQueue(beginning(str(tiny_model), "cpu"), 1)
    yield queue
    queue.close()


class Shared:
    """A queue that outlives the page."""

    def __init__(self, queue):
        self.submit, self.ask = queue.submit, queue.ask

    def close(self): ...


@pytest.fixture
def page(work):
    with Workspace(Shared(work), LIMITS) as workspace:
        yield Page(workspace)


def without(result, names=PASSING):
    return {key: value for key, value in result.items() if key not in names}


# --- The same answers as the command line


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, []),
        ({"wavelength": "Co", "filter": "off"}, ["--wavelength", "Co", "--filter", "off"]),
        ({"elements": "Zn,C,N,O"}, ["--elements", "Zn,C,N,O"]),
        ({"exclude": "Cu"}, ["--exclude", "Cu"]),
        ({"accepted": "HKUST-1"}, ["--accept", "HKUST-1"]),
    ],
)
def test_the_page_and_the_command_line_answer_the_same(page, run, scans, tiny_model, settings, options):
    files = [scans / "a.xy", scans / "b.xy"]
    _, out, _ = run("identify", *files, "-f", "json", "-m", tiny_model, "--device", "cpu", *options)
    for path in files:
        assert page.drop(path, **settings).status_code == 200
    page.when_done()
    assert [without(one) for one in page.results()] == [without(json.loads(line)) for line in out.splitlines()]


def test_the_page_and_check_answer_the_same(page, run, scans, tiny_model):
    files = [scans / "a.xy", scans / "b.xy"]
    _, out, _ = run("check", *files, "--expect", "HKUST-1", "-f", "json", "-m", tiny_model, "--device", "cpu")
    for path in files:
        page.drop(path, expected="HKUST-1")
    state = page.when_done()
    assert [without(one) for one in page.results("checks.jsonl")] == [without(json.loads(line)) for line in out.splitlines()]
    shown = [json.loads(scan["view"])["check"] for scan in state["scans"]]
    assert [check["verdict"] for check in shown] == [one["verdict"] for one in page.results("checks.jsonl")]
    assert any("HKUST-1" in check["title"] for check in shown)


def test_csv_and_report_are_those_of_the_command_line(page, run, scans, tiny_model, tmp_path):
    path, name = scans / "a.xy", str(scans / "a.xy").lstrip("/")
    _, out, _ = run("identify", path, "-f", "csv", "-m", tiny_model, "--device", "cpu", "--html", tmp_path / "report.html")
    page.drop(path, name=name)
    page.when_done()
    assert page.client.get("files/results.csv").text == out.replace(str(path), name)
    assert page.client.get("files/report.html").text == (tmp_path / "report.html").read_text().replace(str(path), name)


def test_an_own_structure_and_add_answer_the_same(page, run, tiny_model, tmp_path):
    (tmp_path / "MINE.cif").write_text(OWN)
    assert run("simulate", tmp_path / "MINE.cif", "-o", tmp_path / "mine.xy")[0] == 0
    shutil.copytree(tiny_model, tmp_path / "model")
    assert run("add", tmp_path / "MINE.cif", "-m", tmp_path / "model")[0] == 0
    _, out, _ = run("identify", tmp_path / "mine.xy", "-f", "json", "-m", tmp_path / "model", "--device", "cpu")
    page.client.post("api/structures", params={"name": "MINE.cif"}, content=OWN.encode())
    page.drop(tmp_path / "mine.xy")
    page.when_done()
    passing = (*PASSING, "model", "notes")  # a file that was just written gets a note
    assert page.results()[0]["matches"][0]["id"] == "MINE"
    assert without(page.results()[0], passing) == without(json.loads(out), passing)


def test_files_for_refinement_and_figures(page, scans):
    pytest.importorskip("matplotlib", reason="figures need the plot extra")
    page.drop(scans / "a.xy", name="one/a.xy")
    page.drop(scans / "a.xy", name="two/a.xy")
    state = page.when_done()
    with zipfile.ZipFile(io.BytesIO(page.client.get("files/refinement.zip").content)) as archive:
        names = archive.namelist()
    assert {"a.xye", "a-2.xye", "a.cell.cif", "a.lines.csv", "a.peaks.csv"} <= set(names)
    number = state["scans"][1]["number"]
    for kind, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        answer = page.client.get(f"files/figure.{kind}", params={"number": number})
        assert answer.content.startswith(start)
        assert f"a.{kind}" in answer.headers["content-disposition"]


# --- What is done on the page


def test_accepting_a_phase_searches_the_rest_and_can_be_undone(page, library, tmp_path):
    write_scan(tmp_path / "a.xy", library, 0, 1)
    page.drop(tmp_path / "a.xy")
    number = page.when_done()["scans"][0]["number"]
    best = page.results()[0]["matches"][0]["id"]
    assert page.post("accept", number=number, accepted=best).status_code == 200
    page.when_done()
    assert (page.results()[0]["accepted"], page.results()[0]["reason_code"]) == ([best], "accepted")
    assert page.post("accept", number=number, accepted="").status_code == 200
    page.when_done()
    assert page.results()[0]["accepted"] == []
    refused = page.post("accept", number=number, accepted="HKUST-99")
    assert (refused.status_code, "HKUST-99" in refused.json()["error"]) == (422, True)
    assert page.post("accept", number=10**6, accepted=best).status_code == 422


def test_all_are_searched_again_with_other_settings(page, scans):
    page.drop(scans / "a.xy")
    page.drop(scans / "b.xy")
    page.when_done()
    assert page.post("search", settings={"elements": "Zn,C,N,O,H"}).json() == {"searched": 2}
    page.when_done()
    assert all(set(match["metals"]) <= {"Zn"} for result in page.results() for match in result["matches"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"wavelength": "Unobtainium"}, "wavelength"),
        ({"elements": "Zn,Qq"}, "Qq"),
        ({"exclude": "Qq"}, "without"),
        ({"expected": "HKUST-99"}, "HKUST-99"),
        ({"elements": "He"}, "elements"),
        ({"filter": "strong"}, "filter"),
        ({"wishes": "three"}, "wishes"),
        ({"elements": ["Zn"]}, "text"),
        ({"elements": "Zn," * 400}, "500"),
        ({"expected": "+".join("abcdefghij")}, "at most"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_sent(page, settings, said):
    answer = page.client.post("api/settings", json=settings)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_an_own_structure_is_searched_beside_the_library_while_the_page_is_there(page, tmp_path, scans, tiny_model):
    (tmp_path / "MINE.cif").write_text(OWN)
    before = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    answer = page.client.post("api/structures", params={"name": "MINE.cif"}, content=OWN.encode())
    assert answer.json() == {"ids": ["MINE"]}
    assert [own["ids"] for own in page.state()["structures"]] == [["MINE"]]
    assert page.client.post("api/settings", json={"expected": "MINE"}).status_code == 200
    page.drop(scans / "a.xy", accepted="MINE")
    page.when_done()
    assert page.results()[0]["accepted"] == ["MINE"]
    assert page.client.post("api/structures", params={"name": "MINE.cif"}, content=OWN.encode()).status_code == 422
    assert page.post("remove-structure", name="MINE.cif").status_code == 200
    assert page.state()["structures"] == []
    assert page.client.post("api/settings", json={"expected": "MINE"}).status_code == 422
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == before


def test_what_is_no_structure_is_refused_and_changes_nothing(page, scans):
    for name, content in (("a.cif", b"data_a\n"), ("a.exe", OWN.encode()), ("b.cif", b"")):
        answer = page.client.post("api/structures", params={"name": name}, content=content)
        assert answer.status_code == 422
        assert name.split(".")[0] in answer.json()["error"]
    assert page.state()["structures"] == []
    page.drop(scans / "a.xy")
    page.when_done()
    assert page.results()[0]["verdict"] == "match"


def test_scans_are_removed_with_their_files(page, scans):
    page.drop(scans / "a.xy")
    number = page.when_done()["scans"][0]["number"]
    (kept,) = page.workspace.folder.rglob("a.xy")
    before = page.state()["revision"]
    assert page.post("remove", numbers=[number]).status_code == 200
    assert not kept.exists()
    assert page.state(before)["removed"] == [number]
    assert page.results() == []


def test_of_a_folder_only_scans_are_taken(page, scans):
    for path in sorted(scans.iterdir()):
        page.client.post("api/scans", params={"name": f"scans/{path.name}", "folder": "1"}, content=path.read_bytes())
    state = page.when_done()
    assert [scan["name"] for scan in state["scans"]] == ["scans/a.xy", "scans/b.xy"]
    assert state["passed"] == {"number": 1, "names": ["scans/notes.doc"]}


# --- What is broken, hostile or too much


def test_a_broken_file_is_an_answer_and_the_others_go_on(page, scans, tmp_path):
    for name, content in (("broken.raw", b"RAW1.01 but no more"), ("empty.xy", b""), ("notes.doc", b"no scan")):
        (tmp_path / name).write_bytes(content)
        assert page.drop(tmp_path / name).status_code == 200
    page.drop(scans / "a.xy")
    page.when_done()
    assert [result["verdict"] for result in page.results()] == ["error", "error", "error", "match"]
    assert [result["file"] for result in page.results()] == ["broken.raw", "empty.xy", "notes.doc", "a.xy"]


def test_no_answer_holds_a_path_of_this_machine(page, scans, tmp_path):
    (tmp_path / "broken.raw").write_bytes(b"RAW1.01 but no more")
    texts = [page.drop(path).text for path in (scans / "a.xy", tmp_path / "broken.raw")]
    texts += [page.client.post("api/structures", params={"name": "x.cif"}, content=b"data_x").text]
    texts += [page.client.post("api/settings", json={"expected": str(scans / "a.xy")}).text.replace(str(scans / "a.xy"), "")]
    texts += [page.client.post("api/settings", json={"expected": "/etc/hostname.cif"}).text.replace("/etc/hostname.cif", "")]
    page.when_done()
    texts += [json.dumps(page.state()), *(page.client.get(f"files/{name}").text for name in ("results.jsonl", "results.csv", "report.html"))]
    texts += [page.client.get("nowhere").text, page.client.get("api/nowhere").text, page.client.get("page.js").text, page.client.get("").text]
    for text in texts:
        for place in (str(page.workspace.folder), str(tmp_path), "site-packages", "/root", "/home", "xrdmatch-serve-"):
            assert place not in text


def test_a_file_of_this_machine_is_never_read_for_a_name(page, tmp_path):
    """Where check takes the path of a structure file, the page takes names alone."""
    (tmp_path / "secret.cif").write_text(OWN)
    answer = page.client.post("api/settings", json={"expected": str(tmp_path / "secret.cif")})
    assert answer.status_code == 422
    assert "no entry of the library" in answer.json()["error"]


NAMES = ("../../../etc/passwd", "..\\..\\a.xy", "/absolute.xy", "a\0b.xy", "", "..", "x" * 5000 + ".xy", 'a<b>:"|?*.xy', "\u00e4" * 300, "a../b")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_cannot_lead_elsewhere(page, scans, name):
    assert page.drop(scans / "b.xy", name=name or "..").status_code == 200
    (file,) = (path for path in page.workspace.folder.rglob("*") if path.is_file())
    assert file.parent.parent == page.workspace.folder
    shown = page.when_done()["scans"][0]["name"]
    assert shown == safe_name(name)
    assert ".." not in shown.split("/")
    assert not shown.startswith("/")
    assert shown.isprintable()
    assert 0 < len(shown) <= 200


def test_hostile_names_are_text_on_the_page(page, scans):
    page.drop(scans / "a.xy", name=EVIL.replace("/", "-") + ".xy")
    state = page.when_done()
    assert "<script" not in state["scans"][0]["row"]
    assert "<img" not in state["scans"][0]["row"]
    assert "<" not in state["scans"][0]["view"]


def test_what_is_too_large_is_refused_and_not_kept(page, scans):
    large = b"5.0 10\n" * 40_000
    answer = page.client.post("api/scans", params={"name": "large.xy"}, content=large)
    assert (answer.status_code, "larger than 0.2 MB" in answer.json()["error"]) == (413, True)

    def stream():
        for start in range(0, len(large), 50_000):
            yield large[start : start + 50_000]

    assert page.client.post("api/scans", params={"name": "large.xy"}, content=stream()).status_code == 413  # its length is not told
    assert list(page.workspace.folder.rglob("*large*")) == []
    assert page.drop(scans / "a.xy").status_code == 200


def test_too_many_are_refused(page, scans):
    codes = [page.drop(scans / "a.xy", name=f"{number}.xy").status_code for number in range(LIMITS.scans + 2)]
    assert codes == [200] * LIMITS.scans + [413, 413]
    page.when_done()
    page.post("remove", numbers=[page.state()["scans"][0]["number"]])
    assert page.drop(scans / "a.xy").status_code == 200


def test_all_together_are_limited(work, scans):
    size = (scans / "a.xy").stat().st_size
    with Workspace(Shared(work), Limits(all_bytes=int(1.5 * size))) as workspace:
        page = Page(workspace)
        assert [page.drop(scans / "a.xy", name=f"{number}.xy").status_code for number in range(2)] == [200, 413]


def test_requests_that_are_no_files_are_small_and_whole(page):
    for content in (b"", b"[]", b"nonsense", b'{"numbers": [true]}', b'{"numbers": "all"}', b"{" + b" " * 200_000 + b"}"):
        answer = page.client.post("api/remove", content=content)
        assert answer.status_code == 422
        assert answer.json()["error"]
    assert page.client.post("api/scans", params={"name": "a.xy", "settings": "nonsense"}, content=b"1").status_code == 422
    assert page.client.get("api/state", params={"since": "9" * 400}).status_code == 200


# --- Who may ask


@pytest.mark.parametrize("path", ["", "/", "/wrong/", "/wrong/api/state", f"/{TOKEN}", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/api/state", f"//{TOKEN}/"])
def test_without_the_token_there_is_nothing(page, path):
    answer = page.client.get(f"http://{HOST}{path}")
    assert answer.status_code == 404
    assert "xrdmatch" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:9999", "localhost.evil.example:8123", "", f"{HOST}.evil.example"])
def test_another_host_name_is_refused(page, host):
    """A name of another site that leads to this machine: DNS rebinding."""
    assert page.client.get("api/state", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", f"https://{HOST}", "http://127.0.0.1:9999", f"http://{HOST}.evil.example"])
def test_what_another_page_sends_is_refused(page, scans, origin):
    answer = page.client.post("api/scans", params={"name": "a.xy"}, content=(scans / "a.xy").read_bytes(), headers={"origin": origin})
    assert answer.status_code == 403
    assert page.state()["scans"] == []


def test_what_no_page_sends_is_refused(page):
    del page.client.headers["origin"]
    assert page.client.post("api/remove", json={"numbers": []}).status_code == 403
    assert page.client.get("api/state").status_code == 200


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)])
def test_what_another_page_asks_for_is_refused(page, site, status):
    assert page.client.get("api/state", headers={"sec-fetch-site": site}).status_code == status


def test_every_answer_says_how_it_may_be_used(page):
    for answer in (page.client.get(""), page.client.get("nowhere"), page.client.get("http://127.0.0.1:8123/wrong/"), page.post("remove", numbers=[])):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe-eval" not in HEADERS["content-security-policy"]
    assert "script-src 'self';" in HEADERS["content-security-policy"]


def test_the_page_loads_nothing_from_elsewhere(page):
    for name in ("", "page.css", "page.js"):
        answer = page.client.get(name)
        assert answer.status_code == 200
        assert "//cdn" not in answer.text
    assert "http" not in page.client.get("").text.replace("http://www.w3.org", "")
