"""Densities, cell contents and the absolute strength of an entry's lines: I/Ic, how strong its strongest line is beside corundum's.

In a mixture of equal masses of a substance and of corundum, thick enough for the beam, the ratio of the strongest lines does not depend on absorption
(Hubbard, Evans & Smith, J. Appl. Cryst. 1976, 9, 169):

    I / Ic = (m |F|^2 LP / (V^2 rho)) / (the same of corundum)

with multiplicity m, structure factor F of a cell, Lorentz-polarisation LP, cell volume V and density rho. Thermal motion and anomalous scattering are
left out, as in the library's intensities, so that values of heavy metals in soft lattices come out some per cent high.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xrdmatch.diffraction.radiation import CU_K_ALPHA, cell_volume, lorentz_polarisation, two_theta
from xrdmatch.library.reference_library import INTENSITY_SCALE, Library

#: Daltons in a cubic angstrom of 1 g/cm^3: Avogadro's number times 1e-24.
_DALTONS = 0.602214076
#: Corundum: a, c (angstrom), z of Al and x of O in R -3 c (Lewis, Schwarzenbach & Flack, Acta Cryst. 1982, A38, 733).
_CORUNDUM = """data_corundum
_cell_length_a 4.7602
_cell_length_b 4.7602
_cell_length_c 12.9933
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'R -3 c :H'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Al Al 0 0 0.35216
O O 0.30624 0 0.25
"""


def density(library: Library, row: int) -> float:
    """Of an entry, in g/cm^3; NaN where the library does not know what is in its cell."""
    return float(library.cell_mass[row]) / cell_volume(library.cell[row]) / _DALTONS


def formula_units(library: Library, row: int) -> float:
    """How many of an entry's formulas its cell holds; NaN where the library does not know."""
    from xrdmatch.diffraction.elements import formula_mass  # gemmi, which a search does without

    return float(library.cell_mass[row]) / formula_mass(library.formula[row])


def line_strength(library: Library, row: int, wavelength: float = CU_K_ALPHA) -> float:
    """Of an entry's strongest line, for a given mass in the beam: m |F|^2 LP / (V^2 rho), in electrons squared a cell, angstrom^-6 and cm^3/g.

    NaN where the library does not know the scale.
    """
    return float(_heights(library, row, wavelength).max(initial=0.0)) / cell_volume(library.cell[row]) ** 2 / density(library, row)


def strength_between(library: Library, row: int, wavelength: float, two_theta_range: tuple[float, float]) -> float:
    """As `line_strength`, of all lines of an entry between two angles (degrees) together: what its mass is told from in a mixture."""
    heights = _heights(library, row, wavelength, two_theta_range)
    return float(heights.sum()) / cell_volume(library.cell[row]) ** 2 / density(library, row)


def _heights(library: Library, row: int, wavelength: float, two_theta_range: tuple[float, float] = (0.0, 179.0)) -> NDArray[np.float64]:
    """m |F|^2 LP of an entry's lines in a range, electrons squared a cell."""
    d, intensity = library.lines(row)
    angles = two_theta(d, wavelength)
    seen = np.isfinite(angles) & (angles >= two_theta_range[0]) & (angles < two_theta_range[1])
    return np.asarray(intensity[seen] * lorentz_polarisation(angles[seen]) / INTENSITY_SCALE * float(library.scale[row]))


def corundum_ratio(library: Library, row: int, wavelength: float = CU_K_ALPHA) -> float:
    """I/Ic of an entry; NaN where the library does not know its scale, as those of version 0.1 do not."""
    return line_strength(library, row, wavelength) / _of_corundum(wavelength)


@lru_cache(maxsize=32)
def _of_corundum(wavelength: float) -> float:
    from xrdmatch.diffraction.structure import parse_cif
    from xrdmatch.library.build import entry_of

    return line_strength(Library.from_entries([entry_of(parse_cif(_CORUNDUM, "corundum"))]), 0, wavelength)
