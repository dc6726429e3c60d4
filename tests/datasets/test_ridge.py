import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

from skgrow.datasets import free_knot_limit, free_knots, make_ridge, sum_density

PROFILES = {
    "2d": (2, lambda t: t**2 / 2),
    "3d": (3, lambda t: t**2 / 3),
    "root": (2, lambda t: t ** (2 / 3)),
    "10d": (10, lambda t: t**2 / 10),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_targets_are_the_profile_of_the_sum(profile):
    n_features, value = PROFILES[profile]
    X, y = make_ridge(profile, 50, random_state=0)
    assert X.shape == (50, n_features)
    assert X.min() >= 0
    assert X.max() <= 1
    assert_allclose(y, value(X.sum(axis=1)))


def test_the_same_seed_gives_the_same_points_and_another_gives_others():
    X, y = make_ridge("2d", 10, random_state=3)
    again, y_again = make_ridge("2d", 10, random_state=3)
    assert_array_equal(X, again)
    assert_array_equal(y, y_again)
    assert not np.array_equal(X, make_ridge("2d", 10, random_state=4)[0])


@pytest.mark.parametrize(("profile", "limit"), [("2d", 7.23e-5), ("3d", 9.26e-5), ("root", 3.19e-5), ("10d", 1.37e-4)])
def test_the_limits_of_42_neurons(profile, limit):
    assert free_knot_limit(profile, 42) == pytest.approx(limit, rel=0.005)


def test_the_limit_of_the_parabola_under_the_triangle_density():
    # the integral of p^(1/5) is 2 * int_0^1 t^(1/5) dt = 5/3
    assert free_knot_limit("2d", 0) == pytest.approx((5 / 3) ** 2.5 / np.sqrt(720))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_limit_falls_with_the_square_of_the_number_of_pieces(profile):
    assert_allclose(free_knot_limit(profile, 9) / free_knot_limit(profile, 19), 4)


@pytest.mark.parametrize("n_features", [1, 2, 3, 10])
def test_density_of_the_sum_integrates_to_one_with_the_moments_of_uniforms(n_features):
    p = sum_density(n_features)

    def moment(power):
        return sum(quad(lambda t: (t - n_features / 2) ** power * p(t), k, k + 1)[0] for k in range(n_features))

    assert_allclose([moment(0), moment(2)], [1, n_features / 12])
    assert_allclose(moment(1), 0, atol=1e-12)


def test_no_piecewise_linear_function_on_the_optimal_knots_is_much_better_than_the_limit():
    knots = free_knots("2d", 42, (1e-3, 2.0))
    assert (np.diff(knots) > 0).all()
    t = (np.arange(200_000) + 0.5) / 100_000
    root = np.sqrt(np.minimum(t, 2 - t))
    features = np.column_stack([np.ones_like(t), t, np.maximum(t[:, None] - knots, 0)]) * root[:, None]
    coef, *_ = np.linalg.lstsq(features, t**2 / 2 * root)
    error = np.sqrt(np.mean((features @ coef - t**2 / 2 * root) ** 2) * 2)
    assert error == pytest.approx(free_knot_limit("2d", 42), rel=0.1)


@pytest.mark.parametrize("function", [make_ridge, free_knot_limit])
def test_unknown_profiles_are_named_with_those_allowed(function):
    with pytest.raises(ValueError, match=r"profile must be one of \['10d', '2d', '3d', 'root'\]; got '4d'"):
        function("4d", 5)


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="n_samples must not be negative; got -1"):
        make_ridge("2d", -1)
    with pytest.raises(ValueError, match="n_neurons must not be negative; got -1"):
        free_knot_limit("2d", -1)


def test_data_sets_load_without_torch():
    code = "import sys, skgrow.datasets; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
