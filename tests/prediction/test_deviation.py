"""Deviations of stored averages: against their formula, term by term, and how they are stored."""

import numpy as np
import pytest
import torch

from skgrow.networks import MLP, Activation
from skgrow.prediction import ArrayNetwork, encoded, packed, standard_deviation, unpacked
from skgrow.problem import Span, Spline, Units

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)) * [1, 10, 0.1] + [0, 5, -1]
UNITS = Units(*(torch.as_tensor(a) for a in (X.mean(0), X.std(0), np.array([3.0, -1.0]), np.array([2.0, 0.5]))))
SCALING = [a.numpy() for a in (UNITS.x_mean, UNITS.x_scale, UNITS.y_mean, UNITS.y_scale)]
Z = (torch.as_tensor(X) - UNITS.x_mean) / UNITS.x_scale


def spline():
    feature = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    knot = torch.tensor([-1.0, 0.2, 1.5, -2.0, -0.5, 0.4, 2.0], dtype=torch.float64)
    return Spline.of_samples(Z, torch.full((40,), 1 / 40, dtype=torch.float64), feature, knot)


def span():
    return Span.of_samples(Z[:2])


@pytest.mark.parametrize("coordinates", [spline(), span()], ids=["spline", "span"])
def test_coordinates_of_arrays_are_those_of_tensors(coordinates):
    found, unseen = encoded(X, SCALING, coordinates.arrays(UNITS))
    inside = coordinates.of(Z)
    np.testing.assert_allclose(found, inside.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(unseen, coordinates.unseen(Z, inside).numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("n_bytes", "rtol"), [(3, 2**-16), (4, 2**-24), (8, 0)])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_what_is_packed_is_rounded_to_the_nearest(n, n_bytes, rtol):
    root = np.triu(RNG.normal(size=(n, n)) * np.logspace(-10, 10, n))
    stored = packed(root, n_bytes)
    assert stored.nbytes == n * (n + 1) // 2 * n_bytes
    again = unpacked(stored)
    np.testing.assert_allclose(again, root, rtol=rtol)
    if n_bytes == 3 and n == 30:
        kept = root != 0
        assert abs(np.mean(again[kept] / root[kept] - 1)) < 2e-6  # and not towards zero


def member(name, share, sizes, n_root, unseen=0.0):
    network = MLP(sizes, None, Activation(name))
    theta = RNG.normal(size=network.n_parameters)
    root = np.triu(RNG.normal(size=(n_root or network.n_parameters,) * 2)) / 10
    stored = {"share": share, "activation": name, "slope": 0.01, "layer_sizes": sizes, "theta": theta}
    stored |= {"unseen": unseen, "root": packed(root, 8)}
    return stored, network.with_theta(torch.as_tensor(theta)), root


@pytest.mark.parametrize("kind", ["features", "spline", "span"])
def test_the_formula_term_by_term(kind):
    on = {"features": None, "spline": spline(), "span": span()}[kind]
    seen = Z if on is None else on.of(Z)
    width = seen.shape[1]
    few = 3 if kind == "spline" else width
    found = [
        member("relu", 0.3, (width, 4, 2), None, unseen=0.7),
        member("relu", 0.2, (width, 3, 2), None, unseen=0.7),
        member("tanh", 0.3, (width, 3, 2, 2), 6),
        member("identity", 0.2, (few, 2), None),
    ]
    mean, kinds = 0, {}
    distances = 0 if on is None else on.unseen(Z, seen)
    for stored, network, root in found:
        state = network.forward_pass(seen[:, : network.layer_sizes[0]])
        J = network.jacobian(state)
        variance = (J[..., -len(root) :] @ torch.as_tensor(root)).square().sum(-1).T
        slopes = J[..., network.slices[0][1]].square().sum(-1).T
        variance = variance + stored["unseen"] * (slopes.T * distances).T
        mean = mean + stored["share"] * state.output
        kinds.setdefault(stored["activation"], []).append((stored["share"], state.output, variance))
    deviation = 0
    for alike in kinds.values():
        share = sum(part for part, *_ in alike)
        centre = sum(part * F for part, F, _ in alike) / share
        within = sum(part * v for part, _, v in alike) / share
        between = sum(part * (F - centre) ** 2 for part, F, _ in alike) / share
        deviation = deviation + share * (torch.maximum(within, between) + (centre - mean) ** 2).sqrt()
    noise = np.array([0.5, 2.0])
    expected = np.sqrt((deviation * UNITS.y_scale).numpy() ** 2 + noise)

    class Average(ArrayNetwork):  # outputs on raw units
        def __call__(self, rows):
            return (mean * UNITS.y_scale + UNITS.y_mean).numpy()[: len(rows)]

    arrays = None if on is None else on.arrays(UNITS)
    network = Average([], [], Activation("relu"))
    std = standard_deviation(network, SCALING, arrays, [stored for stored, *_ in found], noise, X)
    np.testing.assert_allclose(std, expected, rtol=1e-10)
