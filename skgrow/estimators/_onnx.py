"""Fitted estimators as ONNX graphs, through skl2onnx."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from skgrow.estimators._growing import GrowingClassifier, GrowingRegressor
from skgrow.estimators._mgopt import MGOptClassifier, MGOptRegressor
from skgrow.estimators._preconditioned import PreconditionedMLPClassifier, PreconditionedMLPRegressor
from skgrow.estimators._sensli import SensLIClassifier, SensLIRegressor

if TYPE_CHECKING:
    from torch import nn

    from skgrow.networks import ByColumns

_REGRESSORS = (GrowingRegressor, MGOptRegressor, PreconditionedMLPRegressor, SensLIRegressor)
_CLASSIFIERS = (GrowingClassifier, MGOptClassifier, PreconditionedMLPClassifier, SensLIClassifier)

#: Modules that are one operation, number by number or row by row.
_OPERATIONS = {"Flatten": "Flatten", "Identity": "Identity", "ReLU": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh"}

#: What skl2onnx's users choose for classifiers.
_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
    "raw_scores": [True, False],
}


def register_onnx_converters() -> None:
    """Teach skl2onnx to convert the estimators of this package, alone and as steps of a pipeline.

    Afterwards ``skl2onnx.to_onnx`` and ``skl2onnx.convert_sklearn`` take them like scikit-learn's own. The graph of a
    regressor has one output of shape (n, n_outputs), also where ``predict`` returns shape (n,): skl2onnx's convention.
    That of a classifier has labels of shape (n,) or (n, n_labels) and probabilities of shape (n, n_classes) or
    (n, n_labels), and takes the options ``zipmap``, ``output_class_labels``, ``nocl`` and ``raw_scores``.

    Inputs in double precision are computed in double precision, all others in single. In double precision onnxruntime
    needs classifiers with ``zipmap=False`` or ``"columns"``. Convolutional networks are always computed in single
    precision, since it has no other convolutions.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    See Also
    --------
    skgrow.networks.to_torch : The same network for PyTorch.

    References
    ----------
    https://onnx.ai/sklearn-onnx

    Examples
    --------
    >>> import numpy as np
    >>> from onnxruntime import InferenceSession
    >>> from skl2onnx import to_onnx
    >>> from sklearn.datasets import load_diabetes
    >>> from skgrow import GrowingRegressor, register_onnx_converters
    >>> register_onnx_converters()
    >>> X, y = load_diabetes(return_X_y=True)
    >>> est = GrowingRegressor(max_neurons=3, random_state=0).fit(X, y)
    >>> session = InferenceSession(to_onnx(est, X[:1]).SerializeToString())
    >>> (prediction,) = session.run(None, {"X": X})
    >>> np.allclose(prediction[:, 0], est.predict(X))
    True
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError("register_onnx_converters needs skl2onnx; install it by: pip install skgrow[onnx]") from error
    for regressor in _REGRESSORS:
        update_registered_converter(regressor, "SkgrowRegressor", _regressor_shapes, _convert_regressor)
    for classifier in _CLASSIFIERS:
        update_registered_converter(
            classifier, "SkgrowClassifier", _classifier_shapes, _convert_classifier, options=_OPTIONS
        )


def _regressor_shapes(operator: Any) -> None:
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes

    calculate_linear_regressor_output_shapes(operator)
    operator.outputs[0].type.shape[1] = operator.raw_operator.n_outputs_


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    if operator.raw_operator._multilabel:
        operator.outputs[0].type.shape = list(operator.outputs[1].type.shape)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _Graph(scope, operator, container)
    F, link = graph.network_output(), operator.raw_operator._loss().onnx_link
    F = F if link is None else graph.node(link, F)
    bounds = operator.raw_operator._bounds()
    if bounds is not None:
        F = graph.node("Min", graph.node("Max", F, graph.constant(bounds[0])), graph.constant(bounds[1]))
    graph.result(0, F)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common.utils_classifier import get_label_classes

    estimator, graph = operator.raw_operator, _Graph(scope, operator, container)
    F = graph.network_output()
    low, high = (graph.constant(bound) for bound in estimator._certainty)
    if estimator._multiclass():
        certain = graph.node("Max", graph.node("LogSoftmax", F, axis=1), low)
    else:
        certain = graph.node("Min", graph.node("Max", F, low), high)
    if estimator._multilabel:
        graph.result(0, graph.node("Greater", F, graph.constant(0.0)))
    else:
        if len(estimator.classes_) == 2:
            F = graph.node("Concat", graph.node("Neg", F), F, axis=1)
            certain = graph.node("Concat", graph.node("Neg", certain), certain, axis=1)
        classes = get_label_classes(scope, estimator)
        classes = classes.astype(str if isinstance(classes[0], str) else np.int64)
        place = graph.node("ArgMax", F, axis=1, keepdims=0)
        graph.result(0, graph.node("Gather", graph.constant(classes), place))
    if not container.get_options(estimator, {"raw_scores": False})["raw_scores"]:
        P = graph.node("Softmax" if estimator._multiclass() else "Sigmoid", certain)
        F = graph.node("Max", P, graph.constant(np.finfo(graph.dtype).tiny))
    graph.result(1, F)


class _Graph:
    """The graph of one estimator, written node by node into a container of skl2onnx."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        from skl2onnx.common.data_types import DoubleTensorType

        self.scope, self.operator, self.container = scope, operator, container
        double = isinstance(operator.inputs[0].type, DoubleTensorType)
        convolves = operator.raw_operator._layout["architecture"] == "cnn"
        self.dtype = np.float64 if double and not convolves else np.float32

    def constant(self, values: Any) -> str:
        """Return the name of a tensor of the given values; floating-point numbers have the type of the graph."""
        from skl2onnx.proto import TensorProto

        values = np.asarray(values)
        if values.dtype.kind == "U":
            kind, values = TensorProto.STRING, np.char.encode(values, "utf-8")
        elif values.dtype.kind == "i":
            kind = TensorProto.INT64
        else:
            kind = self._float
        name = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(name, kind, values.shape, values.ravel())
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Return the name of what an operation makes of tensors."""
        output = output or self.scope.get_unique_variable_name(kind.lower())
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, list(inputs), output, name=name, **attributes)
        return output

    def network_output(self) -> str:
        """Return what the network makes of the operator's input, shape (n, c)."""
        x = self.node("Cast", self.operator.inputs[0].full_name, to=self._float)
        return self._applied(self.operator.raw_operator.to_torch(), x)

    def result(self, i: int, x: str) -> None:
        """Make a tensor the output i of the operator."""
        from skl2onnx.common.data_types import guess_proto_type

        output = self.operator.outputs[i]
        self.node("Cast", x, to=guess_proto_type(output.type), output=output.full_name)

    def _columns(self, x: str, start: int, stop: int) -> str:
        """Return columns of x."""
        return self.node("Slice", x, *(self.constant([place]) for place in (start, stop, 1)))

    @property
    def _float(self) -> int:
        from skl2onnx.proto import TensorProto

        return TensorProto.DOUBLE if self.dtype == np.float64 else TensorProto.FLOAT

    def _by_columns(self, module: ByColumns, x: str) -> str:
        cuts = pairwise([0, *module.bounds, np.iinfo(np.int64).max])
        pieces = [self._applied(part, self._columns(x, *cut)) for part, cut in zip(module.parts, cuts, strict=True)]
        return self.node("Concat", *pieces, axis=1)

    def _applied(self, module: nn.Module, x: str) -> str:  # noqa: PLR0911
        """Return what a module of :func:`skgrow.networks.to_torch` makes of x."""
        from torch import nn

        from skgrow.networks import ByColumns, Residual

        parameters = [self.constant(parameter.detach()) for parameter in module.parameters(recurse=False)]
        match module:
            case nn.Sequential():
                y = x
                for part in module:
                    y = self._applied(part, y)
                return self.node("Add", x, y) if isinstance(module, Residual) else y
            case nn.Linear():
                return self.node("Gemm", x, *parameters, transB=1)
            case nn.Conv2d():
                return self.node("Conv", x, *parameters, pads=[1] * 4)
            case nn.MaxPool2d():
                return self.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            case nn.Unflatten():
                return self.node("Reshape", x, self.constant([0, *module.unflattened_size]))
            case nn.BatchNorm2d():
                units = self.constant(module.running_mean), self.constant(module.running_var)
                one, zero = np.ones(module.num_features), np.zeros(module.num_features)
                return self.node("BatchNormalization", x, self.constant(one), self.constant(zero), *units, epsilon=0.0)
            case nn.LeakyReLU():  # onnxruntime has its own one in single precision only
                return self.node("Max", x, self.node("Mul", x, self.constant(module.negative_slope)))
            case ByColumns():
                return self._by_columns(module, x)
        return self.node(_OPERATIONS[type(module).__name__], x)
