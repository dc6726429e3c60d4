r"""Losses: value, negative functional gradient and curvature, per sample.

All are convex in the output f, at least zero, and come as one negative functional gradient
:math:`E = -d\ell/df` and a positive semidefinite curvature H that is the Hessian or majorises it: Gauss-Newton
matrices are :math:`\sum_i g_i J_i^T H_i J_i`. As likelihoods they are :math:`\exp(-\ell/\varphi)` up to a factor, with
a dispersion :math:`\varphi` that is either known or estimated. If a loss is homogeneous in the scale of the residual,
of ``degree`` q, that is :math:`\varphi = q \bar\ell` per degree of freedom; others say by :meth:`Loss.spread` what it
is estimated from.

A loss also says in what units its targets are trained on, which targets it takes, and what a prediction is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from skgrow._tolerances import WHOLE_NUMBER
from skgrow.problem._precision import bounded

if TYPE_CHECKING:
    from skgrow.problem._samples import Samples


class Loss(BaseEstimator):
    """Base of the losses. A loss of one's own defines :meth:`value`, :meth:`negative_gradient` and :meth:`curvature`.

    The curvature is diagonal in the outputs unless a loss says otherwise.
    """

    is_quadratic: ClassVar[bool] = False
    is_separable: ClassVar[bool] = True
    known_dispersion: ClassVar[bool] = False
    degree: ClassVar[int] = 2
    #: Whether the loss is homogeneous in the scale of the residual; then errors on new data are quotients (generalised
    #: cross-validation), else sums of the training loss and its optimism.
    is_homogeneous: ClassVar[bool] = True
    #: What an estimated dispersion is at least.
    least_dispersion: float = 0.0
    #: How many times the evidence's penalty training uses. The evidence's hyperparameters are meant for predictions
    #: averaged over the posterior, whose mean is smoother than the function at its mode; a single network at the mode
    #: needs a larger penalty to predict as well. For the squared error twice was found better than once on four data
    #: sets of five, for two classes on eight of thirteen (and worse on two). For more classes once was better on seven
    #: of eleven.
    plug_in_factor: ClassVar[float] = 2.0

    #: Strength of a weight decay that the evidence is to set, at the start.
    first_alpha: ClassVar[float] = 1e-2

    #: Units of the targets in training, see :meth:`skgrow.problem.Units.of`.
    target_units: ClassVar[str] = "mean"
    #: Whether the dispersion is a variance of the target.
    has_variance: ClassVar[bool] = False
    #: ONNX operator that :meth:`link` is; None for the identity.
    onnx_link: ClassVar[str | None] = None

    @property
    def link_name(self) -> str | None:
        """Name of :meth:`link` among :data:`skgrow.prediction.LINKS`; None for a function of one's own."""
        return {Loss.link: "identity", Poisson.link: "exp"}.get(type(self).link)

    def check_targets(self, y: Any, *, reset: bool) -> None:
        """Raise ValueError for targets that the loss does not take; ``reset`` in a first fit."""

    def in_units_of(self, samples: Samples, given: Samples) -> Self:  # noqa: ARG002
        """Return the loss for samples in the units of training, that were ``given`` in raw ones."""
        return self

    def strata(self, Y: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return whole numbers, shape (n,): of rows of each a share is held out for validation. None: all are alike."""
        return None

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the loss of every sample, summed over outputs, shape (n,)."""
        raise NotImplementedError

    def spread(self, F: Tensor, Y: Tensor) -> Tensor:
        r"""Return what estimates the dispersion, summed over outputs, shape (n,): its mean per degree of freedom."""
        return self.degree * self.value(F, Y)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        r"""Return :math:`E = -d\ell/df`, shape (n, c)."""
        raise NotImplementedError

    def value_and_negative_gradient(self, F: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        return self.value(F, Y), self.negative_gradient(F, Y)

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the diagonal of the curvature, or of a diagonal matrix above it, shape (n, c)."""
        raise NotImplementedError

    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the curvature as matrices, shape (n, c, c)."""
        return torch.diag_embed(self.curvature(F, Y))

    def curvature_product(self, F: Tensor, Y: Tensor, U: Tensor) -> Tensor:
        """Return the curvature of every sample times a vector, shape (n, c)."""
        if self.is_separable:
            return self.curvature(F, Y) * U
        return torch.einsum("nkl,nl->nk", self.hessian(F, Y), U)

    def curvature_root(self, F: Tensor, Y: Tensor) -> Tensor | None:
        r"""Return columns r_k with :math:`H = \sum_k r_k r_k^T`, shape (c, n, c); None for the identity."""
        return torch.diag_embed(self.curvature(F, Y).sqrt()).transpose(0, 1)

    def link(self, F: Tensor) -> Tensor:
        """Return the prediction of the target from the output, shape (n, c)."""
        return F

    def log_normaliser(self, dispersion: float) -> float:
        """Return the log of the factor in front of ``exp(-loss / dispersion)``, per observation."""
        return -0.5 * math.log(2 * math.pi * dispersion)

    def n_observed(self, total_weight: float, n_outputs: int) -> float:
        """Return the number of scalar observations in the data."""
        return total_weight * n_outputs


class SquaredError(Loss):
    r"""Half the squared error, :math:`\ell = \tfrac12 |y - f|^2`.

    Its negative functional gradient is the residual and its curvature the identity, so Gauss-Newton and an
    output-layer refit are exact least squares.
    """

    is_quadratic = True
    has_variance = True

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the loss of every sample."""
        return (Y - F).square().sum(1).mul_(0.5)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the residual."""
        return Y - F

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return ones."""
        return torch.ones_like(F)

    def curvature_root(self, F: Tensor, Y: Tensor) -> None:  # noqa: ARG002
        """Return None: the identity."""
        return


class Poisson(Loss):
    r"""Half the Poisson deviance with log link, :math:`\ell = e^f - y f + y \log y - y` for counts y.

    The curvature :math:`e^f` is the mean; it is bounded on sets where f is. The dispersion is estimated
    (quasi-Poisson), since counts usually vary more than Poisson's law says, by Pearson's statistic
    :math:`(y - e^f)^2 / e^f`: the deviance of rare counts is far below their dispersion. Where targets times weights
    are whole numbers, counts over an exposure, it is at least one, Poisson's law.
    """

    is_homogeneous = False
    target_units = "log"
    onnx_link = "Exp"

    def check_targets(self, y: Any, *, reset: bool) -> None:
        """Raise ValueError for negative targets, and in a first fit for zeros alone."""
        if bool((y < 0).any()):
            raise ValueError(f"loss='poisson' needs y >= 0; the smallest value of y is {float(y.min())!r}.")
        if reset and not bool((y > 0).any()):
            raise ValueError("loss='poisson' needs some y > 0; got only zeros.")

    def in_units_of(self, samples: Samples, given: Samples) -> Poisson:
        """Return the loss with the least dispersion of counts in the units of training."""
        counts = given.Y if given.weight is None else given.Y * given.weight[:, None]
        if not bool(((counts - counts.round()).abs() <= WHOLE_NUMBER * counts).all()):
            return self
        found = Poisson()
        mean = given.Y.mean(0) / samples.Y.mean(0)  # that targets were divided by
        weight = 1.0 if samples.weight is None else float(samples.weight.sum())
        weight /= 1.0 if given.weight is None else float(given.weight.sum())
        found.least_dispersion = weight * float((1 / mean[mean > 0]).mean())
        return found

    def spread(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return Pearson's statistic of every sample."""
        mean = F.exp()
        return ((Y - mean).square() / mean.clamp_min(torch.finfo(mean.dtype).tiny)).sum(1)

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return half the deviance of every sample."""
        return (F.exp() - Y * F + torch.special.xlogy(Y, Y) - Y).sum(1)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the residual, target minus mean."""
        return Y - F.exp()

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return the mean."""
        return F.exp()

    def link(self, F: Tensor) -> Tensor:
        """Return the mean."""
        return F.exp()


class Huber(Loss):
    r"""Huber's loss: :math:`\tfrac12 r^2` for residuals up to ``epsilon``, :math:`\epsilon (|r| - \epsilon/2)` beyond.

    The curvature is the weight :math:`\min(1, \epsilon/|r|)` of iteratively reweighted least squares: the parabola of
    that curvature which touches the loss at r lies above it.

    Parameters
    ----------
    epsilon : float, default=1.35
        In units of the target; as a component of an estimator in standard deviations of the noise, which are estimated
        from differences between nearest neighbours.
    """

    target_units = "median"
    has_variance = True

    def __init__(self, epsilon: float = 1.35) -> None:
        self.epsilon = epsilon

    def check_targets(self, y: Any, *, reset: bool) -> None:  # noqa: ARG002
        """Raise ValueError unless ``epsilon`` is positive."""
        if not self.epsilon > 0:
            raise ValueError(f"Huber: epsilon must be > 0; got {self.epsilon!r}.")

    def in_units_of(self, samples: Samples, given: Samples) -> Huber:  # noqa: ARG002
        """Return the loss with ``epsilon`` in units of the target, by the noise of the samples."""
        return Huber(bounded(self.epsilon * samples.noise_scale(), samples.Y.dtype))

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the loss of every sample."""
        size = (Y - F).abs()
        inner = size.clamp_max(self.epsilon)
        return (inner * (size - 0.5 * inner)).sum(1)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the residual, cut off at ``epsilon``."""
        return (Y - F).clamp(-self.epsilon, self.epsilon)

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the weights of iteratively reweighted least squares."""
        return self.epsilon / (Y - F).abs().clamp_min(self.epsilon)


class Quantile(Loss):
    r"""The pinball loss of a quantile :math:`\tau`, rounded off at zero as by Hunter and Lange (2000).

    .. math::
        \ell(r) = \tfrac12 |r| + (\tau - \tfrac12) r - \tfrac{\epsilon}{2} \log(1 + |r|/\epsilon) + \text{const},
        \qquad E = \tfrac{r}{2(\epsilon + |r|)} + \tau - \tfrac12 .

    The parabola of curvature :math:`1/(2(\epsilon + |r|))` which touches it at r lies above it. The constant makes the
    least value zero.

    Parameters
    ----------
    quantile : float, default=0.5
        In (0, 1).
    epsilon : float, default=0.01
        Half width of the rounding, in units of the target.

    References
    ----------
    Hunter and Lange, "Quantile regression via an MM algorithm", J. Comput. Graph. Statist. 9, 2000.
    """

    degree: ClassVar[int] = 1
    target_units = "median"

    def __init__(self, quantile: float = 0.5, epsilon: float = 0.01) -> None:
        self.quantile = quantile
        self.epsilon = epsilon

    def check_targets(self, y: Any, *, reset: bool) -> None:  # noqa: ARG002
        """Raise ValueError unless the quantile lies in (0, 1) and ``epsilon`` is positive."""
        if not 0 < self.quantile < 1 or not self.epsilon > 0:
            raise ValueError(
                "Quantile: quantile must lie in (0, 1) and epsilon must be > 0; got "
                f"quantile={self.quantile!r}, epsilon={self.epsilon!r}."
            )

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the loss of every sample."""
        lean = abs(2 * self.quantile - 1)
        least = 0.5 * self.epsilon * (lean + math.log1p(-lean))
        return (self._rounded(Y - F) - least).clamp_min(0).sum(1)

    def _rounded(self, R: Tensor) -> Tensor:
        size = R.abs()
        return 0.5 * (size - self.epsilon * torch.log1p(size / self.epsilon)) + (self.quantile - 0.5) * R

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        r"""Return about :math:`\tau` if the target is above and :math:`\tau - 1` if it is below."""
        R = Y - F
        return 0.5 * R / (self.epsilon + R.abs()) + (self.quantile - 0.5)

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the curvatures of the touching parabolas."""
        return 0.5 / (self.epsilon + (Y - F).abs())

    def log_normaliser(self, dispersion: float) -> float:
        """Return that of the asymmetric Laplace distribution."""
        return math.log(self.quantile * (1 - self.quantile) / dispersion)


class Logistic(Loss):
    r"""Cross-entropy of independent labels, :math:`\ell = \log(1 + e^f) - y f`; the curvature is :math:`p(1 - p)`."""

    known_dispersion = True
    first_alpha = 1.0
    target_units = "none"

    def strata(self, Y: Tensor) -> Tensor | None:
        """Return the class of every row; of label sets None."""
        return Y[:, 0].to(torch.int64) if Y.shape[1] == 1 else None

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the cross-entropy of every sample, in nats."""
        return (softplus(F) - Y * F).sum(1)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return label minus probability."""
        return Y - torch.sigmoid(F)

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return the variances of the labels."""
        return (logsigmoid(F) + logsigmoid(-F)).exp()

    def link(self, F: Tensor) -> Tensor:
        """Return the probabilities."""
        return torch.sigmoid(F)

    def log_normaliser(self, dispersion: float) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0


class CrossEntropy(Loss):
    r"""Cross-entropy of classes, :math:`\ell = \log \sum_k e^{f_k} - \sum_k y_k f_k` with :math:`\sum_k y_k = 1`.

    The Hessian is :math:`\operatorname{diag}(p) - p p^T`, at most 1/2 (Boehning 1992); it vanishes along
    :math:`(1, \dots, 1)`. Its root has the columns :math:`\sqrt{p_k} (e_k - p)`.
    """

    known_dispersion = True
    first_alpha = 1.0
    target_units = "none"
    plug_in_factor = 1.0
    is_separable = False

    def strata(self, Y: Tensor) -> Tensor:
        """Return the class of every row."""
        return Y.argmax(1)

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the cross-entropy of every sample, in nats."""
        return torch.logsumexp(F, 1) * Y.sum(1) - (Y * F).sum(1)

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the indicator of the class minus the probabilities."""
        return Y - self.link(F)

    def value_and_negative_gradient(self, F: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, with one sum of exponentials."""
        total = torch.logsumexp(F, 1, keepdim=True)
        return total[:, 0] * Y.sum(1) - (Y * F).sum(1), Y - (F - total).exp_()

    def curvature(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return the probabilities: their diagonal matrix is above the Hessian."""
        return self.link(F)

    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return the Hessian, shape (n, c, c)."""
        P = self.link(F)
        return torch.diag_embed(P) - P[:, :, None] * P[:, None, :]

    def curvature_product(self, F: Tensor, Y: Tensor, U: Tensor) -> Tensor:  # noqa: ARG002
        """Return the Hessian of every sample times a vector, without the matrix."""
        P = self.link(F)
        return P * (U - (P * U).sum(1, keepdim=True))

    def curvature_root(self, F: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        """Return the columns of the root, shape (c, n, c)."""
        P = self.link(F)
        root = torch.diag_embed(P.sqrt()) - P[:, :, None] * P.sqrt()[:, None, :]
        return root.permute(2, 0, 1)

    def link(self, F: Tensor) -> Tensor:
        """Return the probabilities."""
        return (F - torch.logsumexp(F, 1, keepdim=True)).exp_()  # softmax is slow along short rows

    def log_normaliser(self, dispersion: float) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0

    def n_observed(self, total_weight: float, n_outputs: int) -> float:
        """Return the number of scalar observations: classes of a sample sum to one. A single class counts as one."""
        return total_weight * max(1, n_outputs - 1)
