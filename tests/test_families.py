"""Families: like patterns together, others apart, no chains, unique names, and the sentence that says what is undecided."""

from dataclasses import replace

import numpy as np
import pytest

from xrdmatch.diffraction.structure import Structure
from xrdmatch.library.build import entry_of
from xrdmatch.library.composition import composition, composition_without_h_o, compound, metals_of, undecided
from xrdmatch.library.families import KIN, SAME, assign_families, place_new, relatives, signals, similarity
from xrdmatch.library.reference_library import Library
from xrdmatch.report.phrases import sentence

CELLS = {
    "cubic": (17.0, 17.0, 17.0, 90.0, 90.0, 90.0),
    "hexagonal": (26.0, 26.0, 6.8, 90.0, 90.0, 120.0),
    "orthorhombic": (16.7, 13.0, 6.8, 90.0, 90.0, 90.0),
    "monoclinic": (19.7, 7.8, 6.8, 90.0, 104.9, 90.0),
    "triclinic": (9.1, 11.3, 13.2, 81.0, 97.0, 104.0),
}


def structure(name, cell, seed, metal=30, formula="C8 H10 N4 Zn", noise=0.0):
    """Eight atoms at places that `seed` decides; `noise` moves them, as another determination would, in fractions of the cell.

    In a cubic cell, where each line is a mean over many reflections, any such content looks much alike: compare contents in low symmetry only.
    """
    rng = np.random.default_rng(seed)
    places = rng.random((8, 3)) + noise * np.random.default_rng(seed + 1).normal(0.0, 1.0, (8, 3))
    return Structure(name, formula, np.array(cell, dtype=float), np.array([metal] * 2 + [6] * 4 + [7] * 2), places, np.ones(8))


def strained(cell, a=0.0, b=0.0, c=0.0, angle=0.0):
    return (cell[0] * (1 + a), cell[1] * (1 + b), cell[2] * (1 + c), cell[3], cell[4] + angle, cell[5])


def library_of(*structures):
    return Library.from_entries([entry_of(item) for item in structures])


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("size", [-0.005, 0.005])
def test_a_strained_structure_falls_in_its_family(kind, size):
    cell = CELLS[kind]
    twin, other = structure("two", strained(cell, size, size, size), 1), structure("three", strained(cell, 0.05), 2)
    library = library_of(structure("one", cell, 1), twin, other)
    assert signals(library, np.array([0]))[0] @ signals(library, np.array([1]))[0] < SAME  # the strain has to be found
    same, other = similarity(library, 0, np.array([1, 2]))
    assert same > 0.99
    assert other < KIN
    family = assign_families(library).family
    assert family[0] == family[1] != family[2]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("hexagonal", {"a": 0.006, "b": 0.006, "c": -0.004}),
        ("orthorhombic", {"a": 0.006, "b": -0.005, "c": 0.002}),
        ("monoclinic", {"a": 0.004, "b": -0.003, "angle": 0.3}),
    ],
)
def test_axes_may_change_on_their_own_within_the_lattice(kind, change):
    library = library_of(structure("one", CELLS[kind], 3), structure("two", strained(CELLS[kind], **change), 3))
    assert similarity(library, 0, np.array([1]))[0] >= SAME
    assert len(assign_families(library).family_name) == 1


def test_a_large_strain_is_another_family():
    cell = CELLS["cubic"]
    library = library_of(structure("one", cell, 1), structure("two", strained(cell, 0.03, 0.03, 0.03), 1))
    assert len(assign_families(library).family_name) == 2


def test_a_supercell_is_no_other_family():
    cell = CELLS["orthorhombic"]
    small = structure("small", cell, 5)
    halves = [(small.fractional + np.array(step)) / np.array((2, 1, 1)) for step in ((0, 0, 0), (1, 0, 0))]
    large = Structure("large", small.formula, np.array([2 * cell[0], *cell[1:]]), np.tile(small.numbers, 2), np.concatenate(halves), np.ones(16))
    assert len(assign_families(library_of(small, large)).family_name) == 1


@pytest.fixture(scope="module")
def series():
    """A chain of small changes: neighbours are alike, the ends are not; every third entry has a name."""
    steps = [structure(f"step{i:02d}", CELLS["orthorhombic"], 7, noise=0.01 * i, formula=f"C{i + 20} H10 N4 Zn") for i in range(16)]
    library = library_of(*steps)
    return replace(library, name=np.array([f"MOF-{i}" if i % 3 == 0 else "" for i in range(16)]))


def test_every_member_is_alike_to_its_leader(series):
    grouped = assign_families(series)
    assert 1 < len(grouped.family_name) < len(series)  # the ends of the chain are not joined
    for family in range(len(grouped.family_name)):
        rows = grouped.members(family)
        closest = [similarity(grouped, int(leader), rows).min() for leader in rows]
        assert max(closest) >= SAME


def test_family_names_are_unique_and_hold_common_names(series):
    grouped = assign_families(series)
    names = grouped.family_name.tolist()
    assert len(set(names)) == len(names)
    for family, name in enumerate(names):
        held = {str(series.name[row]) for row in grouped.members(family)} - {""}
        assert not held or name.split(" / ")[0] in held
    same = replace(series, name=np.full(16, "MOF-5"))
    assert len(set(assign_families(same).family_name.tolist())) == len(assign_families(same).family_name)


def test_kin_need_less(series):
    """The same compound in several states of its pores stays together where strangers would be kept apart."""
    kin = replace(series, id=np.array([f"ABCDEF{i:02d}_clean" for i in range(16)]), name=np.full(16, ""))
    assert KIN < SAME
    assert len(assign_families(kin).family_name) < len(assign_families(replace(series, name=np.full(16, ""))).family_name)


def said(library, rows):
    """What is undecided, in words."""
    found = undecided(library, rows)
    return sentence(found) if found else ""


def test_metal_twins_share_a_family_and_the_sentence_says_so():
    cell = CELLS["cubic"]
    library = library_of(structure("one", cell, 1), structure("two", strained(cell, 0.002, 0.002, 0.002), 1, metal=27, formula="C8 H10 Co N4"))
    grouped = assign_families(replace(library, name=np.array(["ZIF-8", "ZIF-67"])))
    assert grouped.family_name.tolist() == ["ZIF-8 / ZIF-67"]
    assert sorted(said(grouped, grouped.members(0)).split(": ")[0].split(" or ")) == ["ZIF-67 (Co)", "ZIF-8 (Zn)"]
    assert said(grouped, grouped.members(0)).endswith("same pattern; EDX or ICP decides")


def families_of_one(library, names, formulas, ids=None):
    n = len(names)
    rows = library.subset(np.arange(n) % len(library)) if n <= len(library) else library
    return replace(
        rows,
        id=np.array(ids or [f"entry{i}" for i in range(n)]),
        name=np.array(names),
        formula=np.array(formulas),
        family=np.zeros(n, dtype=np.int32),
        family_name=np.array(["all"]),
    )


@pytest.mark.parametrize(
    ("names", "formulas", "text"),
    [
        (["HKUST-1", "HKUST-1"], ["C6 H2 Cu O4", "C9 H2 Cu O5"], ""),  # solvent
        (["", ""], ["C6 H2 Cu O4", "C6 Cu O5"], ""),
        (
            ["MOF-5", "IRMOF-3"],
            ["C24 H12 O13 Zn4", "C24 H15 N3 O13 Zn4"],
            "IRMOF-3 or MOF-5: same pattern and metal; elemental analysis (N), NMR or IR decides",
        ),
        (
            ["ZIF-8", "ZIF-90"],
            ["C8 H10 N4 Zn", "C8 H6 N4 O2 Zn"],
            "ZIF-8 or ZIF-90: same pattern and metal; NMR of the digested solid, IR or TGA decides",
        ),
        (["A-1", "B-2"], ["C6 H4 O4 Zn", "C8 H4 O4 Zn"], "A-1 or B-2: same pattern and metal; NMR of the digested solid, IR or TGA decides"),
        (["HKUST-1", "HKUST-1"], ["C6 H2 Cu O4", "C6 H2 Cu K O4"], ""),  # an ion in the pores
        (["HKUST-1", "HKUST-1(Zn)"], ["C6 H2 Cu O4", "C6 H2 O4 Zn"], "HKUST-1 (Cu) or HKUST-1(Zn): same pattern; EDX or ICP decides"),
        (["", ""], ["C6 H2 Cu O4", "C6 H2 O4 Zn"], "entry0 (Cu) or entry1 (Zn): same pattern; EDX or ICP decides"),
        (
            ["MOF-5", "IRMOF-3", "MOF-5(Ni)"],
            ["C24 H12 O13 Zn4", "C24 H15 N3 O13 Zn4", "C24 H12 Ni4 O13"],
            "IRMOF-3 (Zn) or MOF-5(Ni) or MOF-5 (Zn): same pattern; EDX or ICP decides on the metal, NMR or IR on the linker",
        ),
    ],
)
def test_what_is_undecided(library, names, formulas, text):
    assert said(families_of_one(library, names, formulas), np.arange(len(names))) == text


def test_several_families_at_once(library):
    both = families_of_one(library, ["A-1", "B-2"], ["C6 Cu O4", "C6 O4 Zn"])
    both = replace(both, family=np.array([0, 1], np.int32), family_name=np.array(["A-1", "B-2"]))
    assert said(both, both.members(0)) == ""
    assert said(both, np.arange(2)) == "A-1 (Cu) or B-2 (Zn): too alike for this scan; EDX or ICP decides"


def test_small_and_empty_libraries():
    assert len(assign_families(Library.from_entries([])).family_name) == 0
    one = assign_families(library_of(structure("only", CELLS["cubic"], 1)))
    assert one.family_name.tolist() == ["only"]
    assert said(one, one.members(0)) == ""


def test_place_new():
    cell = CELLS["monoclinic"]
    known = assign_families(library_of(structure("one", cell, 1), structure("two", CELLS["cubic"], 2), structure("three", CELLS["cubic"], 4)))
    twin = entry_of(structure("mine", strained(cell, 0.004, 0.004, 0.006), 1))
    assert place_new(known, twin) == known.family[0]
    assert place_new(known, twin, np.array([1, 2])) is None
    assert place_new(known, entry_of(structure("mine", cell, 9))) is None
    assert place_new(Library.from_entries([]), twin) is None
    assert place_new(known, known.entry(1)) == known.family[1]  # an id that is taken does no harm


def test_relatives():
    cell = CELLS["monoclinic"]
    library = library_of(structure("one", cell, 1), structure("two", cell, 2), structure("three", strained(cell, 0.004), 1))
    assert relatives(library, [2, 1], [0]) == [0, None]


def test_progress_ends_at_one(library):
    seen = []
    assign_families(library, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_assigning_twice_changes_nothing(series):
    once = assign_families(series)
    twice = assign_families(once)
    assert once.family.tolist() == twice.family.tolist()
    assert once.family_name.tolist() == twice.family_name.tolist()


def test_formulas():
    assert composition("C18 H6 Cu3 O12") == {"C": 6.0, "H": 2.0, "Cu": 1.0, "O": 4.0}
    assert metals_of("C2 Co Zn2") == ("Co", "Zn")
    assert metals_of("C9 H4 B O2") == ()
    assert composition_without_h_o("C18 H6 Cu3 O12") == composition_without_h_o("C6 Cu O5") != composition_without_h_o("C6 H2 O4 Zn")
    assert compound("OFERUN06_clean") == "OFERUN"
    assert compound("ja4050828_auto") == "ja4050828"
