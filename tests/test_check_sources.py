"""Checks of structures before they are shipped (scripts/check_sources.py): made-up files that are, and are not, what they are called."""

import csv
import importlib.util
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import cifs
import gemmi
import numpy as np
import pytest

from xrdmatch.diffraction.structure import parse_cif

SCRIPTS = Path(__file__).parents[1] / "scripts"
#: Rock salt, all eight ions of the cell.
IONS = ("0 0 0", "0 0.5 0.5", "0.5 0 0.5", "0.5 0.5 0"), ("0.5 0.5 0.5", "0.5 0 0", "0 0.5 0", "0 0 0.5")


@pytest.fixture(scope="module")
def scripts():
    """The modules check_sources and structure_checks."""
    found = []
    for name in ("structure_checks", "check_sources"):
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    yield found
    for name in ("structure_checks", "check_sources"):
        del sys.modules[name]


def salt(metal="Na", anion="Cl", a=5.64, extra=""):
    atoms = [f"{symbol}{i}{j} {symbol} {place}" for j, symbol in enumerate((metal, anion)) for i, place in enumerate(IONS[j])]
    return cifs.cif(atoms, (a, a, a, 90, 90, 90), extra=extra)


def findings(scripts, text, formula="NaCl", density=2.165, lines=(2.82, 1.994, 1.628)):
    checks = scripts[0]
    return checks.checked(parse_cif(text, "salt"), checks.Substance(formula, density, lines))


def test_halite_is_halite(scripts):
    found = findings(scripts, salt())
    assert (found.wrong, found.notes) == ((), ())
    assert found.density == pytest.approx(2.165, abs=0.005)
    assert found.off < 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (salt("K"), "read as ClK, not NaCl"),
        (salt(a=5.95), "density 1.84, not 2.165 g/cm3"),
        (salt(a=5.70), "strongest lines are not 2.820, 1.994, 1.628 A"),
    ],
)
def test_what_is_not_halite(scripts, text, message):
    assert message in findings(scripts, text).wrong


def test_lines_that_a_search_still_reaches_are_told(scripts):
    found = findings(scripts, salt(a=5.68))
    assert found.wrong == ()
    assert found.notes == ("lines up to 0.7 % from where they should be",)


def test_strongest_lines_of_another_structure_are_found(scripts):
    """Zinc blende has rock salt's lines, with others strong."""
    atoms = [f"Zn{i} Zn {place}" for i, place in enumerate(IONS[0])]
    atoms += [f"S{i} S {place}" for i, place in enumerate(("0.25 0.25 0.25", "0.25 0.75 0.75", "0.75 0.25 0.75", "0.75 0.75 0.25"))]
    blende = cifs.cif(atoms, (5.41, 5.41, 5.41, 90, 90, 90))
    assert findings(scripts, blende, "ZnS", 4.09, (3.123, 1.912, 1.633)).wrong == ()
    assert findings(scripts, blende, "ZnS", 4.09, (2.705, 1.912, 1.561)).wrong


def test_hydrogen_may_be_missing_and_counts_for_the_density(scripts):
    found = findings(scripts, salt("Mg", "O", 4.2), "MgOH", 3.75, ())
    assert found.wrong == ()
    assert found.notes == ("hydrogen is not in the file",)
    assert found.lacks_hydrogen


@pytest.mark.parametrize(
    ("formula", "atoms"),
    [
        ("NaCl", {"Na": 1, "Cl": 1}),
        ("Be3Al2(SiO3)6", {"Be": 3, "Al": 2, "Si": 6, "O": 18}),
        ("CaSO4(H2O)2", {"Ca": 1, "S": 1, "O": 6, "H": 4}),
        ("PbZr0.1Ti0.9O3", {"Pb": 1, "Zr": 0.1, "Ti": 0.9, "O": 3}),
    ],
)
def test_formulas(scripts, formula, atoms):
    assert scripts[0].amounts(formula) == atoms


@pytest.mark.parametrize("formula", ["", "salt", "Ca(OH", "NaCl.H2O?"])
def test_what_is_no_formula(scripts, formula):
    with pytest.raises(ValueError, match=r"expected a formula|not closed"):
        scripts[0].amounts(formula)


def test_every_known_substance_has_a_formula_and_numbers_that_can_be_read(scripts):
    for row in scripts[1].table(SCRIPTS / "substances.csv"):
        assert scripts[0].amounts(row["formula"])
        lines = [float(d) for d in row["lines"].split()]
        assert all(0.9 < d < 12 for d in lines), row["name"]
        assert row["density"] == "" or 0.5 < float(row["density"]) < 23


def file_of(scripts, record, text, **findings_):
    given = {"archive": "a.tar.xz", "member": f"x/{record}.cif", "category": "byproduct", "source": "made up", "licence": "CC0", "use": "yes"}
    found = scripts[0].Findings(**findings_)
    return scripts[1].File(given, text, parse_cif(text, record), name="halite, NaCl", findings=found)


def test_the_best_record_of_a_substance(scripts):
    bare = file_of(scripts, "bare", salt(), notes=("hydrogen is not in the file",))
    old = file_of(scripts, "old", salt(extra="_journal_year 1925\n"))
    far = file_of(scripts, "far", salt(), off=0.004)
    near = file_of(scripts, "near", salt(), off=0.001)
    wrong = file_of(scripts, "wrong", salt()).refused("density 1.00, not 2.165 g/cm3")
    decided = {file.record: file.reasons for file in scripts[1].best_of([bare, old, far, near, wrong])}
    assert decided == {
        "bare": ("repeats near, which is complete with hydrogen",),
        "old": ("repeats near, which is of a later determination",),
        "far": ("repeats near, which is nearer to the known lines",),
        "near": (),
        "wrong": ("density 1.00, not 2.165 g/cm3",),
    }


def test_one_name_and_one_pattern_is_a_repeat_and_another_pattern_is_none(scripts):
    first, same = file_of(scripts, "first", salt()), file_of(scripts, "same", salt(a=5.65))
    other = file_of(scripts, "other", salt(a=6.5))
    named = replace(file_of(scripts, "named", salt()), name="villiaumite, NaF")
    decided = scripts[1].without_repeats([first, same, other, named])
    assert [file.reasons for file in decided] == [(), ("repeats first: same name and pattern",), (), ()]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("COF-5", "COF-5"),
        ("CTF-2 AA", "CTF-2, AA stacking"),
        ("TPHH-COF AB", "TPHH-COF, AB stacking"),
        ("COF-DL229 8-fold", "COF-DL229, 8-fold interpenetrated"),
        ("COF-DL229 non-interpenetrated", "COF-DL229, not interpenetrated"),
        ("AA-stacking mode of BBO-COF", "BBO-COF, AA stacking"),
        ("refined unit cell parameters for sp2c-COF", "sp2c-COF"),
        ("Py\u2010pII COF ", "Py-pII COF"),
        ("COF-V_corr", "COF-V"),
        ("Liao's Por-COF", "Por-COF (Liao)"),
        ("2,3-DhaTab", "2,3-DhaTab"),
    ],
)
def test_names_of_cofs(scripts, name, said):
    assert scripts[1].tidy(name) == said


def test_the_script_reads_archives_and_writes_the_table(scripts, tmp_path, monkeypatch):
    """Halite twice, once as downloaded from the CSD, a file that is none, and a framework with too little oxygen."""
    members = {
        "NaCl_sg225_SodiumChloride": ("byproduct", salt()),
        "AMCSD09295-Halite": ("byproduct", "# downloaded from the\n# Cambridge Structural Database\n" + salt()),
        "W2C": ("byproduct", "no structure"),
        "ABW": ("zeolite", salt("Si", "O", 6.0)),
    }
    with tarfile.open(tmp_path / "files.tar.xz", "w:xz") as archive:
        for name, (_, text) in members.items():
            (tmp_path / f"{name}.cif").write_text(text)
            archive.add(tmp_path / f"{name}.cif", f"x/{name}.cif")
    lines = ["archive\tmember\tsource\tversion\tlicence\tname\tcategory\tuse"]
    lines += [f"files.tar.xz\tx/{name}.cif\tmade up\t1\tCC0 (said)\t{name}\t{category}\tyes" for name, (category, _) in members.items()]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    small = "\n".join(
        line for line in (SCRIPTS / "substances.csv").read_text().splitlines() if line.startswith(("name,", "halite,", "tungsten carbide,"))
    )
    (tmp_path / "substances.csv").write_text(small + "\n")
    (tmp_path / "source_names.csv").write_text("record,name,category,left_out\n")
    given = ["check_sources.py", str(tmp_path / "manifest.tsv"), "--facts", str(tmp_path), "--out", str(tmp_path / "sources.csv")]
    monkeypatch.setattr(sys, "argv", given)
    scripts[1].main()
    rows = {row["id"]: row for row in csv.DictReader((tmp_path / "sources.csv").open(encoding="utf-8")) if row["file"] != "*"}
    assert {name: row["use"] for name, row in rows.items()} == {
        "NaCl_sg225_SodiumChloride": "yes",
        "AMCSD09295-Halite": "no",
        "W2C": "no",
        "ABW": "no",
    }
    assert rows["NaCl_sg225_SodiumChloride"]["name"] == "halite, NaCl"
    assert rows["NaCl_sg225_SodiumChloride"]["title"] == "sodium chloride; rock salt type"
    assert rows["NaCl_sg225_SodiumChloride"]["licence"] == "CC0"
    assert "CSD" in rows["AMCSD09295-Halite"]["reason"]
    assert "cannot be read" in rows["W2C"]["reason"]
    assert "1.00 oxygen atoms a framework atom" in rows["ABW"]["reason"]


def own_structures(scripts):
    """The files of scripts/structures with their rows of the manifest."""
    rows = scripts[1].table(SCRIPTS / "structures.tsv", "\t")
    assert sorted(row["member"] for row in rows) == sorted(path.name for path in (SCRIPTS / "structures").glob("*.cif"))
    return scripts[1].read(SCRIPTS / "structures.tsv")


def test_the_structures_of_this_project_are_what_they_are_called(scripts):
    """By formula, density and strongest lines where these are known, and no two atoms that are always there come nearer than bonds are long."""
    checks, sources = scripts
    known = {record: row for row in sources.table(SCRIPTS / "substances.csv") for record in row["records"].split()}
    compared = 0
    for file in own_structures(scripts):
        assert not file.reasons, file.record
        whole = file.structure.occupancy > 0.9
        cell = gemmi.UnitCell(*file.structure.cell)
        images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
        places = file.structure.fractional[whole]
        apart = (places[:, None, None] - places[None, :, None] + images) @ np.array(cell.orth.mat.tolist()).T
        distances = np.linalg.norm(apart, axis=-1)
        assert distances[distances > 1e-6].min() > 0.9, file.record
        if row := known.get(file.record):
            substance = checks.Substance(row["formula"], float(row["density"]), tuple(float(d) for d in row["lines"].split()))
            assert checks.checked(file.structure, substance).wrong == (), file.record
            compared += 1
    assert compared >= 30


def test_the_table_has_the_structures_of_this_project(scripts):
    given = {row["file"]: row for row in scripts[1].table(SCRIPTS / "sources.csv") if row["archive"] == "structures"}
    for file in own_structures(scripts):
        row = given[file.given["member"]]
        assert row["use"] == "yes"
        assert row["licence"] == "MIT"
        assert row["category"] in ("byproduct", "linker", "zeolite", "mof")
        assert ("a model: calculated, not measured" in row["reason"]) == ("packed into the cell" in row["source"])
