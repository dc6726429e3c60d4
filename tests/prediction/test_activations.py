"""Activations of arrays are those of tensors."""

import numpy as np
import pytest
import torch

from skgrow.networks import ACTIVATIONS, Activation, ByLayer, SideBySide
from skgrow.prediction import activation_named

EPS = {np.float32: 2e-6, np.float64: 4e-15}
MIXED = SideBySide([Activation("identity"), Activation("relu"), Activation("tanh")], [2, 5])
KINDS = [*(Activation(name) for name in ACTIVATIONS), Activation("leaky_relu", 0.3), MIXED]


def points(dtype=np.float64):
    Z = np.random.default_rng(0).normal(size=(50, 7)) * np.logspace(-8, 3, 50)[:, None]
    Z[0] = 0.0
    return Z.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", KINDS, ids=str)
def test_arrays_and_tensors_have_one_function(activation, dtype):
    Z = points(dtype)
    tensor, H = torch.as_tensor(Z), Z.T.copy()
    activation.apply(H)
    value = activation.value(tensor.clone())
    assert H.dtype == dtype
    np.testing.assert_allclose(H.T, value.numpy(), rtol=EPS[dtype])
    expected = activation.derivative(tensor, value).numpy()
    np.testing.assert_allclose(activation.slopes(H).T, expected, rtol=EPS[dtype], atol=EPS[dtype])


def test_what_is_not_finite_stays():
    for activation in KINDS:
        Z = np.array([[np.nan], [np.inf], [-np.inf]] * 3)
        H = Z.copy()
        activation.apply(H)
        np.testing.assert_array_equal(H, activation.value(torch.as_tensor(Z.T.copy())).numpy().T)


def test_names_lead_back():
    for activation in KINDS:
        found = activation_named(activation.name, 0.3, (activation.bounds,))
        assert (found.name, found.bounds) == (activation.name, activation.bounds)
    by_layer = ByLayer(MIXED, Activation("leaky_relu", 0.3))
    assert activation_named(by_layer.name, 0.3, (MIXED.bounds, ())).rest == by_layer.rest


def test_a_name_of_two_layers_is_no_function():
    with pytest.raises(ValueError, match="in every layer only"):
        ByLayer(Activation("relu"), Activation("tanh")).apply(np.zeros((2, 3)))
