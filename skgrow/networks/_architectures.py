"""Architectures as components: what a network of given hidden layers is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from skgrow.networks._convnet import CONVOLUTION_ACTIVATIONS, ConvNet
from skgrow.networks._mlp import MLP
from skgrow.networks._network import Network
from skgrow.networks._resnet import ResNet
from skgrow.prediction import Activation


class Architecture(BaseEstimator):
    """Base of the architectures. One of your own defines :meth:`template`."""

    #: As ``architecture_`` of a stored network says it.
    name: ClassVar[str]

    #: Whether there may be no hidden layer.
    may_be_shallow: ClassVar[bool] = False

    def n_channels(self, n_features: int) -> int:
        """Return the number of groups of consecutive features that share their units."""
        return n_features

    def template(
        self, n_features: int, hidden: Sequence[int], n_outputs: int, activation: Activation, *, standardized: bool
    ) -> Network:
        """Return a network of zero weights.

        Parameters
        ----------
        n_features : int
            Number of features.
        hidden : sequence of int
            Widths of hidden layers, of blocks, or of dense layers behind the convolutions.
        n_outputs : int
            Number of outputs.
        activation : Activation
            Of the hidden neurons.
        standardized : bool
            Whether inputs and targets are to be standardized.

        Raises
        ------
        ValueError
            For what the architecture cannot have.
        """
        raise NotImplementedError


class MLPArchitecture(Architecture):
    """A multilayer perceptron."""

    name = "mlp"

    def template(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_outputs: int,
        activation: Activation,
        *,
        standardized: bool,  # noqa: ARG002
    ) -> Network:
        """Return a network of zero weights, see :meth:`Architecture.template`."""
        return MLP((n_features, *hidden, n_outputs), None, activation)


class ResNetArchitecture(Architecture):
    """Residual blocks of one width between two maps.

    Parameters
    ----------
    map_bias : bool, default=True
        Whether the maps into and out of the blocks have biases.
    """

    name = "resnet"

    def __init__(self, map_bias: bool = True) -> None:
        self.map_bias = map_bias

    def template(
        self, n_features: int, hidden: Sequence[int], n_outputs: int, activation: Activation, *, standardized: bool
    ) -> Network:
        """Return a network of zero weights, see :meth:`Architecture.template`."""
        if not self.map_bias and standardized:
            raise ValueError("map_bias=False needs standardize=False: maps without biases can not take up a mean.")
        return ResNet((n_features, *hidden, n_outputs), None, activation, bias=self.map_bias)


class CNNArchitecture(Architecture):
    """Stages of 3 x 3 convolutions with max-pooling in between, and dense layers behind them.

    Parameters
    ----------
    image_shape : tuple of int, optional
        (channels, height, width) or (height, width) of the images that the rows of X are.
    channels : sequence of int or of sequences, default=(16, 32)
        Channels of every stage; several numbers for several convolutions.
    """

    name = "cnn"
    may_be_shallow = True

    def __init__(self, image_shape: Sequence[int] | None = None, channels: Sequence[Any] = (16, 32)) -> None:
        self.image_shape = image_shape
        self.channels = channels

    def n_channels(self, n_features: int) -> int:
        """Return the number of channels: their pixels share their units."""
        return self.shape(n_features)[0]

    def template(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_outputs: int,
        activation: Activation,
        *,
        standardized: bool,  # noqa: ARG002
    ) -> Network:
        """Return a network of zero weights, see :meth:`Architecture.template`."""
        if activation.name not in CONVOLUTION_ACTIVATIONS:
            raise ValueError(
                f"architecture='cnn' needs activation in {list(CONVOLUTION_ACTIVATIONS)}; got {activation.name!r}."
            )
        return ConvNet(self.shape(n_features), self._stages(), (*hidden, n_outputs), None, activation)

    def shape(self, n_features: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the images.

        Raises
        ------
        ValueError
            If they are not given, or do not multiply to the number of features.
        """
        given = self.image_shape
        if given is None:
            raise ValueError(
                "architecture='cnn' needs the shape of the images: give architecture=CNNArchitecture(image_shape=...) "
                "with (channels, height, width) or (height, width)."
            )
        shape = np.asarray(given)
        if shape.ndim != 1 or len(shape) not in (2, 3) or shape.dtype.kind not in "iu" or np.any(shape < 1):
            raise ValueError(f"image_shape must be (channels, height, width) or (height, width); got {given!r}.")
        channels, height, width = (int(size) for size in ((1, *shape) if len(shape) == 2 else shape))
        if channels * height * width != n_features:
            raise ValueError(
                f"image_shape must multiply to the number of features, {n_features}; got {given!r}, which multiplies "
                f"to {channels * height * width}."
            )
        return channels, height, width

    def _stages(self) -> tuple[tuple[int, ...], ...]:
        stages = [np.atleast_1d(np.asarray(stage)) for stage in self.channels]
        bad = any(s.ndim != 1 or not len(s) or s.dtype.kind not in "iu" or np.any(s < 1) for s in stages)
        if bad or not stages:
            raise ValueError(f"channels must give numbers >= 1, one or several for every stage; got {self.channels!r}.")
        return tuple(tuple(int(size) for size in stage) for stage in stages)
