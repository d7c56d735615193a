"""Forms, frameworks and compositions: what is one, and what must not become one."""

import numpy as np
import pytest

from xrdmatch.library.levels import Chemistry, levels, zeolite_type


def entry(identifier, family, *, name="", metals=("Zn",), linkers=("terephthalate",), net="", formula="C8 H4 O4 Zn"):
    text = f"{' '.join(metals)} {' '.join(linkers)}" + (f", {net}" if net else "")
    return Chemistry(identifier, formula, family, name, metals, linkers, net, text)


def together(*entries):
    """Which entries share a framework, as a list of groups of ids."""
    made = levels(entries)
    groups = {}
    for number, one in zip(made.framework.tolist(), entries, strict=True):
        groups.setdefault(number, []).append(one.id)
    return list(groups.values())


@pytest.mark.parametrize("second", [
    entry("second", 1),  # one form
    entry("ABCDEF02_clean", 2),  # a redetermination
    entry("second", 2, name="MOF-5"),  # a name
    entry("second", 2, net="pcu"),  # a net
])  # fmt: skip
def test_what_makes_entries_one_framework(second):
    first = entry("ABCDEF_clean", 1, name="MOF-5", net="pcu")
    assert together(first, second) == [[first.id, second.id]]


@pytest.mark.parametrize("second", [
    entry("second", 1, metals=("Co",)),  # another metal in one form
    entry("second", 1, linkers=("fumarate",)),  # another linker in one form
    entry("second", 1, net="dia"),  # another net, whatever else they share
    entry("ABCDEF01_clean", 2, net="dia"),
    entry("second", 2, name="MOF-5", net="dia"),
    entry("second", 2),  # nothing in common but what they are made of
])  # fmt: skip
def test_what_does_not(second):
    first = entry("ABCDEF_clean", 1, name="MOF-5", net="pcu")
    assert together(first, second) == [[first.id], [second.id]]


def test_open_and_closed_forms_are_one_framework_of_many_forms():
    forms = [entry(f"form{at}", at, name="MIL-53(Al)", metals=("Al",), net="bpq" if at else "") for at in range(4)]
    assert together(*forms) == [[one.id for one in forms]]
    made = levels(forms)
    assert made.framework_name == ("MIL-53(Al)",)
    assert made.composition_name == ("Al terephthalate",)


def test_an_entry_without_a_net_cannot_bridge_two():
    entries = [entry("one", 1, net="pcu"), entry("bridge", 1), entry("other", 1, net="dia")]
    groups = together(*entries)
    assert ["one", "bridge"] in groups
    assert ["other"] in groups


def test_one_name_is_one_framework_of_its_metals_however_the_linkers_are_read():
    first = entry("ABCDEF_clean", 1, name="MIL-88A(Fe)", metals=("Fe",), linkers=("fumarate",), net="acs")
    disordered = entry("BCDEFG_clean", 2, name="MIL-88A(Fe)", metals=("Fe",), linkers=("succinate",))
    interpolated = entry("MIL-88A~a10.26", 3, name="MIL-88A", metals=("Fe",), linkers=(), formula="C12 Fe3 O13")
    other = entry("CDEFGH_clean", 4, name="MIL-88A(Cr)", metals=("Cr",), linkers=("fumarate",))
    assert together(first, disordered, interpolated, other) == [[first.id, disordered.id, interpolated.id], [other.id]]
    assert levels([interpolated, interpolated, first]).framework_name == ("MIL-88A(Fe)",)


def test_two_names_are_two_frameworks_of_one_linker_and_net():
    entries = [entry("IRMOF-9", 1, name="IRMOF-9", net="pcu"), entry("IRMOF-10", 2, name="IRMOF-10", net="pcu"), entry("none", 3, net="pcu")]
    assert together(*entries) == [["IRMOF-9"], ["IRMOF-10"], ["none"]]
    assert together(*entries[1:]) == [["IRMOF-10", "none"]]


def test_two_names_of_one_refcode_are_two_frameworks():
    entries = [entry("ABCDEF_clean", 1, name="MOF-14"), entry("ABCDEF01_clean", 2, name="DUT-34"), entry("ABCDEF02_clean", 1)]
    assert together(*entries) == [["ABCDEF_clean", "ABCDEF02_clean"], ["ABCDEF01_clean"]]


def test_one_name_said_in_two_ways_is_one_framework():
    entries = [
        entry("a", 1, name="NU-1200", net="the"), entry("b", 2, name="BUT-12", net="the"), entry("c", 3, name="NU-1200 (BUT-12)", net="the"),
    ]  # fmt: skip
    assert together(*entries) == [["a", "b", "c"]]


def test_one_form_is_one_framework_whatever_it_is_called():
    assert together(entry("a", 1, name="ZIF-8"), entry("b", 1, name="my sample")) == [["a", "b"]]


def test_files_of_one_crystal_have_one_net_or_none():
    entries = [entry("ABCDEF_clean", 1, name="Fe-BTT", net="the"), entry("ABCDEF_freeONLY", 1, net="she"), entry("b", 2, name="Fe-BTT", net="she")]
    assert together(*entries) == [["ABCDEF_clean", "ABCDEF_freeONLY", "b"]]


def test_a_framework_is_called_what_its_forms_share():
    opened, closed = entry("open", 1, name="DUT-48, open"), entry("closed", 2, name="DUT-48, contracted")
    assert levels([opened, closed]).framework_name == ("DUT-48",)
    assert levels([opened]).framework_name == ("DUT-48, open",)


def zeolite(identifier, family, name, formula):
    return Chemistry(identifier, formula, family, name, text="idealised", zeolite=zeolite_type("zeolite", name))


def test_zeolites_of_one_type_are_one_framework_whatever_they_hold():
    silica, natural = zeolite("ANA", 1, "analcime (ANA)", "O2 Si"), zeolite("b", 2, "analcime (ANA), hydrated", "Al H2 Na O7 Si2")
    phosphate, other = zeolite("c", 3, "SAPO-47 (CHA)", "Al O8 P Si"), zeolite("d", 4, "ABW framework", "O2 Si")
    assert together(silica, natural, phosphate, other) == [["ANA", "b"], ["c"], ["d"]]
    assert levels([silica, natural]).framework_name == ("analcime (ANA)",)


@pytest.mark.parametrize(
    ("category", "name", "code"),
    [
        ("zeolite", "zeolite A (LTA), loaded with rubidium", "LTA"),
        ("zeolite", "ABW framework", "ABW"),
        ("zeolite", "pollucite, CsAlSi2O6", ""),
        ("mof", "ZIF-11 (RHO)", ""),
    ],
)
def test_a_zeolite_says_its_type_in_its_name(category, name, code):
    assert zeolite_type(category, name) == code


def test_without_linkers_the_formula_is_the_composition():
    entries = [
        entry("a", 1, linkers=(), formula="Cu2 O"), entry("b", 1, linkers=(), formula="Cu4 O2"), entry("c", 1, linkers=(), formula="Cu S"),
    ]  # fmt: skip
    made = levels(entries)
    assert made.composition.tolist() == [0, 0, 1]
    assert made.framework.tolist() == [0, 0, 1]


def test_names_are_the_commonest():
    entries = [entry("a", 1, name="ZIF-8"), entry("b", 1, name="ZIF-8"), entry("c", 1, name="MAF-4"), entry("d", 2, linkers=("fumarate",), net="pcu")]
    made = levels(entries)
    assert made.framework_name == ("ZIF-8", "Zn fumarate, pcu")
    assert np.array_equal(made.framework, [0, 0, 0, 1])


def test_no_framework_swallows_another_net():
    rng = np.random.default_rng(3)
    entries = []
    for at in range(60):
        name, net, metal = rng.choice(["", "A", "B"]), rng.choice(["", "pcu", "dia"]), rng.choice(["Zn", "Co"])
        entries.append(entry(f"e{at}", int(rng.integers(6)), name=str(name), net=str(net), metals=(str(metal),)))
    groups = together(*entries)
    nets = [{one.net for one in entries if one.id in group} - {""} for group in groups]
    assert max(len(found) for found in nets) == 1
    assert sorted(identifier for group in groups for identifier in group) == sorted(one.id for one in entries)
    assert len(groups) < 20
