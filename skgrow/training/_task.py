"""A fit's data as units of training: what a user passed, validated, becomes tensors on the device, once."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skgrow.criteria import Criterion, LogEvidence, Objective, Validation
from skgrow.networks import MLP, Activation, Network
from skgrow.problem import (
    CHUNKS,
    L2,
    Coordinates,
    Loss,
    Operator,
    Problem,
    Samples,
    Span,
    Units,
    coordinates_of,
    make_operator,
    rows_within,
)
from skgrow.solvers import refit_output
from skgrow.training._regime import Regime
from skgrow.training._settings import Settings


def _always(*_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Data:
    """Validated data.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, d)
        Inputs.
    y : ndarray or Tensor of shape (n,) or (n, c)
        Targets as numbers.
    weight : ndarray of shape (n,) or None
        Sample weights.
    emphasis : ndarray of shape (n,) or None
        Class weights of the samples.
    validation : (X, y, weight) or None
        Validation data that were given.
    previous : Network or None
        That training goes on from, on raw units.
    units : sequence of four ndarrays or None
        To be kept: means and scales of inputs and targets.
    coordinates : dict of ndarray or None
        Of ``previous``, to be kept; see :func:`skgrow.problem.coordinates_of`.
    """

    X: Any
    y: Any
    weight: Any = None
    emphasis: Any = None
    validation: tuple[Any, Any, Any] | None = None
    previous: Network | None = None
    units: Any = None
    coordinates: Any = None


@dataclass(frozen=True)
class Task:
    """What is to be trained on.

    Attributes
    ----------
    samples : Samples
        Training data in units of training; with ``coordinates`` these are the inputs.
    held_out : Samples or None
        Validation data.
    everything : Samples or None
        Training and validation data together, if the latter were drawn from the former.
    units : Units
        Of training.
    loss : Loss
        On targets in these.
    operator : Operator or None
        On functions of inputs in these.
    regime : Regime
        Choices by the size of the data.
    seed : int
        For random numbers.
    y_ndim : int
        Dimensions of the predictions.
    input_dtype : type
        Precision in which the network is stored: that of the inputs, if it will do for raw units.
    previous : Network or None
        That training goes on from.
    target_range : Tensor of shape (2, c) or None
        Smallest and largest targets as given, validation data drawn from them included; None under an operator.
    coordinates : Coordinates or None
        Functions of the inputs that networks are trained on: in the span of the samples, if these are fewer than the
        features, or with ramps along single features.
    """

    samples: Samples
    held_out: Samples | None
    everything: Samples | None
    units: Units
    loss: Loss
    operator: Operator | None
    regime: Any
    seed: int
    y_ndim: int
    input_dtype: type
    previous: Network | None = None
    target_range: Tensor | None = None
    coordinates: Coordinates | None = None

    @classmethod
    def of(cls, data: Data, settings: Settings, regime_type: type[Regime] = Regime) -> Task:
        """Return the task of a fit.

        Raises
        ------
        ValueError
            For data and settings that do not go together.
        """
        given = Samples.build(data.X, data.y, data.weight, data.emphasis).merged()
        n, d = given.X.shape
        regime = regime_type.of(settings, n, d, given.Y.shape[1], data.X)
        device, dtype, seed = regime.device, regime.dtype, settings.random_state
        held_out, everything = None, None
        target_range = None if settings.operator is not None else torch.stack(given.Y.aminmax(dim=0))
        if data.validation is not None:
            held_out = Samples.build(*data.validation).merged()
        elif regime.holds_out:
            generator = torch.Generator().manual_seed(seed)
            train, held_out = given.split(settings.validation_fraction, generator, settings.loss.strata(given.Y))
            if held_out is not None:
                given, everything = train, given
            elif settings.early_stopping is True:
                raise ValueError("early_stopping=True needs a class of at least 2 samples; got one of every class.")
        kind = settings.loss.target_units if settings.operator is None else "size"
        if kind == "log" and not settings.takes_shift(given.X.shape[1], given.Y.shape[1]):
            kind = "none"
        if data.units is None:
            n_channels = None if settings.n_channels is None else settings.n_channels(given.X.shape[1])
            encodes = regime.encodes and settings.encoding is not None
            spread = not (encodes and getattr(settings.encoding, "may_take", _always)(n, n, d))
            units = Units.of(given, settings.standardize, kind, n_channels, spread=spread)
        else:
            x_mean, x_scale, y_mean, y_scale = (torch.as_tensor(a, device=given.X.device) for a in data.units)
            units = Units(x_mean, x_scale, y_mean, y_scale, kind == "log").joined(given)
        chosen = settings.operator is not None
        samples, held_out, everything = (
            cast(Samples, None if part is None else units.apply(part.observed(chosen=chosen), device, dtype))
            for part in (given, held_out, everything)
        )
        single = given.X.dtype == torch.float32 and units.fit_single
        loss, operator, y_ndim = settings.loss.in_units_of(samples, given), None, data.y.ndim
        if settings.operator is not None:  # one network output, whatever the number of components
            operator, y_ndim = make_operator(settings.operator, given, units, samples.X), 1
            units = replace(units, y_mean=units.y_mean[:1], y_scale=units.y_scale[:1] / operator.unit)
        input_dtype = np.float32 if single else np.float64
        task = cls(
            samples,
            held_out,
            everything,
            units,
            loss,
            operator,
            regime,
            seed,
            y_ndim,
            input_dtype,
            target_range=target_range,
        )
        known = coordinates_of(data.coordinates, units, samples.X)
        if known is not None and known.stays:
            task = task.on(known)
        elif data.units is None and regime.spanned(n, d):
            task = task.on(Span.of_samples((task.samples if task.everything is None else task.everything).X))
        if data.previous is None:
            return task
        return replace(task, previous=settings.trainable(task.from_raw(data.previous)))

    def of_rows(self, n: int) -> Task:
        """Return the task on n of its training rows, drawn at random, with the choices for so many."""
        regime = replace(self.regime, n=n)
        samples = self.samples.drawn(n, self.generator(), self.loss.strata(self.samples.Y))
        return replace(self, samples=samples, everything=None, regime=regime)

    def on(self, coordinates: Coordinates) -> Task:
        """Return the task of networks on coordinates of the inputs."""

        def changed(part: Samples | None) -> Any:
            return None if part is None else replace(part, X=coordinates.of(part.X))

        held_out, everything = changed(self.held_out), changed(self.everything)
        samples = cast(Samples, changed(self.samples))
        return replace(self, samples=samples, held_out=held_out, everything=everything, coordinates=coordinates)

    def encoded(self, encoding: Any) -> Task:
        """Return the task on an encoding of the features; the same one if they get none, or training goes on."""
        if encoding is None or self.previous is not None or not self.regime.encodes:
            return self
        with self.threads():
            found = encoding.of(self.problem())
        return self if found is None else self.on(found)

    # problems ----------------------------------------------------------------------------------------------

    def problem(self, samples: Samples | None = None, **settings: Any) -> Problem:
        """Return the problem of some samples, by default the training data; ``settings`` as for ``Problem``."""
        samples = self.samples if samples is None else samples
        return Problem(
            samples.X,
            samples.Y if self.operator is None else self.operator.stacked(samples.Y),
            samples.weight,
            repeats=samples.repeats,
            loss=self.loss,
            operator=self.operator,
            curvature=self.regime.curvature,
            **settings,
        )

    def penalised(self) -> Problem:
        """Return the problem of a network of given layers, with the penalty that it starts with."""
        return self.problem(penalty=L2(self.regime.first_alpha(self.samples.X.shape[1])), rule=self.regime.rule)

    def criterion(self) -> Criterion:
        """Return what judges networks of given layers: validation data, the evidence, or if alpha is given training."""
        judged = LogEvidence() if self.regime.rule.follows else Objective()
        return self.validation() or judged

    def outputs(self, network: Network) -> Tensor:
        """Return the outputs of a network for the training samples, in double precision on the CPU."""
        rows = rows_within(CHUNKS.output_values, max(1, network.n_activations))
        return torch.cat([network(part).to("cpu", torch.float64) for part in self.samples.X.split(rows)])

    def validation(self) -> Validation | None:
        """Return the criterion of the validation data, if there are any."""
        return None if self.held_out is None else Validation(self.problem(self.held_out))

    def validation_scores(self, history: list[dict[str, Any]]) -> list[float] | None:
        """Return for the rows of a history the explained share of a constant's validation loss; None if unknown.

        If the constant has no loss, that is one for rows without loss and zero for others, as in ``r2_score``.
        """
        if self.held_out is None or all(math.isnan(row["validation_loss"]) for row in history):
            return None
        problem = self.problem(self.held_out)
        d, c = self.samples.X.shape[1], problem.Y.shape[1]
        constant = MLP((d, 0, c), problem.X.new_zeros(c), Activation("relu"))
        total = float(problem.data_loss(refit_output(constant, problem)))
        losses = (row["validation_loss"] for row in history)
        return [1 - loss / total if total > 0 else float(loss <= 0) for loss in losses]

    def generator(self) -> torch.Generator:
        """Return a fresh generator of random numbers."""
        return torch.Generator().manual_seed(self.seed)

    def threads(self) -> AbstractContextManager[Any]:
        """Return the context of threads for training."""
        return self.regime.threads(*self.samples.X.shape)

    # networks ----------------------------------------------------------------------------------------------

    def raw(self, network: Network) -> Network:
        """Return a network in the units of training as one on raw units."""
        on = self.coordinates
        return self.units.outward(network if on is None else on.outward(cast(MLP, network)))

    def from_raw(self, network: Network) -> Network:
        """Return a network on raw units as one in the units of training."""
        network = self.units.inward(network).like(self.samples.X)
        return network if self.coordinates is None else self.coordinates.inward(cast(MLP, network))

    def named(self, activation: str) -> str:
        """Return the name of an activation of networks in the units of training as one on the features themselves."""
        return activation if self.coordinates is None else self.coordinates.named(activation)

    def complete(self, row: dict[str, Any]) -> None:
        """Make a row of the history one of the fitted network, which takes the features themselves."""
        if self.coordinates is not None:
            self.coordinates.complete(row)
