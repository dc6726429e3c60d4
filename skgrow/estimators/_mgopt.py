"""What the multilevel estimators share: their parameters, the levels, and the coarse networks as estimators."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skgrow.estimators._architecture import ArchitectureNetwork

if TYPE_CHECKING:
    from skgrow.multilevel import Hierarchy
    from skgrow.networks import Network

#: Hierarchies where none is given.
_HIERARCHY = {"resnet": "depth", "mlp": "width", "cnn": "resolution"}


class MultilevelNetwork(ArchitectureNetwork):
    """Base of the multilevel estimators."""

    _parameter_constraints: ClassVar[dict] = {
        **ArchitectureNetwork._parameter_constraints,
        "final_time": [Interval(Real, 0, None, closed="neither")],
        "hierarchy": [
            StrOptions({"auto", "depth", "batch", "resolution", "width", "subspace"}),
            HasMethods(["coarsen", "check"]),
        ],
        "n_levels": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "cycle": [StrOptions({"full", "V", "W", "two-level"})],
        "correction": ["boolean", StrOptions({"exact"})],
        "kappa": [Interval(Real, 0, 1, closed="neither")],
        "check_every": [Interval(Integral, 1, None, closed="left")],
        "coarse_iter": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "coarse_solver": [None, StrOptions({"lbfgs", "adam", "sgd"})],
        "coarse_learning_rate_init": [None, Interval(Real, 0, None, closed="neither")],
        "solver": [StrOptions({"lbfgs", "adam", "sgd"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "adaptive"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "target_loss": [None, Interval(Real, 0, None, closed="neither")],
    }

    _start: ClassVar[dict[str, tuple[int, ...]]] = {"mlp": (128,), "resnet": (32,) * 9, "cnn": ()}

    final_time: float
    hierarchy: Any
    n_levels: Any
    cycle: str
    n_levels_: int
    _scaling: list[Any]

    def _run(self) -> Any:
        from skgrow.estimators._mgopt_run import MGOptRun

        return MGOptRun

    # the levels --------------------------------------------------------------------------------------------

    def _template(self, n_features: int, n_outputs: int) -> Network:
        """Return a network of the architecture, residual ones in Euler steps of the final time over their number."""
        from skgrow.networks import ResNet

        network = super()._template(n_features, n_outputs)
        if not isinstance(network, ResNet):
            return network
        return ResNet(network.layer_sizes, None, network.activation, network.has_bias[-1], self._step(network.n_blocks))

    def _step(self, n_blocks: int) -> float:
        return self.final_time / max(1, n_blocks)

    def _hierarchy(self) -> Hierarchy:
        from skgrow.multilevel import as_hierarchy

        name = _HIERARCHY[self.architecture] if self.hierarchy == "auto" else self.hierarchy
        return as_hierarchy(name)

    def _count_levels(self, hierarchy: Hierarchy, network: Network) -> int:
        """Return the number of levels, after a check that the hierarchy has so many."""
        two = self.cycle == "two-level"
        if self.n_levels == "auto":
            hierarchy.check(network, 2)
            return 2 if two else hierarchy.levels(network)
        if two and self.n_levels > 2:
            raise ValueError(f"cycle='two-level' needs n_levels <= 2; got n_levels={self.n_levels!r}.")
        hierarchy.check(network, self.n_levels)
        return int(self.n_levels)

    def coarsen(self, level: int = 1) -> Self:
        """Return the network of a coarse level as an estimator of its own, smaller and faster.

        Its parameters are those of the fitted network, restricted; nothing is trained. Neighbouring blocks of a
        network that was trained on several levels from the coarsest up are alike, so their mean may do. Go on with
        ``partial_fit``, or with ``fit`` and ``warm_start=True``.

        Parameters
        ----------
        level : int, default=1
            In [1, ``n_levels_ - 1``].

        Returns
        -------
        estimator : same class
            Fitted, with ``hidden_layer_sizes``, ``channels`` and ``image_shape`` of the coarse network. With the
            hierarchy ``"resolution"`` it predicts from rows that hold max-pooled images.

        Raises
        ------
        ValueError
            For a level that the estimator does not have, or has no network of its own.
        """
        from skgrow.networks import ConvNet

        check_is_fitted(self)
        if level not in range(1, self.n_levels_):
            raise ValueError(f"level must be an integer in [1, {self.n_levels_ - 1}]; got {level!r}.")
        hierarchy = self._hierarchy()
        if hierarchy.moves:
            raise ValueError(f"{hierarchy!r} has no coarse networks: its level is a subspace of the fine parameters.")
        network = self._stepped(self._network())
        for _ in range(level):
            network = hierarchy.coarsen(network)[0]
        sizes = network.layer_sizes
        found = clone(self)
        found.__dict__.update({name: value for name, value in vars(self).items() if name not in self.get_params()})
        n_levels = self.n_levels_ - level
        found.set_params(n_levels="auto" if self.cycle == "two-level" and n_levels > 1 else n_levels)
        if isinstance(network, ConvNet):
            found.set_params(image_shape=network.image_shape, channels=network.stages)
            if sizes[0] != self.n_features_in_:
                found._pool(sizes[0], self._image_shape(self.n_features_in_), level)
        else:
            found.set_params(hidden_layer_sizes=sizes[1:-1])
        found._store_network(network, self.coefs_[0].dtype.type)
        for name in ("_moments", "_batch_losses"):
            found.__dict__.pop(name, None)
        found.n_levels_ = n_levels
        found.loss_ = float("nan")
        return found

    def _stepped(self, network: Network) -> Network:
        """Return a residual network of the step that it is trained with."""
        from skgrow.networks import ResNet

        return network.with_step(self._step(network.n_blocks)) if isinstance(network, ResNet) else network

    def _pool(self, n_features: int, shape: tuple[int, int, int], level: int) -> None:
        """Take on images that have been max-pooled ``level`` times."""
        mean, scale, *rest = self._scaling
        step = 2**level
        height, width = (size // step for size in shape[1:])
        pooled = [a.reshape(shape)[:, ::step, ::step][:, :height, :width].reshape(-1) for a in (mean, scale)]
        self._scaling = [*pooled, *rest]
        self.n_features_in_ = n_features
        self.__dict__.pop("feature_names_in_", None)
