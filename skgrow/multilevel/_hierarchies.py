"""Hierarchies: what a coarse level is, and how it hangs together with the finer one."""

from __future__ import annotations

from typing import cast

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import max_pool2d

from skgrow.multilevel._bases import lanczos_basis
from skgrow.multilevel._constants import MULTILEVEL
from skgrow.multilevel._subspace import SubspaceNetwork
from skgrow.multilevel._transfer import Aggregation, Blocks, Identity, Subspace, Transfer, constant, linear
from skgrow.networks import MLP, ConvNet, Network, ResNet
from skgrow.problem import Problem


class Hierarchy(BaseEstimator):
    """Base of the hierarchies; subclasses say how one level is coarsened."""

    #: Whether the coarse level depends on the point of the finer one; such a level is no network of its own.
    moves = False

    #: Whether training starts from the prolongation of a coarse network even if it is not trained first.
    smooth = False

    def depth(self, network: Network) -> int:
        """Return the largest number of levels that a network can have.

        Raises
        ------
        ValueError
            If networks of this kind have no such hierarchy.
        """
        raise NotImplementedError

    def admissible(self, network: Network, n_levels: int) -> str:  # noqa: ARG002
        """Say what would have to be different for so many levels."""
        return f"n_levels <= {self.depth(network)}"

    def check(self, network: Network, n_levels: int) -> None:
        """Raise ValueError unless the network has so many levels."""
        if n_levels > self.depth(network):
            raise ValueError(
                f"n_levels={n_levels} does not fit {self!r} and layers {network.layer_sizes}; admissible: "
                f"{self.admissible(network, n_levels)}."
            )

    def levels(self, network: Network) -> int:
        """Return the number of levels if none is asked for: two."""
        return min(2, self.depth(network))

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:
        """Return the coarse network, restricted from the one given, and the transfer between them."""
        raise NotImplementedError

    def inputs(self, network: Network, X: Tensor) -> Tensor:  # noqa: ARG002
        """Return the inputs of the coarse network, given the fine network's."""
        return X

    def refine(self, coarse: Network, fine: Network, transfer: Transfer, generator: torch.Generator) -> Network:  # noqa: ARG002
        """Return the fine network that starts where the coarse one ended."""
        return fine.with_theta(transfer.apply(coarse.theta))

    def batch_size(self, size: int) -> int:
        """Return the coarse size of mini-batches, given the finer one's."""
        return size

    def steps(self, n_levels: int) -> list[float]:
        """Return the step sizes of the levels, finest first, in multiples of the finest one's."""
        return [1.0] * n_levels

    def _unfit(self, network: Network, needs: str) -> ValueError:
        return ValueError(f"{type(self).__name__} needs {needs}; got {network!r}.")


class DepthHierarchy(Hierarchy):
    """Residual networks of half the blocks and twice the step: coarser Euler schemes of one differential equation.

    Step sizes of solvers are 1.5 times as large on the coarsest level as on the finest: what is trained from the
    coarsest level up anneals, with large steps where they are cheap and shallow networks bear them.

    Parameters
    ----------
    interpolation : {"constant", "linear"}, default="constant"
        Of blocks in depth: copies (Example 3.35) or means of neighbours (Example 3.36).
    restriction : {"pinv", "adjoint", "injection"}, default="pinv"
        Of parameters; see :class:`Blocks`. Gradients always go by the transposed interpolation.
    scale : float, default=1
        Factor c of that; see :class:`Transfer`.

    Examples
    --------
    >>> from skgrow import MGOptRegressor
    >>> from skgrow.multilevel import DepthHierarchy
    >>> reg = MGOptRegressor(hierarchy=DepthHierarchy(interpolation="linear"))
    >>> reg.get_params()["hierarchy__interpolation"]
    'linear'
    """

    smooth = True

    def __init__(self, interpolation: str = "constant", restriction: str = "pinv", scale: float = 1.0) -> None:
        self.interpolation = interpolation
        self.restriction = restriction
        self.scale = scale

    def depth(self, network: Network) -> int:
        """Return one more than how often the number of blocks can be halved."""
        allowed = {"interpolation": ("constant", "linear"), "restriction": ("pinv", "adjoint", "injection")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {list(values)}; got {getattr(self, name)!r}.")
        if not isinstance(network, ResNet) or len(set(network.layer_sizes[2:-1])) != 1:
            raise self._unfit(network, "a residual network whose blocks have one width")
        return 1 + _factors_of_two(network.n_blocks)

    def levels(self, network: Network) -> int:
        """Return the largest number with four blocks on the coarsest level, at least two."""
        most = self.depth(network)
        while most > 2 and network.depth // 2 ** (most - 1) < MULTILEVEL.coarsest_blocks:
            most -= 1
        return most

    def steps(self, n_levels: int) -> list[float]:
        """Return a geometric sequence from 1 to 1.5."""
        return [MULTILEVEL.coarsest_step ** (level / max(n_levels - 1, 1)) for level in range(n_levels)]

    def admissible(self, network: Network, n_levels: int) -> str:
        """Name the numbers of blocks that can be halved so often."""
        step, blocks = 2 ** (n_levels - 1), network.depth
        below = [count for count in (blocks // step * step,) if count]
        near = " or ".join(map(str, [*below, (blocks // step + 1) * step]))
        return (
            f"n_levels <= {self.depth(network)} with {blocks} blocks, or for {n_levels} levels multiples of {step} "
            f"blocks such as {near}"
        )

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:  # noqa: ARG002
        """Return the network of half the blocks."""
        network = cast(ResNet, network)
        n, width, m = network.n_blocks // 2, network.layer_sizes[1], network.layer_sizes[2]
        matrix = constant(n) if self.interpolation == "constant" else linear(n)
        before, after = network.slices[0][1].stop, network.n_parameters - network.slices[-1][0].start
        transfer = Blocks(
            matrix.to(network.theta),
            m * width + m + width * m,
            before,
            after,
            restriction=self.restriction,
            scale=self.scale,
        )
        sizes = (*network.layer_sizes[: 2 + n], network.layer_sizes[-1])
        theta = transfer.restrict(network.theta)
        coarse = ResNet(sizes, theta, network.activation, network.has_bias[-1], 2 * network.step)
        return coarse, transfer


class BatchHierarchy(Hierarchy):
    """Levels of one network and smaller and smaller mini-batches: cheap steps of much variance (Example 3.37).

    Parameters
    ----------
    factor : int, default=4
        By which mini-batches get smaller from level to level, at least 2.
    """

    def __init__(self, factor: int = 4) -> None:
        self.factor = factor

    def depth(self, network: Network) -> int:  # noqa: ARG002
        """Return a number beyond all that make sense: mini-batches end at one sample."""
        if self.factor < 2:
            raise ValueError(f"factor must be at least 2; got {self.factor!r}.")
        return MULTILEVEL.most_batch_levels

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:  # noqa: ARG002
        """Return the network."""
        return network, Identity(network.n_parameters)

    def batch_size(self, size: int) -> int:
        """Return the size divided by the factor."""
        return max(1, size // self.factor)


class ResolutionHierarchy(Hierarchy):
    """Convolutional networks on max-pooled images, with the same kernels (Example 3.39).

    The images are pooled instead of the first stage's channels: the first two stages become one, and from there on
    everything, dense layers included, is of the same size. So all levels share their parameters.
    """

    def depth(self, network: Network) -> int:
        """Return the number of stages."""
        if not isinstance(network, ConvNet):
            raise self._unfit(network, "a convolutional network")
        return len(network.stages)

    def admissible(self, network: Network, n_levels: int) -> str:
        """Name the number of stages."""
        return f"n_levels <= {self.depth(network)}, the number of stages of channels, here needed {n_levels}"

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:  # noqa: ARG002
        """Return the network on images of half the size."""
        network = cast(ConvNet, network)
        channels, height, width = network.image_shape
        shape = (channels, height // 2, width // 2)
        first, second, *others = network.stages
        coarse = ConvNet(
            shape, ((*first, *second), *others), network.dense, network.theta, network.activation, network.units
        )
        return coarse, Identity(network.n_parameters)

    def inputs(self, network: Network, X: Tensor) -> Tensor:
        """Return the images, max-pooled."""
        network = cast(ConvNet, network)
        images = max_pool2d(X.view(-1, *network.image_shape), 2)
        return images.reshape(len(images), -1)


class WidthHierarchy(Hierarchy):
    """Networks of fewer neurons: groups of neurons become one, see :class:`Aggregation`.

    Of residual networks those inside the blocks, of dense ones all hidden neurons.

    Parameters
    ----------
    factor : int, default=2
        Size of the groups, at least 2.
    """

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def depth(self, network: Network) -> int:
        """Return one more than how often all widths can be divided."""
        if self.factor < 2:
            raise ValueError(f"factor must be at least 2; got {self.factor!r}.")
        if not isinstance(network, (MLP, ResNet)):
            raise self._unfit(network, "a dense or residual network")
        widths, count = self._widths(network), 1
        while widths and all(width % self.factor**count == 0 for width in widths):
            count += 1
        return count

    def admissible(self, network: Network, n_levels: int) -> str:
        """Name the widths."""
        return f"n_levels <= {self.depth(network)}, or widths that {self.factor ** (n_levels - 1)} divides"

    def _widths(self, network: Network) -> tuple[int, ...]:
        return network.layer_sizes[2 if isinstance(network, ResNet) else 1 : -1]

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:  # noqa: ARG002
        """Return the network of fewer neurons."""
        f, n = self.factor, len(network.shapes)
        if isinstance(network, ResNet):
            groups = [(f if 0 < i < n - 1 and i % 2 else 1, f if 0 < i < n - 1 and not i % 2 else 1) for i in range(n)]
        else:
            groups = [(f if i < n - 1 else 1, f if i else 1) for i in range(n)]
        transfer = Aggregation(network.shapes, network.has_bias, groups)
        sizes = (
            *network.layer_sizes[: 2 if isinstance(network, ResNet) else 1],
            *(width // f for width in self._widths(network)),
            network.layer_sizes[-1],
        )
        theta = transfer.restrict(network.theta)
        if isinstance(network, ResNet):
            return ResNet(sizes, theta, network.activation, network.has_bias[-1], network.step), transfer
        return MLP(sizes, theta, network.activation), transfer

    def refine(self, coarse: Network, fine: Network, transfer: Transfer, generator: torch.Generator) -> Network:
        """Return the network of copied neurons whose incoming weights differ a little, lest they stay the same."""
        theta = transfer.apply(coarse.theta)
        noise = torch.randn(len(theta), generator=generator, dtype=torch.float64).to(theta)
        noise = noise - transfer.apply(transfer.pinv(noise))
        return fine.with_theta(theta + noise * (MULTILEVEL.copy_noise * float(theta.norm() / noise.norm())))


class SubspaceHierarchy(Hierarchy):
    """Coordinates along eigenvectors of the Hessian at the present point, found by the Lanczos method.

    A coarse gradient costs as much as a fine one; what the level offers is a small problem in the directions that
    the fine solver leaves behind (Definition 3.6).

    Parameters
    ----------
    dimension : int, default=10
        Number of eigenvectors.
    which : {"largest", "smallest"}, default="largest"
        Eigenvalues.
    """

    moves = True

    def __init__(self, dimension: int = 10, which: str = "largest") -> None:
        self.dimension = dimension
        self.which = which

    def depth(self, network: Network) -> int:
        """Return two: the network and a subspace of its parameters."""
        if self.which not in ("largest", "smallest"):
            raise ValueError(f"which must be one of ['largest', 'smallest']; got {self.which!r}.")
        if not 1 <= self.dimension <= network.n_parameters:
            raise ValueError(
                f"dimension must lie in [1, {network.n_parameters}], the number of parameters; got {self.dimension!r}."
            )
        return 2

    def coarsen(self, network: Network, problem: Problem | None = None) -> tuple[Network, Transfer]:
        """Return the network as a function of its coordinates."""
        theta, double = network.theta, cast(Problem, problem).double()
        center = theta.double()
        length = MULTILEVEL.hessian_step * (1 + float(center.norm()))

        def hessian(v: Tensor) -> Tensor:
            step = v.to(center) * (length / float(v.norm()))
            ahead, behind = (double.value_and_gradient(network.with_theta(center + s * step))[1] for s in (1, -1))
            return ((ahead - behind) * (float(v.norm()) / (2 * length))).to(v)

        basis = lanczos_basis(
            hessian, len(theta), self.dimension, self.which, tol=MULTILEVEL.hessian_tol, random_state=0
        ).to(theta)
        transfer: Transfer = Subspace(basis)
        return SubspaceNetwork(network, basis, transfer.restrict(theta)), transfer


def _factors_of_two(count: int) -> int:
    return (count & -count).bit_length() - 1 if count else 0
