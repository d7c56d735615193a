"""The effects of `effects_numpy` on batches of tensors, on the device that trains, so that a training step never waits for them.

The functions have the names of their twins there, read the same constants and draw from the same distributions, which the tests compare; the
numbers drawn differ.
Lines are not padded: those of all k rows follow each other in tensors (n,), `row` (n,) tells whose each is. All is single precision, and every draw
comes from the `torch.Generator` that is passed in, which lives on the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrdmatch.diffraction.lattice import tied_axes
from xrdmatch.diffraction.pattern import Grid
from xrdmatch.library.reference_library import Library
from xrdmatch.preprocessing.recipe import _SECOND_DIFFERENCE, Recipe
from xrdmatch.training import effects_numpy as scale
from xrdmatch.training.effects_numpy import Hardness, smear_width

#: Points drawn beyond either end of the grid, and width classes of a row's lines.
_PAD, _CLASSES = 64, 3


@dataclass(frozen=True, eq=False)
class Lines:
    """A library's reflections on a device.

    hkl (3, m), intensity (m,); first and number of each entry's lines (n,); cells (n, 6), which of their lengths are tied (n, 3) and which angles are
    free (n, 3), as `lattice.tied_axes` tells. host_number: the numbers where they are known without asking the device, for the sizes of tensors.
    """

    hkl: Tensor
    intensity: Tensor
    first: Tensor
    number: Tensor
    cell: Tensor
    group: Tensor
    free: Tensor
    host_number: NDArray[np.int64]

    @classmethod
    def of(cls, library: Library, device: torch.device | str = "cpu") -> Lines:
        number = np.diff(library.offsets)
        ties = [tied_axes(cell) for cell in library.cell]
        arrays = {
            "hkl": library.hkl.T,
            "intensity": library.intensity,
            "first": library.offsets[:-1],
            "number": number,
            "cell": library.cell.astype(np.float32),
            "group": np.array([group for group, _ in ties], dtype=np.int64).reshape(-1, 3),
            "free": np.array([free for _, free in ties], dtype=np.float32).reshape(-1, 3),
        }
        there = {name: torch.from_numpy(np.array(array, order="C")).to(device) for name, array in arrays.items()}
        return cls(**there, host_number=number)

    def of_rows(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """h, k, l (3, n) and intensity (n,) of the entries `rows` (k,), whose each is (n,), and the rows on the device (k,)."""
        total = int(self.host_number[rows].sum())
        there = torch.from_numpy(rows).to(self.hkl.device, non_blocking=True)
        number = self.number[there]
        row = torch.repeat_interleave(number, output_size=total)
        start = torch.cumsum(number, 0) - number
        at = (self.first[there] - start)[row] + torch.arange(total, device=row.device)
        return self.hkl[:, at].float(), self.intensity[at].float(), row, there


def uniform(rng: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Even draws from low to high."""
    return torch.rand(*shape, generator=rng, device=rng.device) * (high - low) + low


def between(rng: torch.Generator, ends: tuple[float, float], *shape: int) -> Tensor:
    """Even draws between the two `ends`."""
    return uniform(rng, *shape, low=ends[0], high=ends[1])


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Draws of mean 0 and standard deviation 1."""
    return torch.randn(*shape, generator=rng, device=rng.device)


def log_uniform(rng: torch.Generator, k: int, ends: tuple[float, float]) -> Tensor:
    """Draws (k,) whose logarithm is even between those of `ends`."""
    return torch.exp(uniform(rng, k, low=math.log(ends[0]), high=math.log(ends[1])))


# --- Lines


def cell_strain(cells: Tensor, group: Tensor, free: Tensor, rng: torch.Generator, level: Hardness) -> Tensor:
    """Cells (k, 6) strained within their lattice symmetry; group, free: as in `Lines`."""
    k = len(cells)
    change = level.strain * (normal(rng, k, 1) + scale.OWN_STRAIN * normal(rng, k, 3))
    breathes = uniform(rng, k, 1) < level.breathing
    change = change + breathes * uniform(rng, k, 3, low=-level.breathing_strain, high=level.breathing_strain)
    angles = free * (scale.ANGLE_STRAIN * level.strain * normal(rng, k, 3)).clamp(-scale.LARGEST_ANGLE, scale.LARGEST_ANGLE)
    return torch.cat([cells[:, :3] * (1.0 + torch.gather(change, 1, group)), cells[:, 3:] + angles], dim=1)


def reciprocal_metric(cells: Tensor) -> Tensor:
    """G* (k, 3, 3) of cells (k, 6), as `radiation.reciprocal_metric`."""
    ca, cb, cg = torch.cos(torch.deg2rad(cells[:, 3:])).T
    rows = (1.0 - ca**2, ca * cb - cg, ca * cg - cb, ca * cb - cg, 1.0 - cb**2, cb * cg - ca, ca * cg - cb, cb * cg - ca, 1.0 - cg**2)
    volume = 1.0 - ca**2 - cb**2 - cg**2 + 2.0 * ca * cb * cg
    inverse = 1.0 / cells[:, :3]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3) / volume[:, None, None] * inverse[:, :, None] * inverse[:, None, :]


def inverse_d_squared(hkl: Tensor, metric: Tensor, row: Tensor) -> Tensor:
    """1/d^2 (n,) of reflections (3, n)."""
    h, k, m = hkl
    own = metric.reshape(-1, 9).T[[0, 4, 8, 1, 2, 5]][:, row]
    own[3:] *= 2.0
    return h * (h * own[0] + k * own[3] + m * own[4]) + k * (k * own[1] + m * own[5]) + m * m * own[2]


def debye_waller(squared: Tensor, row: Tensor, k: int, rng: torch.Generator, level: Hardness) -> Tensor:
    """Factors (n,) with one overall B a row; squared: 1/d^2 (n,)."""
    return torch.exp(-0.5 * uniform(rng, k, high=level.debye_waller)[row] * squared)


def march_dollase(hkl: Tensor, squared: Tensor, metric: Tensor, row: Tensor, rng: torch.Generator, level: Hardness) -> Tensor:
    """Texture factors (n,) about a random low-index axis a row."""
    k = len(metric)
    axis = torch.randint(-1, 2, (k, 3), generator=rng, device=rng.device).float()
    axis[:, 2] += (axis == 0).all(dim=1)
    along = torch.einsum("kij,kj->ik", metric, axis)
    length = (along.T * axis).sum(dim=1)
    cosine2 = ((hkl * along[:, row]).sum(dim=0) ** 2 / (squared * length[row]).clamp_min(1e-12)).clamp(0.0, 1.0)
    r = torch.where(uniform(rng, k) < level.texture, log_uniform(rng, k, scale.TEXTURE), 1.0)[row]
    return (r**2 * cosine2 + (1.0 - cosine2) / r) ** -1.5


def guest_intensities(squared: Tensor, row: Tensor, k: int, rng: torch.Generator, level: Hardness) -> Tensor:
    """Log-normal factors (n,), widest at large d-spacings."""
    strength = level.guest * uniform(rng, k)[row] * (1.0 / (scale.GUEST_SPACING * torch.sqrt(squared))).clamp_max(1.0)
    return torch.exp(normal(rng, len(row)) * torch.hypot(strength, level.scatter * uniform(rng, k)[row]))


def line_positions(squared: Tensor, row: Tensor, k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> Tensor:
    """Angles (n,) in degrees with zero shift and sample displacement."""
    sine = (0.5 * grid.wavelength * torch.sqrt(squared)).clamp(0.0, 0.999)
    zero, shift = level.zero_shift * normal(rng, k), level.displacement * normal(rng, k)
    return torch.rad2deg(2.0 * torch.asin(sine)) + zero[row] + shift[row] * torch.sqrt(1.0 - sine**2)


def lorentz_polarisation(angles: Tensor) -> Tensor:
    """As `radiation.lorentz_polarisation`."""
    sine2 = torch.sin(torch.deg2rad(0.5 * angles)) ** 2
    return (1.0 + (1.0 - 2.0 * sine2) ** 2) / (sine2 * torch.sqrt(1.0 - sine2))


def line_widths(angles: Tensor, row: Tensor, k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> Tensor:
    """Full widths (n,) in degrees: instrument, size and microstrain in quadrature."""
    theta = torch.deg2rad(0.5 * angles.clamp(scale.LOWEST_ANGLE, scale.HIGHEST_ANGLE))
    size = 10.0 * log_uniform(rng, k, level.size)
    strain = level.microstrain * uniform(rng, k) ** 2
    instrument = between(rng, level.instrument, k)
    scherrer = torch.rad2deg((scale.SCHERRER * grid.wavelength / size)[row] / torch.cos(theta))
    return torch.sqrt(instrument[row] ** 2 + scherrer**2 + torch.rad2deg(4.0 * strain[row] * torch.tan(theta)) ** 2)


def impurity_lines(k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> tuple[Tensor, Tensor]:
    """Angles and areas (k, FOREIGN_LINES) of foreign lines, zero in the rows that have none."""
    most = scale.FOREIGN_LINES
    angles = uniform(rng, k, most, low=grid.start, high=grid.stop)
    strength = scale.FOREIGN_HEIGHT * uniform(rng, k, 1) * uniform(rng, k, most) ** 2
    number = torch.randint(1, most + 1, (k, 1), generator=rng, device=rng.device)
    some = (uniform(rng, k, 1) < level.impurity) & (torch.arange(most, device=rng.device) < number)
    return angles, strength * some


# --- Profiles


def draw(angles: Tensor, areas: Tensor, widths: Tensor, row: Tensor, grid: Grid, eta: Tensor) -> Tensor:
    """Profiles (k, grid.size) of lines (n,), as `peak_shapes.draw`; eta: Lorentz share (k,)."""
    k, m = len(eta), grid.size
    if k == 0:
        return torch.zeros(0, m, device=areas.device)
    length = -(-(m + 2 * _PAD) // 128) * 128
    position = (angles - grid.start) / grid.step + _PAD
    real = (areas > 0) & (position >= 0) & (position < m + 2 * _PAD - 1)
    square = widths**2
    ends = torch.stack([torch.where(real, sign * square, -1e9) for sign in (1.0, -1.0)])
    high, low = torch.full((2, k), -1e9, device=areas.device).scatter_reduce_(1, row.expand(2, -1), ends, "amax")
    low, high = (torch.where(ends > -1e8, sign * ends, 1e-4) for ends, sign in ((low, -1.0), (high, 1.0)))
    place = (square - low[row]) / (high - low)[row].clamp_min(1e-9) * (_CLASSES - 1)
    upper = place.clamp(0.0, _CLASSES - 1.001)
    lane, blend = upper.long(), (place - upper.floor()).clamp(0.0, 1.0)
    area = torch.where(real, areas, 0.0)
    column = torch.where(real, position, 0.0)
    share = column - column.floor()
    flat = (row * _CLASSES + lane) * length + column.long()
    sticks = torch.zeros(k * _CLASSES * length + 1, device=areas.device)
    for shift, part in ((0, (1.0 - share) * (1.0 - blend)), (1, share * (1.0 - blend)), (length, (1.0 - share) * blend), (length + 1, share * blend)):
        sticks.index_add_(0, flat + shift, area * part)
    spectrum = torch.fft.rfft(sticks[:-1].reshape(k, _CLASSES, length))
    steps = torch.linspace(0.0, 1.0, _CLASSES, device=areas.device)
    width = torch.sqrt(low[:, None] + (high - low)[:, None] * steps)[..., None]
    scaled = width * (torch.fft.rfftfreq(length, device=areas.device) * (-math.pi / grid.step))
    mix = eta[:, None, None]
    transfer = torch.lerp(torch.exp(scaled.square() * (-0.25 / math.log(2.0))), torch.exp(scaled), mix)
    smooth = torch.fft.irfft((spectrum * transfer).sum(dim=1), length)[:, _PAD : _PAD + m]
    return smooth.clamp_min(0.0) / grid.step


def two_theta(grid: Grid, device: torch.device) -> Tensor:
    """(grid.size,) degrees."""
    return torch.from_numpy(grid.two_theta.astype(np.float32)).to(device, non_blocking=True)


def fluorescence(k: int, rng: torch.Generator) -> Tensor:
    """Flat backgrounds (k, 1), small ones likelier."""
    return scale.FLUORESCENCE * uniform(rng, k, 1) ** 3


def air_scatter(k: int, grid: Grid, rng: torch.Generator) -> Tensor:
    """Backgrounds (k, m) that fall with angle: an exponential and a straight slope."""
    x = two_theta(grid, rng.device)
    air = scale.AIR_SCATTER * uniform(rng, k, 1) ** 3 * torch.exp((grid.start - x) / between(rng, scale.AIR_DECAY, k, 1))
    return air + scale.SLOPE * uniform(rng, k, 1) ** 2 * (grid.stop - x) / (grid.stop - grid.start)


def haloes(k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> Tensor:
    """None to `HALOES` wide humps (k, m) a row."""
    x = two_theta(grid, rng.device)
    total = torch.zeros(k, grid.size, device=rng.device)
    for _ in range(scale.HALOES):
        height = (uniform(rng, k, 1) < level.halo) * level.halo_height * uniform(rng, k, 1) ** 2
        centre, width = between(rng, scale.HALO_CENTRE, k, 1), between(rng, scale.HALO_WIDTH, k, 1)
        total += height * torch.exp(-0.5 * ((x - centre) / width) ** 2)
    return total


def background(k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> Tensor:
    """Smooth backgrounds (k, m) in units of the strongest line."""
    return fluorescence(k, rng) + air_scatter(k, grid, rng) + haloes(k, grid, rng, level)


def counting_statistics(profile: Tensor, mask: Tensor, rng: torch.Generator, level: Hardness) -> Tensor:
    """Poisson counts (k, m) at a peak count drawn log-uniformly a row; near enough to it outside the mask (k, m)."""
    peak = 10.0 ** between(rng, level.counts, len(profile), 1)
    mean = (profile * peak).clamp_min(0.0)
    counts = torch.round(mean + torch.sqrt(mean) * normal(rng, *mean.shape))
    few = ((mean < scale.MANY_COUNTS) & mask).flatten().nonzero()[:, 0]  # on a CPU the exact draw takes ten times as long as the normal one
    counts.view(-1)[few] = torch.poisson(mean.view(-1)[few], generator=rng)
    return counts


def smear_noise(counts: Tensor, grid: Grid, rng: torch.Generator, level: Hardness, points: int) -> Tensor:
    """Counts (k, m) with correlated noise in the share `smear` of rows; points: odd number of neighbours that share it."""
    k, m = counts.shape
    total = torch.cumsum(normal(rng, k, m + points), dim=1)
    correlated = (total[:, points:] - total[:, :-points]) / math.sqrt(points)
    smeared = torch.round(counts + correlated * torch.sqrt(counts.clamp_min(1.0))).clamp_min(0.0)
    return torch.where(uniform(rng, k, 1) < level.smear, smeared, counts)


def range_cut(k: int, grid: Grid, rng: torch.Generator, level: Hardness) -> Tensor:
    """Masks (k, m) of the measured range."""
    cut, x = uniform(rng, k, 1) < level.cut, two_theta(grid, rng.device)
    start = torch.where(cut, uniform(rng, k, 1, low=grid.start, high=scale.CUT_START), grid.start)
    stop = torch.where(cut, uniform(rng, k, 1, low=scale.CUT_STOP, high=grid.stop + scale.CUT_BEYOND), grid.stop)
    return (x >= start - 1e-4) & (x <= stop + 1e-4)


def measured_like(
    lines: Lines, rows: NDArray[np.int64], grid: Grid, rng: torch.Generator, host: np.random.Generator, level: Hardness | None = None
) -> tuple[Tensor, Tensor]:
    """Counts (k, m) and range masks (k, m) of library entries, as `effects_numpy.measured_like`; host: draws that are needed as numbers.

    Raises ValueError for doublets and blanks, which only `augment` adds.
    """
    level = level or Hardness()
    if level.doublet > 0 or level.blank > 0:
        raise ValueError("doublets and blanks are drawn by effects_numpy only")
    hkl, areas, row, there = lines.of_rows(rows)
    k = len(rows)
    metric = reciprocal_metric(cell_strain(lines.cell[there], lines.group[there], lines.free[there], rng, level))
    squared = inverse_d_squared(hkl, metric, row)
    areas = areas * debye_waller(squared, row, k, rng, level) * march_dollase(hkl, squared, metric, row, rng, level)
    areas = areas * guest_intensities(squared, row, k, rng, level)
    angles = line_positions(squared, row, k, grid, rng, level)
    areas = areas * (angles > scale.LOWEST_ANGLE) * lorentz_polarisation(angles.clamp_min(scale.LOWEST_ANGLE))
    mask = range_cut(k, grid, rng, level)
    areas = areas / strongest_seen(angles, areas, row, grid, mask)[row]
    foreign, foreign_areas = impurity_lines(k, grid, rng, level)
    angles, areas = torch.cat([angles, foreign.flatten()]), torch.cat([areas, foreign_areas.flatten()])
    row = torch.cat([row, torch.arange(k, device=row.device).repeat_interleave(scale.FOREIGN_LINES, output_size=scale.FOREIGN_LINES * k)])
    profile = draw(angles, areas, line_widths(angles, row, k, grid, rng, level), row, grid, between(rng, scale.LORENTZ_SHARE, k))
    profile = profile / (profile * mask).amax(dim=1, keepdim=True).clamp_min(1e-9)
    counts = counting_statistics(profile + background(k, grid, rng, level), mask, rng, level)
    return smear_noise(counts, grid, rng, level, smear_width(grid, host)) * mask, mask


def strongest_seen(angles: Tensor, areas: Tensor, row: Tensor, grid: Grid, mask: Tensor) -> Tensor:
    """Area (k,) of the strongest line inside each row's measured range; 1 where there is none."""
    index = torch.round((angles - grid.start) / grid.step).long().clamp(0, grid.size - 1)
    seen = mask[row, index] & (angles > grid.start) & (angles < grid.stop)
    top = torch.zeros(len(mask), device=areas.device).scatter_reduce_(0, row, areas * seen, "amax")
    return torch.where(top > 0, top, 1.0)


def ideal(lines: Lines, rows: NDArray[np.int64], grid: Grid, fwhm: float = 0.12, b: float = 3.0) -> Tensor:
    """Noise-free profiles (k, m), highest point 1, as `library_vectors.ideal`."""
    hkl, areas, row, there = lines.of_rows(rows)
    squared = inverse_d_squared(hkl, reciprocal_metric(lines.cell[there]), row)
    angles = torch.rad2deg(2.0 * torch.asin((0.5 * grid.wavelength * torch.sqrt(squared)).clamp(0.0, 0.999)))
    areas = areas * torch.exp(-0.5 * b * squared) * lorentz_polarisation(angles) * (angles > grid.start - 0.5)
    profile = draw(angles, areas, torch.full_like(angles, fwhm), row, grid, torch.full((len(rows),), 0.5, device=angles.device))
    return profile / profile.amax(dim=1, keepdim=True).clamp_min(1e-9)


# --- Network input


def network_input(recipe: Recipe, values: Tensor, mask: Tensor) -> Tensor:
    """`Recipe.apply_batch` (k, channels, m) of intensities and masks (k, m) on the grid. Raises ValueError for a recipe that no encoder has."""
    if recipe.kind != "search":
        raise ValueError(f"the recipe {recipe.kind!r} is applied by preprocessing.recipe only")
    points = max(1, round(recipe.smooth / recipe.grid.step)) | 1
    window = max(3, round(recipe.background / recipe.grid.step)) | 1
    m = values.shape[1]
    first = mask.int().argmax(dim=1, keepdim=True)
    last = m - 1 - mask.flip(1).int().argmax(dim=1, keepdim=True)
    filled = torch.gather(values, 1, torch.arange(m, device=values.device).clamp(first, last))
    level = noise_sigma(filled, mask) / math.sqrt(points)
    padded = _continued(filled, points // 2)
    smooth = sum(padded[:, shift : shift + m] for shift in range(points)) / points
    opened = _sliding(_sliding(smooth, window, torch.minimum), window, torch.maximum)
    signal = ((smooth - opened - recipe.gate * level[:, None]) * mask).clamp_min(0.0) ** recipe.power
    length = torch.sqrt((signal**2).sum(dim=1, keepdim=True)).clamp_min(1e-6)
    return torch.stack([signal * (math.sqrt(m) / length), mask.float()], dim=1)


def noise_sigma(values: Tensor, mask: Tensor) -> Tensor:
    """As `recipe.noise_sigma` (k,); of an even number of differences the lower of the two in the middle is taken."""
    second = (values[:, 2:] - 2.0 * values[:, 1:-1] + values[:, :-2]).abs()
    middle = torch.where(mask[:, 2:] & mask[:, :-2], second, math.nan).nanmedian(dim=1).values
    return torch.nan_to_num(middle) * float(_SECOND_DIFFERENCE)


def _continued(values: Tensor, points: int) -> Tensor:
    return torch.nn.functional.pad(values, (points, points), mode="replicate")


def _sliding(values: Tensor, window: int, pick: type[torch.minimum]) -> Tensor:
    """As `smoothing._sliding`."""
    result, span = _continued(values, window // 2), 1
    while span < window:
        shift = min(span, window - span)
        result = pick(result[:, : result.shape[1] - shift], result[:, shift:])
        span += shift
    return result
