"""The preconditioner on a PyTorch model: hooks that see inputs and derivatives, and gradients changed in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from skgrow.preconditioning._layers import Layer, learn, make_layers


class AttachedPreconditioner:
    """Precondition the gradients of a model of ``nn.Linear`` and ``nn.Conv2d``.

    Made by :meth:`FrobeniusPreconditioner.attach`. In training mode forward passes leave the inputs of the layers, the
    backward pass of a mean loss leaves the derivatives; :meth:`step` learns from both and changes the ``grad`` of
    weights and biases, on which any optimizer of ``torch.optim`` may then work. The derivatives are those of the data
    (``fisher="empirical"``), or with ``fisher="mc"`` those that :meth:`sample` has drawn.

    Parameters
    ----------
    settings : FrobeniusPreconditioner
        Without rescaling, momentum of its own, adapted damping or ``combine="sum"``, which need the objective.
    model : torch.nn.Module
        The model.
    unsupported : {"error", "skip"}
        What to do about other layers with parameters.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import FrobeniusPreconditioner
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> preconditioner = FrobeniusPreconditioner(fisher="empirical", damping=0.1).attach(model)
    >>> X = torch.randn(20, 3)
    >>> loss = torch.nn.functional.mse_loss(model(X), X.sum(1, keepdim=True))
    >>> loss.backward()
    >>> preconditioner.step()
    >>> optimizer.step()
    """

    def __init__(self, settings: Any, model: nn.Module, unsupported: str) -> None:
        if unsupported not in ("error", "skip"):
            raise ValueError(f"unsupported must be 'error' or 'skip'; got {unsupported!r}.")
        if settings.fisher == "exact":
            raise ValueError("fisher='exact' is for skgrow's own networks; on a model it is 'empirical' or 'mc'.")
        if settings.rescale or settings.exact_momentum or settings.adapt or settings.combine == "sum":
            raise ValueError(
                "rescale, exact_momentum, adapt and combine='sum' need the objective, which a model's optimizer does "
                "not give; they are for skgrow's estimators."
            )
        self.settings = settings
        self.modules: list[nn.Linear | nn.Conv2d] = []
        shapes, others = [], []
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and not _is_grouped(module):
                self.modules.append(module)
                shapes.append((tuple(module.weight.shape), module.bias is not None, name or type(module).__name__))
            elif any(True for _ in module.parameters(recurse=False)):
                others.append(f"{name or 'model'} ({type(module).__name__})")
        if others and unsupported == "error":
            raise ValueError(
                "only nn.Linear and nn.Conv2d without groups can be preconditioned; with unsupported='skip' the "
                f"gradients of these layers are left as they are: {', '.join(others)}."
            )
        if not self.modules:
            raise ValueError("the model has no nn.Linear or nn.Conv2d.")
        self.layers: list[Layer] = make_layers(settings, shapes, self.modules[0].weight.detach())
        self.inputs: dict[int, Tensor] = {}
        self.deltas: dict[int, Tensor] = {}
        self.drawing = self.drawn = False
        self.steps = 0
        self.handles = []
        for i, module in enumerate(self.modules):
            self.handles.append(module.register_forward_hook(self._keep(i)))

    def _keep(self, i: int) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            if not module.training or not torch.is_grad_enabled():
                return
            self.inputs[i] = given[0].detach()
            output.register_hook(lambda d: self._receive(i, d))

        return hook

    def _receive(self, i: int, delta: Tensor) -> None:
        if self.drawing or not self.drawn:
            self.deltas[i] = delta.detach() * len(delta)  # of single losses, not of their mean

    def sample(self, outputs: Tensor, kind: str, generator: torch.Generator | None = None) -> None:
        """Draw targets from the model and keep the derivatives of their losses, before the backward pass of the loss.

        Parameters
        ----------
        outputs : Tensor of shape (n, c)
            Of the model, with their graph.
        kind : {"cross_entropy", "mse"}
            The loss: cross-entropy of ``c`` classes, or half the squared error.
        generator : torch.Generator, optional
            Draws the targets.
        """
        with torch.no_grad():
            if kind == "cross_entropy":
                P = torch.softmax(outputs, 1)
                drawn = torch.multinomial(P, 1, generator=generator)[:, 0]
                seed = P - torch.nn.functional.one_hot(drawn, P.shape[1])
            elif kind == "mse":
                seed = torch.randn(outputs.shape, generator=generator).to(outputs)
            else:
                raise ValueError(f"kind must be 'cross_entropy' or 'mse'; got {kind!r}.")
        parameters = [p for module in self.modules for p in module.parameters()]
        self.drawing = True
        torch.autograd.grad(outputs, parameters, seed / len(outputs), retain_graph=True, allow_unused=True)
        self.drawing, self.drawn = False, True

    def step(self) -> None:
        """Learn from the last passes and precondition the gradients.

        Raises
        ------
        RuntimeError
            If a layer has seen no backward pass, or ``fisher="mc"`` no :meth:`sample`.
        """
        if self.settings.fisher == "mc" and not self.drawn:
            raise RuntimeError("fisher='mc' needs sample(outputs, kind) before loss.backward().")
        gamma = self.settings.gamma(self.steps)
        for i, (module, layer) in enumerate(zip(self.modules, self.layers, strict=True)):
            if module.weight.grad is None:
                continue
            if i not in self.inputs or i not in self.deltas:
                raise RuntimeError(f"{layer.input.layer_} has seen no forward and backward pass in training mode.")
            x, d = self.inputs[i], self.deltas[i]
            if isinstance(module, nn.Conv2d):
                x = unfold(x, module.kernel_size, module.dilation, _padding(module), module.stride).transpose(1, 2)
            elif x.ndim > 2:  # positions share the weights, as the pixels of a convolution do
                x, d = x.flatten(1, -2), d.flatten(0, -2)
            learn(layer, x, d, x.new_full((len(x),), 1 / len(x)))
            if self.settings.inverts(self.steps, self.steps):
                layer.damp(gamma, self.settings.split)
            self._divide(module, layer)
        self.inputs, self.deltas, self.drawn = {}, {}, False
        self.steps += 1

    @staticmethod
    def _divide(module: nn.Linear | nn.Conv2d, layer: Layer) -> None:
        weight, bias = module.weight.grad, None if module.bias is None else module.bias.grad
        assert weight is not None  # noqa: S101
        D, d = layer.affine(weight.reshape(len(weight), -1), bias, layer.divide)
        weight.copy_(D.reshape(weight.shape))
        if bias is not None and d is not None:
            bias.copy_(d)

    def detach(self) -> None:
        """Take the hooks off the model."""
        for handle in self.handles:
            handle.remove()


def _is_grouped(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and (module.groups > 1 or module.padding_mode != "zeros")


def _padding(module: nn.Conv2d) -> Any:
    if isinstance(module.padding, str):
        raise ValueError(f"convolutions need numbers as padding; got {module.padding!r}.")
    return module.padding
