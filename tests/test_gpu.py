"""CPU and CUDA agree over all measured scans. How they are compared is tested without a GPU as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xrdmatch import formats
from xrdmatch.errors import ModelError
from xrdmatch.evaluation.labelled_scans import read_labels
from xrdmatch.model.folder import DEFAULT, Model, find_model
from xrdmatch.model.session import CUDA, cuda_obstacle
from xrdmatch.search.identify import Identifier
from xrdmatch.search.options import SearchOptions

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "measured"
SIMILARITY = 1e-3


def scans():
    """(pattern, wavelength) of every labelled scan: MOFs, mixtures, unknowns, blanks, minerals."""
    for table in (MEASURED / "labels.csv", MEASURED / "minerals" / "labels.csv"):
        for row in read_labels(table):
            stated = row.get("wavelength")
            yield formats.read(table.parent / row["file"]), float(stated) if stated else None


def differences(one, other):
    """What two answers for one scan disagree in: the verdict, the first match, or a similarity by over 0.001. Later ranks may differ."""
    found = [name for name in ("verdict", "wavelength", "filtered") if getattr(one, name) != getattr(other, name)]
    if [match.id for match in one.matches[:1]] != [match.id for match in other.matches[:1]]:
        found.append("rank 1")
    both = {match.id: match.similarity for match in other.matches}
    apart = [abs(match.similarity - both[match.id]) for match in one.matches if match.id in both]
    if max(apart, default=0.0) > SIMILARITY:
        found.append(f"similarity by {max(apart):.4f}")
    return found


@pytest.mark.gpu
def test_cpu_and_cuda_agree_over_all_measured_scans():
    if (why := cuda_obstacle()) is not None:
        pytest.skip(why)
    if not (MEASURED / "labels.csv").is_file():
        pytest.skip("the measured scans are not beside this checkout (../shared/measured)")
    try:
        find_model(DEFAULT)
    except ModelError as error:
        pytest.skip(str(error))
    with_cpu, with_cuda = Identifier(None, "cpu"), Identifier(None, "cuda")
    assert with_cuda.model.session.provider == CUDA
    apart = {}
    for pattern, wavelength in scans():
        one, other = (identifier.identify(pattern, SearchOptions(wavelength)) for identifier in (with_cpu, with_cuda))
        if found := differences(one, other):
            apart[pattern.name] = found
    assert not apart


def test_the_comparison_sees_what_it_should(tiny_model, scans):
    identifier = Identifier(tiny_model, "cpu")
    first, second = (identifier.identify(formats.read(scans / name)) for name in ("a.xy", "b.xy"))
    assert differences(first, first) == []
    assert "rank 1" in differences(first, second)
    moved = replace(first, matches=[replace(match, similarity=match.similarity + 0.002) for match in first.matches])
    assert differences(first, moved) == ["similarity by 0.0020"]
    assert differences(first, replace(first, verdict="unusable", matches=[])) == ["verdict", "rank 1"]


def test_rounding_of_another_device_does_not_change_an_answer(tiny_model, scans):
    """Network outputs that differ as those of two devices do, by up to 1e-5, leave the answers within the limits."""
    model = Model.load(tiny_model, "cpu")
    session, rng = model.session, np.random.default_rng(0)

    class Rounded:
        path, provider, fallback = session.path, session.provider, session.fallback

        def run(self, patterns, output=None):
            exact = session.run(patterns, output)
            return exact + rng.uniform(-1e-5, 1e-5, exact.shape).astype(np.float32)

    identifier, other = Identifier(model), Identifier(model.with_network(Rounded()))
    for name in ("a.xy", "b.xy"):
        pattern = formats.read(scans / name)
        assert differences(identifier.identify(pattern), other.identify(pattern)) == []


@pytest.mark.parametrize("number", [2, 27])
def test_one_line_says_why_the_cpu_is_taken(tiny_model, scans, monkeypatch, capsys, number):
    """Once a run, whatever the number of files and processes; not with --quiet, nor where the CPU was asked for."""
    from xrdmatch.cli.app import main

    monkeypatch.setattr("xrdmatch.model.session.cuda_obstacle", lambda: "the NVIDIA driver finds no GPU")
    monkeypatch.setattr("xrdmatch.model.session.nvidia_driver", lambda: object())
    monkeypatch.setattr("xrdmatch.model.folder.nvidia_driver", lambda: object())
    monkeypatch.setenv("NO_COLOR", "1")
    files = [str(scans / name) for name in ("a.xy", "b.xy")] * number
    for options, lines in (([], 1), (["--quiet"], 0), (["--device", "cpu"], 0)):
        if options and number > 2:
            continue
        monkeypatch.setattr("sys.argv", ["xrdmatch", "identify", *files[:number], "--model", str(tiny_model), "-f", "json", "--jobs", "2", *options])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert not end.value.code
        assert len(told.out.splitlines()) == number
        assert told.err.count("the NVIDIA driver finds no GPU") == lines
        assert not lines or "warning: running on the CPU: the NVIDIA driver finds no GPU; --device cpu silences this" in told.err


def test_asked_for_cuda_where_there_is_none(tiny_model, scans, monkeypatch, capsys):
    from xrdmatch.cli.app import main

    if cuda_obstacle() is None:
        pytest.skip("CUDA runs here")
    monkeypatch.setattr("sys.argv", ["xrdmatch", "identify", str(scans / "a.xy"), "--model", str(tiny_model), "--device", "cuda"])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    assert end.value.code == 1
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "cannot run on CUDA: " in told.err
    assert "Use --device cpu or auto" in told.err
