"""Hints for unknowns: frameworks whose pattern a scan would have in a larger or smaller cell are found with their scale; others get none."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from xrdmatch.diffraction.radiation import inverse_d_squared, reciprocal_metric
from xrdmatch.library.reference_library import Entry, Library
from xrdmatch.preprocessing.prepared_scan import prepare_scan
from xrdmatch.report.phrases import hint_text
from xrdmatch.search.identify import Identifier
from xrdmatch.search.isoreticular import LIKELY_NET, isoreticular_hint, weighed_sisters
from xrdmatch.search.options import SearchOptions
from xrdmatch.search.result import Hint, Identification
from xrdmatch.search.scaled_cells import ScalableEntries

#: Leaves one of the made-up structures: UiO-66.
ZIRCONIUM = SearchOptions(elements=("Zr", "C", "O"))
CUBIC, HEXAGONAL, TETRAGONAL, MONOCLINIC = "fcu", "etb", "scu", "dia"
CELLS = {
    CUBIC: (20.7, 20.7, 20.7, 90.0, 90.0, 90.0),
    HEXAGONAL: (26.0, 26.0, 6.8, 90.0, 90.0, 120.0),
    TETRAGONAL: (18.0, 18.0, 25.0, 90.0, 90.0, 90.0),
    MONOCLINIC: (11.0, 15.0, 13.0, 90.0, 104.0, 90.0),
}


@pytest.fixture(scope="module")
def nets():
    """An entry of each kind of cell, each of a net of its own, with eighteen lines of about one height."""
    rng, entries = np.random.default_rng(4), []
    axis = np.arange(7)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)[1:]
    for net, cell in CELLS.items():
        squared = inverse_d_squared(every, reciprocal_metric(np.array(cell)))
        near = np.flatnonzero((squared < 1.0 / 3.0**2) & (squared > 1.0 / 26.0**2))
        kept = rng.choice(near[np.argsort(squared[near])][:60], 18, replace=False)
        kept = kept[np.argsort(squared[kept])]
        intensity = squared[kept] * rng.uniform(0.3, 1.0, kept.size)
        entries.append(Entry(f"{net}-1", "C8 H4 O5 Zr", np.array(cell), every[kept].astype(np.int16), intensity, name=f"{net.upper()}-1", net=net))
    return Library.from_entries(entries)


def row_of(library, net):
    return library.net.tolist().index(net)


def scan_of(library, net, strain):
    return prepare_scan(made.scan(library, row_of(library, net), strain=strain, stop=40.0)).comparison


class TestScales:
    @pytest.mark.parametrize("scale", [0.78, 0.9, 1.0, 1.15, 1.3])
    @pytest.mark.parametrize("net", [CUBIC, HEXAGONAL, TETRAGONAL])
    def test_a_cell_scaled_as_a_whole_is_found(self, nets, net, scale):
        found = weighed_sisters(scan_of(nets, net, (scale - 1.0,) * 3), ScalableEntries(nets))
        best = int(found.scores().argmax())
        assert found.nets[best] == net
        assert found.cells[best] == pytest.approx(nets.cell[row_of(nets, net)] * ([scale] * 3 + [1.0] * 3), rel=0.004)

    @pytest.mark.parametrize(("axes", "strain"), [("ab", (0.2, 0.2, 0.0)), ("ab", (-0.15, -0.15, 0.0)), ("c", (0.0, 0.0, 0.25))])
    @pytest.mark.parametrize("net", [HEXAGONAL, TETRAGONAL])
    def test_one_scaled_along_some_axes_is_found(self, nets, net, axes, strain):
        """A MOF-74 with a longer linker keeps c."""
        found = weighed_sisters(scan_of(nets, net, strain), ScalableEntries(nets))
        best = int(found.scores().argmax())
        assert (found.nets[best], found.axes[best]) == (net, axes)
        assert found.cells[best, :3] == pytest.approx(nets.cell[row_of(nets, net), :3] * (1.0 + np.array(strain)), rel=0.004)

    def test_only_entries_with_a_net_and_such_a_cell_count(self, nets):
        assert set(ScalableEntries(nets).net.tolist()) == {CUBIC, HEXAGONAL, TETRAGONAL}
        nameless = replace(nets, net=[""] * len(nets))
        assert len(ScalableEntries(nameless)) == 0
        assert weighed_sisters(scan_of(nets, CUBIC, (0.1,) * 3), ScalableEntries(nameless)) is None

    def test_alike_entries_of_a_family_count_once(self, nets):
        twice = nets.joined(Library.from_entries([replace(nets.entry(0), id="again")]))
        both = replace(twice, family=np.array([0, 1, 2, 3, 0], np.int32))
        assert len(ScalableEntries(both)) == 3


class TestHints:
    def test_a_larger_sister_is_named_with_its_cell(self, nets):
        hint = isoreticular_hint(scan_of(nets, CUBIC, (0.151,) * 3), ScalableEntries(nets))
        assert (hint.kind, hint.of, hint.net, hint.axes) == ("isoreticular", "FCU-1", CUBIC, "abc")
        assert hint.scale == pytest.approx(1.151, abs=0.003)
        assert hint.cell[0] == pytest.approx(20.7 * 1.151, rel=0.003)
        assert LIKELY_NET <= hint.probability <= 1.0
        assert hint.similarity > 0.8

    def test_what_may_not_be_named_is_not(self, nets):
        allowed = nets.net != CUBIC
        hint = isoreticular_hint(scan_of(nets, CUBIC, (0.151,) * 3), ScalableEntries(nets), allowed)
        assert hint is None or hint.net != CUBIC
        assert isoreticular_hint(scan_of(nets, CUBIC, (0.151,) * 3), ScalableEntries(nets), np.zeros(len(nets), dtype=bool)) is None

    def test_a_structure_of_another_kind_gets_no_hint(self, nets):
        scans = [
            prepare_scan(made.scan(nets, row_of(nets, MONOCLINIC), seed, strain=(0.02 * seed, 0.0, -0.02 * seed), stop=40.0)) for seed in range(8)
        ]
        hints = [isoreticular_hint(scan.comparison, ScalableEntries(nets)) for scan in scans]
        assert sum(hint is not None for hint in hints) <= 1

    def test_a_name_that_people_say_goes_first(self, nets):
        nameless = replace(nets.entry(row_of(nets, CUBIC)), id="AAAAAA_clean", name="", title="Zr something, fcu")
        hint = isoreticular_hint(scan_of(nets, CUBIC, (0.1,) * 3), ScalableEntries(nets.joined(Library.from_entries([nameless]))))
        assert hint.of == "FCU-1"
        only = Library.from_entries([nameless])
        alone = weighed_sisters(scan_of(nets, CUBIC, (0.1,) * 3), ScalableEntries(only))
        assert alone.rows.tolist() == [0]


class TestAnswers:
    @pytest.fixture
    def with_nets(self, tiny_model):
        identifier = Identifier(tiny_model, "cpu")
        library = identifier.model.library
        named = replace(library, net=["fcu" if row == 4 else "" for row in range(len(library))])
        identifier.scalable = ScalableEntries(named)
        return identifier

    def test_an_unknown_may_get_one(self, with_nets, library):
        scan = made.scan(library, 4, strain=(0.15,) * 3, stop=40.0)
        answer = with_nets.identify(scan, ZIRCONIUM)
        assert answer.verdict == "unknown"
        assert answer.hint is not None
        data = answer.to_json()["hint"]
        assert set(data) == {"kind", "of", "net", "cell", "scale", "axes", "similarity", "probability"}
        assert data["of"] == "UiO-66"
        assert data["cell"]["a"] == pytest.approx(20.7 * 1.15, rel=0.005)
        assert with_nets.identify(scan, replace(ZIRCONIUM, hint=False)).hint is None

    def test_a_match_gets_none(self, with_nets, library):
        answer = with_nets.identify(made.scan(library, 4))
        assert (answer.verdict, answer.hint) == ("match", None)
        assert answer.to_json()["hint"] is None

    def test_a_library_without_nets_gives_none(self, tiny_model, library):
        answer = Identifier(tiny_model, "cpu").identify(made.scan(library, 4, strain=(0.15,) * 3, stop=40.0), ZIRCONIUM)
        assert (answer.verdict, answer.hint) == ("unknown", None)

    @pytest.mark.parametrize(
        ("cell", "scale", "axes", "said"),
        [
            (
                (23.86, 23.86, 23.86, 90.0, 90.0, 90.0),
                1.151,
                "abc",
                "UiO-66 with the cell edge 15 % longer (a = 23.86 Å): perhaps the same net (fcu) with a longer linker",
            ),
            (
                (23.0, 23.0, 6.8, 90.0, 90.0, 120.0),
                0.88,
                "ab",
                "UiO-66 with a and b 12 % shorter (a = 23.00 Å, c = 6.80 Å): perhaps the same net (fcu) with a shorter linker",
            ),
            ((20.8, 20.8, 20.8, 90.0, 90.0, 90.0), 1.004, "abc", "UiO-66, in a cell of about the same size (a = 20.80 Å)"),
        ],
    )
    def test_it_is_said_in_words(self, cell, scale, axes, said):
        hint = Hint("isoreticular", "UiO-66", "fcu", cell, scale, axes, 0.79, 0.8)
        told = hint_text(Identification("a.xy", "unknown", hint=hint))
        assert said in told
        assert "fcu" in told
        assert hint_text(Identification("a.xy", "unknown")) == ""
