"""The polar search: a component that finds the best new neurons, batched over directions and thresholds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skgrow._tolerances import (
    CHOSEN_SQUARE,
    COVARIANCE_RIDGE,
    CUMULATIVE_ROUNDING,
    LEAST_PIVOT,
    SPANNED_SQUARE,
    SUBSET_RIDGE,
    TINY,
)
from skgrow.growth._constants import GROWTH
from skgrow.growth._exact import exact_neuron
from skgrow.growth._polar import ascend, neuron_features, orthonormal, polar_value, refit_decrease
from skgrow.networks import Activation
from skgrow.problem import CHUNKS, Operator, rows_per_chunk


@dataclass(frozen=True)
class Block:
    """New neurons of one layer.

    Attributes
    ----------
    W : Tensor of shape (m, d)
        Incoming weights.
    b : Tensor of shape (m,)
        Biases.
    score : float
        Predicted decrease of the loss, half the squared error, when the block is added and the output refitted.
    """

    W: Tensor
    b: Tensor
    score: float

    def first(self, m: int) -> Block:
        """Return the first m neurons; the score stays that of all."""
        return Block(self.W[: max(m, 0)], self.b[: max(m, 0)], self.score)


class Search(BaseEstimator):
    """Base of the searches. One of your own defines ``search``, with the parameters of :meth:`PolarSearch.search`.

    Attributes
    ----------
    max_extensions, n_exchanges, merge_tol
        How the growth policy uses the search, see :class:`PolarSearch`.
    """

    max_extensions: int | None = None
    n_exchanges: int | str = "auto"
    merge_tol: float = 1e-6

    def check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""
        if self.max_extensions is not None and self.max_extensions < 1:
            raise ValueError(f"max_extensions must be None or >= 1; got {self.max_extensions!r}.")
        if self.n_exchanges != "auto" and (isinstance(self.n_exchanges, str) or self.n_exchanges < 0):
            raise ValueError(f"n_exchanges must be 'auto' or an int >= 0; got {self.n_exchanges!r}.")
        if self.merge_tol < 0:
            raise ValueError(f"merge_tol must be >= 0; got {self.merge_tol!r}.")


class PolarSearch(Search):
    """Search for the best new neurons, batched over directions and thresholds.

    Directions come from differences of samples, from live neurons, from least squares, from the sign iteration of
    Feischl et al. (Algorithm 15), and from a normal distribution; thresholds are quantiles of the projected data.
    Every candidate is scored by the exact decrease of the squared error when it is added and the output refitted.

    A block of m neurons is either taken neuron by neuron, each the best one given those before, or (for (leaky)
    ReLU) as the best m parallel neurons along one direction, of which three can form a hat; the one of larger decrease
    wins. A single neuron then ascends on the objective. For (leaky) ReLU that is exact on one-dimensional data and on
    two-dimensional data of few samples, as long as only the constant is refitted with it; elsewhere the value is
    a lower bound of the maximum.

    Parameters
    ----------
    n_directions : int, default=32
        Directions tried per search.
    n_thresholds : int, default=16
        Neurons tried per direction.
    normalization : {"feature", "parameter"}, default="feature"
        The denominator of the polar problem: what is left of the feature on the data after a refit, or
        :math:`|(w, b)|`, which gives the optimality certificate of path-norm penalised networks.
    max_samples : int or None, default=4000
        The search sees at most so many samples, drawn by weight: a ranking needs no more.
    max_extensions : int or None, default=None
        Blocks per growth, found one after the other while the old weights are frozen (Algorithm 2 of Feischl et al.).
        None: as many as add about a quarter of the present width.
    n_exchanges : int or "auto", default="auto"
        Exchanges after the growth: the neurons of least leave-out loss are dropped and the best new ones added, and the
        result is kept if it is better. ``"auto"``: four, of classes none.
    merge_tol : float, default=1e-6
        Before every growth neurons whose directions are this close are merged, as are (leaky) ReLUs that are on and off
        on the same samples with outgoing weights of one direction: predictions on the training data do not change.

    References
    ----------
    Feischl, Rieder and Zehetgruber, "Towards optimal hierarchical training of neural networks", eq. (4), section 3.3.
    """

    def __init__(
        self,
        n_directions: int = 32,
        n_thresholds: int = 16,
        normalization: str = "feature",
        max_samples: int | None = 4000,
        *,
        max_extensions: int | None = None,
        n_exchanges: int | str = "auto",
        merge_tol: float = 1e-6,
    ) -> None:
        self.n_directions = n_directions
        self.n_thresholds = n_thresholds
        self.normalization = normalization
        self.max_samples = max_samples
        self.max_extensions = max_extensions
        self.n_exchanges = n_exchanges
        self.merge_tol = merge_tol

    def search(
        self,
        X: Tensor,
        E: Tensor,
        g: Tensor,
        activation: Activation,
        *,
        block_size: int,
        basis: Tensor | None = None,
        live: Tensor | None = None,
        support: float = 0.0,
        generator: torch.Generator,
        operator: Operator | None = None,
    ) -> Block | None:
        """Return the best block found, or None if nothing lowers the loss.

        Parameters
        ----------
        X : Tensor of shape (n, d)
            Layer inputs.
        E : Tensor of shape (n, c)
            Negative functional gradient.
        g : Tensor of shape (n,)
            Sample weights of sum 1.
        activation : Activation
            Of the new neurons.
        block_size : int
            Neurons per block.
        basis : Tensor of shape (n, k), optional
            Features that are refitted together with the block; default: the constant.
        live : Tensor of shape (w, d), optional
            Weights of neurons that exist.
        support : float, default=0
            Share of the sample weight that must lie on either side of a kink.
        generator : torch.Generator
            On the CPU; makes the search repeatable.
        operator : Operator, optional
            Applied to the neurons; then E, g and basis have its rows.

        Returns
        -------
        Block or None
            Its score is a decrease of half the squared error, in squared units of E.

        Raises
        ------
        ValueError
            For parameters of the component that are not allowed.
        """
        given = X
        if self.normalization not in ("feature", "parameter"):
            raise ValueError(f"normalization must be 'feature' or 'parameter'; got {self.normalization!r}.")
        for name in ("n_directions", "n_thresholds"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}.")
        if operator is None:
            X, E, g, basis = self._subsample(X, E, g, basis, generator)
        X, E, g = _double(X), _double(E), _double(g)
        basis = None if basis is None else _double(basis)
        live = None if live is None else _double(live)
        root = g.sqrt()[:, None]
        target = E * root
        # of the points; with an operator points count alike, whatever the weight of a boundary value
        weight = g if operator is None else X.new_full((len(X),), 1 / len(X))
        U = self._directions(X, E if len(E) == len(X) else None, weight, live, generator)
        if operator is not None:  # kinks of derivatives do not move in training: both sides have to be offered
            U = torch.cat([U, -U])
        P = X @ U.T
        slopes, biases = self._grid(P, weight, activation, support, between=operator is not None)
        V = torch.cat([slopes[..., None] * U[:, None, :], biases[..., None]], 2)  # (k, K, d + 1)
        if self.normalization == "parameter":
            values = polar_value(X, E, g, activation, V.flatten(0, 1), "parameter", operator=operator)
            starts = _best_per_direction(V, values)[: max(GROWTH.ascents, block_size)]
            best = self._polish(X, E, g, activation, starts, None, operator=operator)[:block_size]
            return _block(best.to(given), refit_decrease(X, E, g, activation, best, operator))
        Q = orthonormal(E.new_ones(len(E), 1) if basis is None else basis, root)
        favour = self._favour(P, weight, activation, slopes)

        def features(rows: slice) -> Tensor:  # (directions, K, n); neurons along one direction share its projection
            if operator is not None:
                H = neuron_features(X, activation, V[rows].flatten(0, 1), operator)
                return H.T.reshape(*slopes[rows].shape, -1)
            return activation.value(torch.addcmul(biases[rows, :, None], slopes[rows, :, None], P.T[rows, None]))

        score, chosen = self._score(features, root, target, activation, V, Q, favour=favour, size=block_size)
        if block_size == 1:
            values = polar_value(X, E, g, activation, V.flatten(0, 1), "feature", Q, operator)
            pool = torch.cat([chosen, _best_per_direction(V, values)[: GROWTH.ascents]])
            chosen = self._polish(X, E, g, activation, pool, Q, operator=operator)[:1]
            score = float(polar_value(X, E, g, activation, chosen, "feature", Q, operator)[0]) ** 2
        return _block(chosen.to(given), 0.5 * score) if score > 0 else None

    # candidates ------------------------------------------------------------------------------------------------

    def _subsample(
        self, X: Tensor, E: Tensor, g: Tensor, basis: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        if self.max_samples is None or len(X) <= self.max_samples:
            return X, E, g, basis
        rows = draw_rows(X, g, self.max_samples, generator)
        uniform = X.new_full((len(rows),), 1 / len(rows))
        return X[rows], E[rows], uniform, None if basis is None else basis[rows]

    def _directions(
        self, X: Tensor, E: Tensor | None, g: Tensor, live: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        d, k = X.shape[1], max(GROWTH.least_directions, self.n_directions // GROWTH.direction_kinds)
        if d == 1:
            return X.new_ones(1, 1)
        signs = _normal((k, d), generator, X)
        first, second = draw_rows(X, g, k, generator), draw_rows(X, g, k, generator)
        parts = [_normal((k, d), generator, X), X[first] - X[second]]
        if E is not None:
            M = X * (E * g[:, None])[:, :1]
            for _ in range(GROWTH.sign_steps):
                signs = torch.sign(signs @ M.T) @ M
            parts.append(signs)
        if E is not None and _n_distinct(X) >= GROWTH.rows_per_feature * d:
            centred = X - g @ X
            covariance = (centred * g[:, None]).T @ centred
            ridge = covariance.diagonal().mean().clamp_min(TINY) * COVARIANCE_RIDGE
            moments = (centred * g[:, None]).T @ E
            ridge = ridge * torch.eye(d, dtype=X.dtype, device=X.device)
            parts = [torch.linalg.solve(covariance + ridge, moments).T, moments.T, *parts]
        if live is not None and len(live):
            places = torch.randperm(len(live), generator=generator)[:k].to(X.device)
            parts.append(live[places])
        U = torch.cat(parts)
        norm = torch.linalg.vector_norm(U, dim=1)
        U = U[torch.isfinite(norm) & (norm > 0)]
        return U / torch.linalg.vector_norm(U, dim=1, keepdim=True)

    def _grid(
        self, P: Tensor, g: Tensor, activation: Activation, support: float, *, between: bool
    ) -> tuple[Tensor, Tensor]:
        """Slopes and biases of the candidates along each direction, both of shape (k, K).

        The projections P have one direction in each of k columns. Kinks lie on samples or, for derivatives, which jump
        there, ``between`` them.
        """
        K = self.n_thresholds
        order = P.argsort(dim=0)
        cumulative = g[order].cumsum(0).T.contiguous()
        ordered = P.gather(0, order).T
        if activation.is_piecewise_linear:
            levels = torch.linspace(support, 1 - support, K + 2, dtype=P.dtype, device=P.device)[:-1]
            if support > 0:
                levels = levels[1:]
            thresholds = _weighted_quantiles(ordered, cumulative, levels)
            if between:
                places = torch.searchsorted(ordered.contiguous(), thresholds.contiguous(), right=True)
                thresholds = 0.5 * (thresholds + ordered.gather(1, places.clamp_max(len(P) - 1)))
            return torch.ones_like(thresholds), -thresholds
        mean = g @ P
        deviation = (g @ (P - mean).square()).sqrt().clamp_min(TINY)
        per_slope = max(1, K // len(GROWTH.candidate_slopes))
        levels = (torch.arange(per_slope, dtype=P.dtype, device=P.device) + 0.5) / per_slope
        thresholds = _weighted_quantiles(ordered, cumulative, levels)
        slopes = torch.tensor(GROWTH.candidate_slopes, dtype=P.dtype, device=P.device)
        slopes = slopes[None, :, None] / deviation[:, None, None]
        biases = -slopes * thresholds[:, None, :]
        return slopes.expand_as(biases).reshape(len(mean), -1), biases.reshape(len(mean), -1)

    # scores ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _favour(P: Tensor, g: Tensor, activation: Activation, slopes: Tensor) -> Tensor:
        """Factor, at most 1, on the gain of every candidate, shape (k, K)."""
        if activation.is_piecewise_linear:
            return torch.ones_like(slopes)
        deviation = (g @ (P - g @ P).square()).sqrt()
        return (slopes * deviation[:, None]).clamp_min(1).pow(-GROWTH.steepness_power)

    def _score(
        self,
        features_of: Callable[[slice], Tensor],
        root: Tensor,
        target: Tensor,
        activation: Activation,
        V: Tensor,
        Q: Tensor,
        *,
        favour: Tensor,
        size: int,
    ) -> tuple[float, Tensor]:
        """Return twice the decrease of half the squared error, and the neurons (w, b) that reach it.

        ``features_of(rows)`` are the outputs of the candidates of some directions, shape (k, K, n). Directions are
        worked on in chunks bounded by a memory budget. From every chunk the best parallel block and, for the choice
        neuron by neuron, the features of largest decrease are kept.
        """
        k, K, _ = V.shape
        n = len(root)
        per_direction = 3 * K * n * V.element_size()
        rows = max(1, min(k, rows_per_chunk(V.device.type, per_direction, CHUNKS.candidate_chunks)))
        kept = GROWTH.kept_candidates * max(size, rows)
        best_score, best = 0.0, V.new_zeros(0, V.shape[-1])
        pool_features, pool_neurons, pool_favour = [], [], []
        for start in range(0, k, rows):
            part, factor = V[start : start + rows], favour[start : start + rows]
            features = self._without(Q, features_of(slice(start, start + rows)).mul_(root[:, 0]))
            moments = features @ target  # (rows, K, c)
            if size > 1 and activation.is_piecewise_linear:
                scores, subsets = _best_subsets(features @ features.transpose(1, 2), moments, size)
                top = int(scores.argmax())
                if float(scores[top]) > best_score:
                    best_score, best = float(scores[top]), part[top, subsets[top]]
            gains = (moments.square().sum(-1) * factor).flatten()
            places = gains.topk(min(kept, part.shape[0] * K)).indices
            pool_favour.append(factor.flatten()[places])
            pool_features.append(features.flatten(0, 1).index_select(0, places))
            pool_neurons.append(part.flatten(0, 1).index_select(0, places))
        score, chosen = _one_by_one(torch.cat(pool_features), target, torch.cat(pool_favour), size)
        return (score, torch.cat(pool_neurons)[chosen]) if score > best_score else (best_score, best)

    @staticmethod
    def _without(Q: Tensor, features: Tensor) -> Tensor:
        """Weighted features without their part in the span of Q, normalised; zero if nothing is left."""
        flat = features.flatten(0, 1)  # neurons in rows: what follows runs along rows
        before = flat.square().sum(-1)
        flat.addmm_(flat @ Q, Q.T, alpha=-1)
        norms = flat.square().sum(-1)
        usable = norms > SPANNED_SQUARE * before
        flat *= (usable / norms.clamp_min(TINY).sqrt())[:, None]
        return flat.view(features.shape)

    def _polish(
        self,
        X: Tensor,
        E: Tensor,
        g: Tensor,
        activation: Activation,
        V: Tensor,
        Q: Tensor | None,
        *,
        operator: Operator | None,
    ) -> Tensor:
        """Let neurons ascend, join the exact solution if there is one, and sort them by value."""
        V = ascend(X, E, g, activation, V, self.normalization, Q, operator=operator)
        exact = X.shape[1] == 1 or (X.shape[1] == 2 and len(X) <= GROWTH.searched_plane_rows)
        constant_only = Q is None or Q.shape[1] == 1
        if exact and activation.is_piecewise_linear and constant_only and operator is None:
            found = exact_neuron(X, E, g, activation, self.normalization)
            V = torch.cat([torch.cat(found)[None], V])
        values = polar_value(X, E, g, activation, V, self.normalization, Q, operator)
        return V[values.argsort(descending=True, stable=True)]


def _double(A: Tensor) -> Tensor:
    """Double precision, on the CPU if the device has none: the small Gram matrices are ill-conditioned."""
    return A.to("cpu", torch.float64) if A.device.type == "mps" else A.to(torch.float64)


def _block(V: Tensor, score: float) -> Block:
    return Block(V[:, :-1].clone(), V[:, -1].clone(), score)


def _best_per_direction(V: Tensor, values: Tensor) -> Tensor:
    """Return the best neuron of every direction, sorted by value; V is (k, K, d + 1)."""
    best, place = values.view(V.shape[:2]).max(1)
    rows = best.argsort(descending=True)
    return V[rows, place[rows]]


def _one_by_one(features: Tensor, target: Tensor, favour: Tensor, size: int) -> tuple[float, Tensor]:
    """Choose unit features one after the other, each of the largest decrease after a refit with those before.

    Parameters
    ----------
    features : Tensor of shape (q, n)
        Unit vectors, or zeros.
    target : Tensor of shape (n, c)
        What is fitted.
    favour : Tensor of shape (q,)
        Factors on the gains in the choice.
    size : int
        How many to choose.

    Returns
    -------
    score : float
        Decrease of the squared norm of the target.
    chosen : LongTensor of shape (at most size,)
        Row numbers.
    """
    inner = features @ target
    left = features.square().sum(1)  # squared norms of what is left of each candidate
    directions, overlaps = features.new_empty(size, features.shape[1]), features.new_empty(size, len(features))
    chosen: list[int] = []
    score = 0.0
    for i in range(size):
        gains = torch.where(left > CHOSEN_SQUARE, inner.square().sum(1) / left, 0.0)
        pick = int((gains * favour).argmax())
        gain = float(gains[pick])
        if not gain > 0:
            break
        score += gain
        chosen.append(pick)
        direction = torch.addmv(features[pick], directions[:i].T, overlaps[:i, pick], alpha=-1)
        directions[i] = direction = direction / torch.linalg.vector_norm(direction)
        overlaps[i] = overlap = features @ direction
        left = left - overlap.square()
        inner = inner - overlap[:, None] * (direction @ target)
    return score, torch.tensor(chosen, dtype=torch.long, device=features.device)


def _best_subsets(gram: Tensor, moments: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Best subset of columns per direction by the exact least-squares decrease ``q^T G^-1 q``.

    Parameters
    ----------
    gram : Tensor of shape (k, K, K)
        Gram matrices with unit diagonal (zero for unusable columns).
    moments : Tensor of shape (k, K, c)
        Products of the columns with the targets.
    size : int
        Columns per subset.

    Returns
    -------
    scores : Tensor of shape (k,)
    members : LongTensor of shape (k, size)
    """
    k, K, _ = gram.shape
    size = min(size, K)
    eye = SUBSET_RIDGE * torch.eye(K, dtype=gram.dtype, device=gram.device)
    gram = gram + eye + torch.diag_embed((gram.diagonal(dim1=1, dim2=2) == 0).to(gram.dtype))
    if math.comb(K, size) * size**2 <= GROWTH.most_subset_entries:
        subsets = _subsets(K, size).to(gram.device)
        scores = _decreases(gram, moments, subsets)
        best = scores.argmax(1)
        return scores.gather(1, best[:, None])[:, 0], subsets[best]
    rest, left = gram, moments
    scores = gram.new_zeros(k)
    members: list[Tensor] = []
    rows = torch.arange(k, device=gram.device)
    for _ in range(size):
        diagonal = rest.diagonal(dim1=1, dim2=2)
        gains = left.square().sum(-1) / diagonal.clamp_min(TINY)
        gains = torch.where(diagonal < LEAST_PIVOT, -1.0, gains)  # also of those chosen before
        pick = gains.argmax(1)
        members.append(pick)
        scores = scores + gains[rows, pick].clamp_min(0)
        column = rest[rows, :, pick]
        share = column / column[rows, pick].clamp_min(TINY)[:, None]
        left = left - share[..., None] * left[rows, pick][:, None, :]
        rest = rest - column[..., None] * share[:, None, :]
    return scores, torch.stack(members, 1)


@cache
def _subsets(K: int, size: int) -> Tensor:
    """Return all subsets of so many of K numbers, one a row."""
    return torch.tensor(list(itertools.combinations(range(K), size)))


def _decreases(gram: Tensor, moments: Tensor, subsets: Tensor) -> Tensor:
    """Return ``q^T G^-1 q`` of all subsets of columns, shape (k, number of subsets), by one elimination for all."""
    k, K, c = moments.shape
    m, places = subsets.shape[1], subsets.T
    G = gram.reshape(k, -1).index_select(1, (K * places[:, None] + places).reshape(-1)).view(k, m, m, -1)
    q = moments.index_select(1, places.reshape(-1)).view(k, m, -1, c).movedim(-1, 2).contiguous()
    total = gram.new_zeros(k, len(subsets))
    for i in range(m):
        pivot = G[:, i, i]
        total += q[:, i].square().sum(1) / pivot
        share = G[:, i + 1 :, i] / pivot[:, None]
        q[:, i + 1 :].addcmul_(share[:, :, None], q[:, i, None], value=-1)
        G[:, i + 1 :, i + 1 :].addcmul_(share[:, :, None], G[:, i, None, i + 1 :], value=-1)
    return total


def draw_rows(X: Tensor, g: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draw k row numbers with probabilities g.

    Rows are numbered along a random projection, so the samples drawn depend on the weighted point set and not on
    the order of rows or on how a weight is spread over equal rows.
    """
    projection = X @ _normal((X.shape[1],), generator, X)
    order = projection.argsort(stable=True)
    uniform = torch.rand(k, generator=generator, dtype=torch.float64).to(g)
    places = torch.searchsorted(g[order].cumsum(0), uniform)
    return order[places.clamp_max(len(X) - 1)]


def _n_distinct(X: Tensor) -> int:
    """Return the number of distinct rows, told apart by a random projection."""
    return torch.unique(X @ _normal((X.shape[1],), torch.Generator().manual_seed(0), X)).numel()


def _normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)


def _weighted_quantiles(ordered: Tensor, cumulative: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of rows of sorted values (k, n), with their cumulative weights, shape (k, len(levels))."""
    wanted = levels.expand(len(ordered), -1).contiguous()
    # a level that falls on a step within rounding takes the value below it
    places = torch.searchsorted(cumulative, wanted - CUMULATIVE_ROUNDING).clamp_max(ordered.shape[1] - 1)
    return ordered.gather(1, places)
