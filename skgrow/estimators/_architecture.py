"""What the estimators of several architectures share: the parameters that say what the network is."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skgrow.estimators._trained import TrainedNetwork

if TYPE_CHECKING:
    from skgrow.networks import Network


class ArchitectureNetwork(TrainedNetwork):
    """Base of the estimators that train dense, residual or convolutional networks."""

    _parameter_constraints: ClassVar[dict] = {
        **TrainedNetwork._parameter_constraints,
        "architecture": [StrOptions({"mlp", "resnet", "cnn"})],
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like", Interval(Integral, 1, None, closed="left")],
        "image_shape": [None, "array-like"],
        "channels": ["array-like"],
        "map_bias": ["boolean"],
        "activation": [StrOptions({"relu", "leaky_relu", "tanh", "logistic", "identity"})],
    }

    #: Hidden layers where none are given.
    _start: ClassVar[dict[str, tuple[int, ...]]]

    architecture: str
    hidden_layer_sizes: Any
    image_shape: Any
    channels: Any
    map_bias: bool
    activation: str
    negative_slope: float

    def _n_channels(self, n_features: int) -> int:
        return self._image_shape(n_features)[0] if self.architecture == "cnn" else n_features

    def _template(self, n_features: int, n_outputs: int) -> Network:
        """Return a network of the architecture."""
        from skgrow.networks import CONVOLUTION_ACTIVATIONS, MLP, Activation, ConvNet, ResNet

        activation = Activation(self.activation, self.negative_slope)
        hidden = self._hidden_layer_sizes()
        if self.architecture == "cnn":
            if self.activation not in CONVOLUTION_ACTIVATIONS:
                raise ValueError(
                    f"architecture='cnn' needs activation in {list(CONVOLUTION_ACTIVATIONS)}; got {self.activation!r}."
                )
            shape, stages = self._image_shape(n_features), self._stages()
            return ConvNet(shape, stages, (*hidden, n_outputs), None, activation)
        if self.image_shape is not None:
            raise ValueError(
                f"image_shape is for architecture='cnn'; got image_shape={self.image_shape!r} with "
                f"architecture={self.architecture!r}."
            )
        if self.architecture == "mlp":
            return MLP((n_features, *hidden, n_outputs), None, activation)
        if not self.map_bias and self.standardize:
            raise ValueError("map_bias=False needs standardize=False: maps without biases can not take up a mean.")
        return ResNet((n_features, *hidden, n_outputs), None, activation, bias=self.map_bias)

    def _hidden_layer_sizes(self) -> tuple[int, ...]:
        given = self.hidden_layer_sizes
        if isinstance(given, str):
            return self._start[self.architecture]
        sizes = np.atleast_1d(np.asarray(given))
        if sizes.ndim != 1 or (len(sizes) and sizes.dtype.kind not in "iu") or np.any(sizes < 1):
            raise ValueError(f"hidden_layer_sizes must be 'auto' or widths >= 1; got {given!r}.")
        if not len(sizes) and self.architecture != "cnn":
            raise ValueError(
                f"hidden_layer_sizes must have at least one hidden layer for architecture={self.architecture!r}; "
                f"got {given!r}."
            )
        return tuple(int(size) for size in sizes)

    def _image_shape(self, n_features: int) -> tuple[int, int, int]:
        given = self.image_shape
        if given is None:
            raise ValueError("architecture='cnn' needs image_shape=(channels, height, width) or (height, width).")
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
