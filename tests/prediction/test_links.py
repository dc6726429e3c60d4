"""From outputs to predictions: the same for arrays as for tensors."""

import numpy as np
import pytest
import torch

from skgrow.prediction import LINKS, log_softmax, probabilities, ramp
from skgrow.problem import Huber, Loss, Poisson, Quantile, SquaredError


def outputs():
    return np.random.default_rng(0).normal(size=(30, 3)) * np.logspace(-3, 2.5, 30)[:, None]


@pytest.mark.parametrize("loss", [SquaredError(), Huber(), Quantile(), Poisson()], ids=repr)
def test_the_named_link_is_that_of_the_loss(loss):
    F = outputs()
    np.testing.assert_allclose(LINKS[loss.link_name](F), loss.link(torch.as_tensor(F)).numpy(), rtol=1e-14)


def test_a_link_of_ones_own_has_no_name():
    class Softplus(Loss):
        def link(self, F):
            return torch.nn.functional.softplus(F)

    class Counts(Poisson):
        pass

    assert Softplus().link_name is None
    assert Counts().link_name == "exp"


def test_probabilities_are_those_of_pytorch():
    F = outputs()
    T = torch.as_tensor(F)
    np.testing.assert_allclose(log_softmax(F), T.log_softmax(1).numpy(), rtol=1e-13, atol=1e-15)
    for of_classes, P, logs in (
        (True, T.softmax(1), T.log_softmax(1)),
        (False, T.sigmoid(), torch.nn.functional.logsigmoid(T)),
    ):
        tiny = np.finfo(float).tiny
        np.testing.assert_allclose(probabilities(F, of_classes=of_classes), P.clamp_min(tiny).numpy(), rtol=1e-13)
        found = probabilities(F, of_classes=of_classes, logarithm=True)
        np.testing.assert_allclose(found, logs.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("of_classes", [True, False])
def test_they_are_never_zero_and_fit_their_logarithms(of_classes, dtype):
    F = np.array([[900.0, -900.0], [0.3, -0.3], [-1e30, 1e30]], dtype=dtype)
    P, logs = probabilities(F, of_classes=of_classes), probabilities(F, of_classes=of_classes, logarithm=True)
    assert P.dtype == logs.dtype == dtype
    assert (P > 0).all()
    assert np.isfinite(logs).all()
    np.testing.assert_array_equal(np.log(P[P > 0.5]), logs[P > 0.5])


def test_ramps_rise_from_zero_to_one():
    x = np.array([-1.0, 0.0, 0.5, 2.0, 5.0])
    np.testing.assert_array_equal(ramp(x, 0.0, 2.0), [0, 0, 0.25, 1, 1])
    np.testing.assert_array_equal(ramp(torch.as_tensor(x), 0.0, 2.0), ramp(x, 0.0, 2.0))
