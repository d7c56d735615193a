"""Damped least squares: where there is a solution, the step is the one that NumPy finds; where nothing depends on a parameter, it stays."""

from __future__ import annotations

import numpy as np

from xrdmatch.diffraction.least_squares import damped_steps


def test_without_damping_it_is_the_solution():
    basis = np.random.default_rng(1).normal(size=(4, 3, 8))
    wanted = np.random.default_rng(2).uniform(-0.9, 0.9, (4, 3))
    normal = basis @ basis.swapaxes(1, 2)
    slope = (normal @ wanted[..., None])[..., 0]
    np.testing.assert_allclose(damped_steps(normal, slope, 1e-12, 1.0), wanted, atol=1e-8)
    np.testing.assert_allclose(damped_steps(normal[0], slope[0], 1e-12, 1.0), wanted[0], atol=1e-8)


def test_steps_are_limited_and_damping_shortens_them():
    normal, slope = np.diag([1.0, 1.0]), np.array([10.0, -0.5])
    np.testing.assert_allclose(damped_steps(normal, slope, 1e-9, 3.0), [3.0, -0.5], atol=1e-6)
    np.testing.assert_allclose(damped_steps(normal, slope, 0.5, 9.0), [5.0, -0.25])


def test_what_nothing_depends_on_stays():
    assert damped_steps(np.diag([1.0, 0.0]), np.array([0.5, 0.0]), 1e-9, 3.0)[1] == 0.0
    assert not damped_steps(np.zeros((2, 2)), np.zeros(2), 1e-9, 3.0).any()
