"""Samples and units: merging, the number of observations, constant columns, numbers far from zero."""

import numpy as np
import pytest
import torch

from skgrow.networks import MLP, Activation
from skgrow.problem import Samples, Units

CPU, DOUBLE = torch.device("cpu"), torch.float64


def drawn(rows=40, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)), rng.normal(size=rows)


def observed(X, y, weight=None, emphasis=None):
    return Samples.build(X, y, weight, emphasis).merged().observed()


def same(ours, theirs):
    """Whether samples are equal to the last bit."""
    pairs = ((getattr(ours, name), getattr(theirs, name)) for name in ("X", "Y", "weight", "repeats"))
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("weight", [1.0, 2.0, 1000.0, 20.5, 1e-300])
def test_equal_weights_are_none(weight):
    X, y = drawn()
    assert same(observed(X, y, np.full(40, weight)), observed(X, y))


def test_rows_that_were_all_repeated_are_the_rows():
    X, y = drawn()
    assert same(observed(np.repeat(X, 3, axis=0), np.repeat(y, 3)), observed(X, y))


def test_a_weight_is_a_repetition_in_any_order():
    X, y = drawn()
    rng = np.random.default_rng(1)
    count = rng.integers(0, 4, 40)
    rows = rng.permutation(np.repeat(np.arange(40), count))
    assert same(observed(X, y, count), observed(X[rows], y[rows]))


def test_fractional_weights_of_equal_rows_add_up_in_any_order():
    X, y = drawn(10)
    rng = np.random.default_rng(2)
    rows, weight = rng.integers(0, 10, 200), rng.random(200)
    order = rng.permutation(200)
    assert same(observed(X[rows], y[rows], weight), observed(X[rows[order]], y[rows[order]], weight[order]))


@pytest.mark.parametrize("scale", [1, 7, 0.3])
def test_relative_weights_amount_to_fewer_observations(scale):
    X, y = drawn(4)
    w = np.array([1.5, 1.0, 1.0, 2.0])
    assert float(observed(X, y, scale * w).weight.sum()) == pytest.approx(w.sum() ** 2 / (w @ w))  # Kish 1965


def test_copies_are_no_observations():
    X, y = drawn(200)
    rows = np.r_[:200, :60]
    found = observed(X[rows], y[rows])
    assert found.repeats is None
    assert float(found.weight.sum()) == pytest.approx(260**2 / (140 + 60 * 4))


@pytest.mark.parametrize("scale", [1, 3])
def test_in_a_table_of_few_values_rows_that_agree_by_chance_are_observations(scale):
    X = np.repeat([[0.0], [1.0]], 100, axis=0)
    y = np.r_[np.zeros(70), np.ones(30), np.zeros(20), np.ones(80)]
    found = observed(X, y, np.full(200, scale))
    assert sorted(found.repeats.tolist()) == [2, 3, 7, 8]  # whole numbers count up to a common factor
    assert torch.equal(found.weight, found.repeats)


def test_rare_targets_agree_by_chance_too():
    rng = np.random.default_rng(0)
    X = (rng.random((600, 4)) < 0.1).astype(float)
    y = (rng.random(600) < 0.03).astype(float)
    assert float(observed(X, y).weight.sum()) == 600


def test_a_rule_on_features_of_few_values_is_seen_by_every_row():
    rng = np.random.default_rng(0)
    X = (rng.random((600, 6)) < 0.15).astype(float)
    y = np.maximum(X[:, 0], X[:, 1])  # rows of equal inputs have equal targets
    assert float(observed(X, y).weight.sum()) == 600


@pytest.mark.parametrize("few", [0, 1, 3])
def test_a_column_that_tells_rows_apart_is_repeated_by_copies_only(few):
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=200), (rng.random((200, few)) < 0.1)]
    y = (X[:, 0] > 0).astype(float)
    rows = rng.integers(0, 200, 400)
    n = np.bincount(rows)
    assert float(observed(X[rows], y[rows]).weight.sum()) == pytest.approx(400**2 / (n @ n))


@pytest.mark.parametrize("n", [40, 100])
def test_rows_drawn_have_the_share_of_every_stratum(n):
    X, _ = drawn(400)
    y = np.r_[np.zeros(300), np.ones(98), 2.0, 2.0]
    samples = Samples.build(X, y)
    found = samples.drawn(n, torch.Generator().manual_seed(0), samples.Y[:, 0].long())
    assert len(found.X) == n
    counts = found.Y[:, 0].long().bincount(minlength=3).tolist()
    assert counts[2] >= 1
    assert counts[1] == pytest.approx(0.245 * n, abs=2)
    assert len(torch.unique(found.X, dim=0)) == n


def test_the_order_of_rows_does_not_tell_what_is_observed():
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 2)), 10, axis=0), rng.integers(0, 2, 600)
    samples = Samples.build(X, y).merged()
    mixed = samples.rows(torch.randperm(len(samples.X), generator=torch.Generator().manual_seed(0)))
    assert float(samples.observed().weight.sum()) == float(mixed.observed().weight.sum()) == 600


def test_class_weights_do_not_count():
    X, y = drawn(100)
    y = (y > 1).astype(float)
    emphasis = np.where(y > 0, 20.0, 1.0)
    found = observed(X, y, None, emphasis)
    assert float(found.weight.sum()) == pytest.approx(emphasis.sum() ** 2 / (emphasis @ emphasis))
    assert float(found.weight[found.Y[:, 0] > 0][0] / found.weight[found.Y[:, 0] == 0][0]) == pytest.approx(20)
    assert same(observed(X, y, None, np.full(100, 1000.0)), observed(X, y, None, np.ones(100)))


def test_parts_of_merged_rows_share_none():
    X, y = drawn(30)
    rows = np.random.default_rng(0).integers(0, 30, 90)
    train, held_out = Samples.build(X[rows], y[rows]).merged().split(0.3, torch.Generator().manual_seed(0))
    assert not set(map(tuple, train.X.tolist())) & set(map(tuple, held_out.X.tolist()))


# units -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("value", [1.0, 0.1, 1000.0, 1.7e9 + 1, 1e-12, 0.0, -3.3])
@pytest.mark.parametrize("rows", [2, 7, 100, 333])
def test_a_constant_column_counts_for_nothing(rows, value, dtype):
    X, y = drawn(rows, 2)
    X = np.c_[np.full(rows, value), X].astype(dtype)
    samples = Samples.build(X, y)
    units = Units.of(samples, standardize=True)
    assert units.x_scale.isinf().tolist() == [True, False, False]
    assert bool((units.apply(samples, CPU, DOUBLE).X[:, 0] == 0).all())
    network = MLP(
        (3, 4, 1), torch.randn(21, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)), Activation("tanh")
    )
    raw = units.outward(network)
    assert bool((raw.weights[0][:, 0] == 0).all())
    back = units.inward(raw)
    torch.testing.assert_close(back.weights[0][:, 1:], network.weights[0][:, 1:])
    assert bool((back.weights[0][:, 0] == 0).all())


def test_rounding_is_no_variation():
    X = np.full((50, 1), 0.3)
    X[::2] = 0.1 + 0.2  # one unit in the last place away
    assert bool(Units.of(Samples.build(X, np.arange(50.0)), standardize=True).x_scale.isinf().all())


@pytest.mark.parametrize("offset", [0.0, 2459000.5, 1.7e9, -5.4e6])
def test_units_far_from_zero_are_those_near_it(offset):
    x = np.random.default_rng(0).integers(-1000, 1000, (300, 1)) / 1024  # exact at every offset
    near, far = (Units.of(Samples.build(a, a[:, 0]), standardize=True) for a in (x, x + offset))
    torch.testing.assert_close(far.x_scale, near.x_scale, rtol=1e-12, atol=0)
    torch.testing.assert_close(far.x_mean - offset, near.x_mean, rtol=0, atol=1e-6)
    samples = Samples.build(x + offset, x[:, 0] + offset)
    single = far.apply(samples, CPU, torch.float32)
    # cut to single precision after the change of units only
    torch.testing.assert_close(
        single.X.double(), near.apply(Samples.build(x, x[:, 0]), CPU, DOUBLE).X, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("size", [1e39, 1e-42, 1e-300, 1e300])
def test_columns_of_any_size_are_standardized(size):
    X, y = drawn()
    samples = Samples.build(X * size, y)
    found = Units.of(samples, standardize=True).apply(samples, CPU, torch.float32).X
    torch.testing.assert_close(
        found, Units.of(Samples.build(X, y), True).apply(Samples.build(X, y), CPU, torch.float32).X
    )


def test_what_cannot_be_represented_is_refused():
    X, y = drawn()
    with pytest.raises(ValueError, match="X must have means and deviations within the range of float64; those of col"):
        Units.of(Samples.build(X * 1e-310, y), standardize=True)
    samples = Samples.build(X * 1e39, y)
    with pytest.raises(ValueError, match=r"X must be finite in units of training and dtype 'float32'; its largest"):
        Units.of(samples, standardize=False).apply(samples, CPU, torch.float32)


def test_a_column_that_varies_in_a_later_batch_gets_its_units_then():
    X, y = drawn(50, 2)
    first = Units.of(Samples.build(np.c_[X[:, :1], np.full(50, 5.0)], y), standardize=True)
    batch = Samples.build(1000 + 10 * X, y)
    later, own = first.joined(batch), Units.of(batch, standardize=True)
    assert float(later.x_scale[1]) == float(own.x_scale[1])
    assert float(later.x_mean[1]) == float(own.x_mean[1])
    assert float(later.x_scale[0]) == float(first.x_scale[0])


def test_a_scale_is_the_deviation_of_a_normal_column():
    A = np.random.default_rng(0).normal(3.0, 2.0, size=(20_000, 1))
    assert float(Units.of(Samples.build(A, A[:, 0]), standardize=True).x_scale[0]) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.001])
def test_indicators_have_the_difference_of_their_values(share):
    A = np.where(np.arange(2000) < share * 2000, 7.0, 3.0)[:, None]
    units = Units.of(Samples.build(A, A[:, 0]), standardize=True)
    assert float(units.x_scale[0]) == pytest.approx(4.0)
    assert float(units.x_mean[0]) == pytest.approx(A.mean())


def test_rare_counts_have_their_size():
    A = np.zeros((1000, 1))
    A[:20, 0] = [3.0, 5.0] * 10
    scale = Units.of(Samples.build(A, A[:, 0]), standardize=True).x_scale
    assert float(scale[0]) == pytest.approx(np.sqrt(17.0))


def test_heavy_tails_do_not_hide_the_bulk():
    A = np.tan(np.pi * (np.linspace(0, 1, 1001)[1:-1, None] - 0.5))  # the quantiles of Cauchy's distribution
    scale = float(Units.of(Samples.build(A, A[:, 0]), standardize=True).x_scale[0])
    assert scale == pytest.approx(2 * 2 / 1.349, rel=0.05)  # the quartiles are -1 and 1
    assert A.std() > 3 * scale


def test_with_knots_for_the_bulk_a_scale_is_the_deviation():
    A = np.random.default_rng(0).standard_cauchy((500, 1))
    scale = Units.of(Samples.build(A, A[:, 0]), standardize=True, spread=False).x_scale
    assert float(scale[0]) == pytest.approx(np.sqrt(np.mean((A - np.median(A)) ** 2)), rel=0.01)


def test_nothing_lies_more_than_a_thousand_scales_away():
    A = np.random.default_rng(0).normal(size=(500, 1))
    A[0] = 1e9
    units = Units.of(Samples.build(A, A[:, 0]), standardize=True)
    assert float((1e9 - units.x_mean[0]) / units.x_scale[0]) == pytest.approx(1000)


def test_scales_are_those_of_repeated_rows():
    rng = np.random.default_rng(0)
    X, count = rng.integers(0, 4, (50, 3)) * 1.5, rng.integers(1, 5, 50)
    weighted, repeated = Samples(torch.as_tensor(X), torch.zeros(50, 1), torch.as_tensor(count)), np.repeat(X, count, 0)
    ours, theirs = Units.of(weighted, True), Units.of(Samples.build(repeated, repeated[:, 0]), True)
    torch.testing.assert_close(ours.x_scale, theirs.x_scale)
    torch.testing.assert_close(ours.x_mean, theirs.x_mean)


def test_counts_of_zero_alone_have_a_mean():
    units = Units.of(Samples.build(np.arange(20.0)[:, None], np.zeros(20)), standardize=True, kind="log")
    assert float(units.y_mean.exp()) == pytest.approx(0.5 / 20)
