"""Every choice that is made by the size of the data: device, precision, curvature, validation, threads, first penalty.

Each is a comparison of a size, or of a number of operations, with a budget named here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from skgrow.problem import (
    Curvature,
    DenseCurvature,
    FixedAlpha,
    KroneckerCurvature,
    SampledKroneckerCurvature,
    gauss_newton_work,
)
from skgrow.training._penalty_rules import PENALTY, BetweenDescents, ByEvidence, InRounds
from skgrow.training._schedules import Plateau
from skgrow.training._settings import Settings


@dataclass(frozen=True)
class Budgets:
    """Sizes and numbers of operations beyond which another way is taken; see ``docs/decisions``.

    What the solvers need to know themselves stands with them: the operations up to which ``solver="auto"`` takes
    Levenberg-Marquardt, ``GAUSS_NEWTON_WORK``, and the samples up to which it takes L-BFGS, ``FULL_BATCH_SAMPLES``.

    Attributes
    ----------
    accelerator_work : float
        Operations of a pass over the data above which ``device="auto"`` takes a GPU (decision 13).
    single_thread_size : int
        Entries of X, or of a mini-batch, up to which one thread is used on a CPU although more are asked for
        (decision 13).
    validation_rows : int
        Rows above which ``early_stopping="auto"`` holds out validation data, as HistGradientBoosting does
        (decision 12).
    validation_columns : int
        Inputs plus outputs above which growth does so, too: there the evidence of a dozen neurons is too expensive
        (decision 12).
    least_validation_rows : int
        Rows up to which growth never does so by itself (decision 12).
    repeated_work : float
        Networks of given layers are judged by the exact Gauss-Newton matrix if it takes no more operations than this,
        else by its Kronecker approximation: after every few epochs (decision 32).
    dense_neurons, dense_work : int, float
        Classes are judged by the exact Gauss-Newton matrix if, at so many neurons, it takes no more operations than
        this, else by its Kronecker approximation (decision 12).
    evidence_rows : int
        Distinct rows from which on the evidence sets the penalty of networks of given layers: fewer are as probable as
        noise, whatever they say (decision 32).
    spanned_rows : int
        Rows up to which coordinates in their span take the place of features that are more (decision 9).
    linear_work : float
        Operations above which no linear model is fitted (decision 8).
    evidence_parameters, evidence_work : int, float
        Parameters up to which the evidence of a grown network is computed, and operations below which it is
        (decision 10).
    covariance_parameters : int
        Parameters up to which the covariance of all of them is kept for ``return_std``; beyond, of the output layer's
        (decision 10).
    cascade_rows, cascade_factor : int, int
        Rows on which networks grow first if there are more than twice as many, and how many times as many the next ones
        are (decision 34).
    grown_rows : int
        Rows up to which they may grow on then; on more they are only trained, unless growth still paid before
        (decision 34).
    samples_per_weight : int
        Samples behind each weight of a large block (decision 4).
    small_block, large_block, output_block : int
        Neurons of a block with fewer samples, with as many, and for each of several outputs at least (decision 4).
    exchanges : int
        Exchange steps of a regression (decision 25).
    """

    accelerator_work: float = 2e9
    single_thread_size: int = 50_000
    validation_rows: int = 10_000
    validation_columns: int = 250
    least_validation_rows: int = 10
    repeated_work: float = 5e8
    dense_neurons: int = 20
    dense_work: float = 1e10
    evidence_rows: int = 10
    spanned_rows: int = 2000
    linear_work: float = 1e11
    evidence_parameters: int = 3000
    evidence_work: float = 4e11
    covariance_parameters: int = 2000
    cascade_rows: int = 4000
    cascade_factor: int = 4
    grown_rows: int = 64_000
    samples_per_weight: int = 10
    small_block: int = 3
    large_block: int = 6
    output_block: int = 2
    exchanges: int = 4


BUDGETS = Budgets()


class _OneThread:
    """Context of one thread, for fits that may run beside each other in several threads.

    The pools of linear algebra belong to the process: the first fit that comes in limits them, and the last one that
    leaves gives them back. Those of OpenMP belong to every thread by itself.
    """

    def __init__(self) -> None:
        self.lock, self.fits = Lock(), 0
        self.limits: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        pools = _thread_pools()
        torch.get_num_threads()  # PyTorch sets up a new thread when it is first asked, and would do so inside
        with pools.select(user_api="openmp").limit(limits=1):
            shared = pools.select(user_api="blas")
            with self.lock, _in_control(shared):
                if not self.fits:
                    self.limits = shared.limit(limits=1)
                self.fits += 1
            try:
                yield
            finally:
                with self.lock, _in_control(shared):
                    self.fits -= 1
                    if not self.fits:
                        self.limits.restore_original_limits()


@contextmanager
def _in_control(pools: ThreadpoolController) -> Iterator[None]:
    """Let this thread set the sizes of pools, which threadpoolctl (since 3.8) leaves to the first that did."""
    released = [getattr(pool, "clear_controlling_thread", None) for pool in pools.lib_controllers]
    for release in filter(None, released):
        release(force=True)
    yield
    for release in filter(None, released):
        release(force=True)


_one_thread = _OneThread()


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the thread pools of the process: to find them takes milliseconds, as long as a small fit."""
    return ThreadpoolController()


@dataclass(frozen=True)
class Regime:
    """The choices for a fit of given settings to data of given size.

    Parameters
    ----------
    settings : Settings
        Of the method.
    n, d, c : int
        Distinct rows of positive weight, features and outputs.
    device : torch.device
        To compute on.
    """

    settings: Any
    n: int
    d: int
    c: int
    device: torch.device

    @classmethod
    def of(cls, settings: Settings, n: int, d: int, c: int, like: Any) -> Regime:
        """Return the regime for n rows, d features and c outputs; ``like`` are the inputs as given.

        Raises
        ------
        ValueError
            For a device or precision that is not available.
        """
        return cls(settings, n, d, c, resolve_device(settings.device, settings.work(n, d, c), like))

    @property
    def curvature(self) -> type[Curvature]:
        """What the evidence sees, and second-order methods if it sets the penalty."""
        if not self.rule.follows:
            return DenseCurvature
        work = gauss_newton_work(self.n, self.c, self.settings.template(self.d, self.c).n_parameters)
        return DenseCurvature if work <= BUDGETS.repeated_work else SampledKroneckerCurvature

    def spanned(self, n: int, d: int) -> bool:  # noqa: ARG002
        """Whether coordinates in the span of n samples take the place of d features."""
        return False

    @property
    def encodes(self) -> bool:
        """Whether features may be encoded: not of wide data, or of functions under an operator."""
        return self.settings.operator is None and not self.spanned(self.n, self.d)

    def single(self, n: int) -> bool:
        """Whether single precision will do for training on n rows: with mini-batches."""
        return self.settings.solver.single(n)

    @property
    def rule(self) -> FixedAlpha:
        """Who sets the strength of the penalty."""
        found = self.settings.alpha == "auto" and self.n >= BUDGETS.evidence_rows
        return BetweenDescents() if found else FixedAlpha()

    def first_alpha(self, d: int) -> float:  # noqa: ARG002
        """Return the strength of the penalty at the start, for d inputs."""
        if self.settings.alpha != "auto":
            return float(self.settings.alpha)
        return self.settings.loss.first_alpha if self.rule.follows else PENALTY.of_few_rows

    @property
    def dtype(self) -> torch.dtype:
        """Precision of training."""
        asked = self.settings.dtype
        if self.device.type == "mps":
            if asked == "float64":
                raise ValueError("dtype='float64' is not available on device 'mps'; allowed there: 'auto', 'float32'.")
            return torch.float32
        if asked != "auto":
            return getattr(torch, asked)
        return torch.float32 if self.single(self.n) else torch.float64

    @property
    def holds_out(self) -> bool:
        """Whether validation data are held out."""
        choice = self.settings.early_stopping
        if isinstance(choice, bool):
            if choice and self.n < 2:
                raise ValueError(
                    "early_stopping=True needs at least 2 different samples of positive weight; got "
                    f"n_samples = {self.n}."
                )
            return choice
        return self.n > 1 and self.n > (BUDGETS.validation_rows if choice == "auto" else choice)

    def threads(self, rows: int, columns: int) -> AbstractContextManager[Any]:
        """Return a context for training on so many entries of X.

        That is one thread, unless the environment variable OMP_NUM_THREADS asks for more and the data are not small: on
        busy cores threads wait for each other, and a fit takes many times as long.
        """
        if self.single(rows):
            rows = self.settings.solver.rows(rows)
        few = rows * columns <= BUDGETS.single_thread_size
        asked = os.environ.get("OMP_NUM_THREADS", "").strip() not in ("", "1")
        if self.device.type == "cpu" and (few or not asked):
            return _one_thread()
        return nullcontext()


class GrowthRegime(Regime):
    """The choices for growing a network."""

    @property
    def certifies(self) -> bool:
        """Whether the path-norm problem is solved, to certified optimality."""
        return self.settings.certifies

    @property
    def spans(self) -> bool:
        """Whether coordinates in the span of the samples take the place of the features."""
        return self.spanned(self.n, self.d)

    @property
    def encodes(self) -> bool:
        """Whether features may be encoded: not for the certificate, which is one of a single hidden layer."""
        return super().encodes and not self.certifies

    def levels(self, n: int) -> list[int]:
        """Return the numbers of rows that networks are trained on one after the other, the last one of n."""
        rows, found = BUDGETS.cascade_rows, []
        schedule = self.settings.schedule  # of numbers of growths or iterations, which are those on all rows
        limited = type(schedule) is not Plateau or schedule.max_growths is not None
        one = self.settings.n_members == 1 and self.settings.operator is None
        if one and not limited and not self.certifies:
            while 2 * rows < n:
                found.append(rows)
                rows *= BUDGETS.cascade_factor
        return [*found, n]

    @property
    def grows_on(self) -> bool:
        """Whether networks that have grown on fewer rows may grow on these, too."""
        return self.n <= BUDGETS.grown_rows

    def spanned(self, n: int, d: int) -> bool:
        """Whether that is so of n samples and d features: for penalised weights nothing is lost."""
        return n <= d and n <= BUDGETS.spanned_rows and self.settings.operator is None

    @property
    def is_expensive(self) -> bool:
        """Whether a fit is expensive: classes whose Gauss-Newton matrix takes too many operations.

        Then the curvature is approximated, validation data judge, only the first activation that leads goes on, blocks
        are searched once, smaller penalties are tried in the end, and the network chosen is trained on all data.
        """
        columns = self.n if self.spans else self.d
        neurons = max(BUDGETS.dense_neurons, BUDGETS.output_block * self.c)  # a first block may have as many
        work = gauss_newton_work(self.n, self.c, (columns + 1 + self.c) * neurons)
        return self.settings.loss.known_dispersion and work > BUDGETS.dense_work

    @property
    def curvature(self) -> type[Curvature]:
        """What the evidence sees."""
        return KroneckerCurvature if self.is_expensive else DenseCurvature

    def single(self, n: int) -> bool:
        """Whether single precision will do for training on n rows."""
        return not self.certifies and (self.is_expensive or super().single(n))

    @property
    def holds_out(self) -> bool:
        """Whether validation data are held out; never if the duality gap judges."""
        if self.certifies:
            return False
        columns = (self.n if self.spans else self.d) + self.c
        needed = columns > BUDGETS.validation_columns or self.is_expensive
        auto = isinstance(self.settings.early_stopping, str)
        return super().holds_out or (auto and needed and self.n > BUDGETS.least_validation_rows)

    @property
    def relaxes(self) -> bool:
        """Whether kinks settle on smoothed networks after a growth: with full-batch solvers."""
        return self.settings.solver.sees_all_rows and not self.is_expensive

    @property
    def n_penalties(self) -> int:
        """Smaller penalties that are tried in the end."""
        return PENALTY.smaller_penalties if self.is_expensive and self.settings.alpha == "auto" else 0

    @property
    def n_exchanges(self) -> int:
        """Exchange steps: four, of classes none."""
        asked = self.settings.search.n_exchanges
        return (0 if self.settings.loss.known_dispersion else BUDGETS.exchanges) if asked == "auto" else asked

    @property
    def rule(self) -> FixedAlpha:
        """Who sets the strength of the penalty."""
        if self.settings.alpha != "auto":
            return FixedAlpha()
        return InRounds() if self.is_expensive else ByEvidence()

    def first_alpha(self, d: int) -> float:
        """Return the strength of the penalty at the start, for d inputs.

        It is that of a prior of unit weights if the noise is known; else the noise is small, as a rule. For expensive
        fits it lies between unit weights and unit sums of the inputs.
        """
        if self.settings.alpha != "auto":
            return float(self.settings.alpha)
        alpha = self.settings.loss.first_alpha
        return alpha * math.sqrt(d) if self.is_expensive else alpha

    def block_size(self, n: int, d: int, n_outputs: int) -> int:
        """Return the number of neurons per block.

        By itself that is three, six with ten samples for each of their weights, and two for each of several outputs.
        """
        asked = self.settings.block_size
        if asked != "auto":
            return asked
        large = n >= BUDGETS.samples_per_weight * BUDGETS.large_block * (d + 1 + n_outputs)
        block = BUDGETS.large_block if large else BUDGETS.small_block
        return max(block, BUDGETS.output_block * n_outputs) if n_outputs > 1 else block

    def most_neurons(self, room: int, d: int, c: int, judged_by_validation: bool) -> int:
        """Return the budget of neurons: without validation data, of no more than the evidence is computed for."""
        if judged_by_validation or self.is_expensive:
            return room
        return min(room, max(1, (BUDGETS.evidence_parameters - c) // (d + 1 + c)))

    def fits_linear_model(self, n: int, c: int, n_parameters: int) -> bool:
        """Whether a linear model is cheap."""
        return gauss_newton_work(n, c, n_parameters) + 10 * n_parameters**3 <= BUDGETS.linear_work


def is_evidence_cheap(n: int, c: int, n_parameters: int) -> bool:
    """Whether the evidence of a grown network is computed from its exact Gauss-Newton matrix."""
    few = n_parameters <= BUDGETS.evidence_parameters
    return few and gauss_newton_work(n, c, n_parameters) < BUDGETS.evidence_work


def resolve_device(device: str, work: float, like: Any = None) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``.
    work : float
        Floating-point operations of one pass over the data; ``"auto"`` takes an accelerator above 2e9.
    like : Tensor, optional
        With ``"auto"``, a tensor that already lies somewhere stays there.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        if isinstance(like, torch.Tensor) and like.device.type != "cpu":
            return like.device
        return torch.device("cuda" if cuda and work > BUDGETS.accelerator_work else "cpu")
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] if mps else [])]
    name = f"cuda:{torch.cuda.current_device()}" if device == "cuda" and cuda else device
    if name not in available:
        raise ValueError(f"device={device!r} is not available here; devices that are: {['auto', *available]}.")
    return torch.device(name)
