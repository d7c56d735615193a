"""CIF files and structures made for the tests."""

import io
import tarfile
import zipfile

import numpy as np

from xrdmatch.diffraction.structure import Structure, parse

COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")


def cif(atoms, cell=(10, 10, 10, 90, 90, 90), symmetry="_symmetry_space_group_name_H-M 'P 1'\n", columns=COLUMNS, extra=""):
    """Text of a CIF file; `atoms` are rows, each a string of one value a column."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    rows = [f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True)]
    loop = [f"_atom_site_{column}" for column in columns]
    return "\n".join(["data_made", *rows, symmetry + extra + "loop_", *loop, *atoms, ""])


def symops(*operations):
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{operation}'\n" for operation in operations)


def cubic_frame(name="frame", metal="Zn", a=12.8):
    """A small cubic framework: metal corners, carbon and oxygen on the edges."""
    atoms = [f"M1 {metal} 0 0 0"]
    for axis in range(3):
        for symbol, place in (("O", 0.16), ("O", 0.84), ("C", 0.27), ("C", 0.73), ("C", 0.44), ("C", 0.56)):
            place_of = [place if i == axis else 0.0 for i in range(3)]
            atoms.append(f"{symbol}{len(atoms)} {symbol} {place_of[0]} {place_of[1]} {place_of[2]}")
    return parse(cif(atoms, (a, a, a, 90, 90, 90)).encode(), f"{name}.cif")


def random_structure(rng, cell, atoms, name="random", occupancy=None, elements=(1, 6, 8, 30)):
    """Atoms anywhere in a cell."""
    numbers = rng.choice(elements, atoms)
    shares = np.ones(atoms) if occupancy is None else occupancy
    return Structure(name, "X", np.array(cell, dtype=float), numbers, rng.random((atoms, 3)), shares)


def supercell(structure, times):
    """The same crystal in a cell repeated along its axes."""
    shifts = np.stack(np.meshgrid(*[np.arange(n) for n in times], indexing="ij"), axis=-1).reshape(-1, 3)
    places = (structure.fractional[None] + shifts[:, None]) / np.array(times)
    cell = structure.cell * np.array([*times, 1, 1, 1])
    count = len(shifts)
    return Structure(structure.id, structure.formula, cell, np.tile(structure.numbers, count), places, np.tile(structure.occupancy, count))


def pack(path, members):
    """An archive of (name, bytes), of the kind its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}[path.suffix]
        with tarfile.open(path, mode) as archive:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


#: Rock salt, to be filled with a name.
SALT = """data_{name}
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
