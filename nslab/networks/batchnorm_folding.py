"""A scoring copy of a network: BatchNorm folded into the layers before it, optionally in 16 bits.

In evaluation mode BatchNorm is an affine map with constant coefficients, so it can be merged into
the convolution before it. The copy makes fewer passes over memory; it is refreshed from the live
network before each use, at the cost of one read of the parameters.
"""

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from nslab.networks.modes import scoring

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LAYERS = (nn.Conv1d, nn.Conv2d)


class FoldedCopy:
    """Evaluation-mode copy of ``model``: ``refresh()``, then call it on a batch.

    It equals ``model.eval()(x)`` up to the rounding of float32, or of ``dtype``; ``fold=False``
    only changes the precision. Raises ``ValueError`` for a network that ``torch.fx`` cannot trace
    (control flow that depends on data).
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype | None = None, fold: bool = True
    ) -> None:
        try:
            with scoring(model):  # code that depends on the mode is traced in evaluation mode
                graph = fx.Tracer().trace(model)
            net = copy.deepcopy(fx.GraphModule(model, graph))
            source = _tensors(model)
            if unknown := [name for name in _tensors(net) if name not in source]:
                raise ValueError(f"it uses {', '.join(unknown)}, which belongs to no module")
        except Exception as error:
            raise ValueError(
                f"cannot make a folded copy of {type(model).__name__}, since torch.fx cannot trace "
                f"it ({error}); score with fold_batchnorm=False and score_dtype='model'"
            ) from error
        self.net = net.eval().requires_grad_(False)
        self.folds: list[tuple[Any, Any, Any]] = []  # live layer, live norm, layer of the copy
        folded = set()
        for norm, feed in foldable(self.net) if fold else []:
            layer: Any = self.net.get_submodule(str(feed.target))
            if layer.bias is None:
                like = layer.weight.detach()
                layer.bias = nn.Parameter(like.new_zeros(like.shape[0]), requires_grad=False)
            live = model.get_submodule(str(feed.target)), model.get_submodule(str(norm.target))
            self.folds.append((*live, layer))
            folded |= {f"{feed.target}.weight", f"{feed.target}.bias"}
            norm.replace_all_uses_with(feed)
            self.net.graph.erase_node(norm)
        self.net.delete_all_unused_submodules()
        self.net.recompile()
        self.net.to(dtype=dtype)
        self.dtype = dtype
        own = _tensors(self.net)
        self.copies = [(own[name], source[name]) for name in own.keys() - folded]

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the live network's current parameters and running statistics, folded."""
        for mine, live in self.copies:
            mine.copy_(live)
        for layer, norm, mine in self.folds:
            # scale = gamma / sqrt(var + eps): y = scale * (W x + b - mean) + beta
            scale = torch.rsqrt(norm.running_var + norm.eps)
            if norm.affine:
                scale = scale * norm.weight
            mine.weight.copy_(layer.weight * scale.view(-1, *[1] * (layer.weight.dim() - 1)))
            shift = -norm.running_mean if layer.bias is None else layer.bias - norm.running_mean
            mine.bias.copy_(shift * scale + norm.bias if norm.affine else shift * scale)

    def __call__(self, x: Tensor) -> Tensor:
        """The copy's output for a batch; token ids are not cast."""
        cast = self.dtype is not None and x.is_floating_point()
        return self.net(x.to(self.dtype) if cast else x)


# The copy of each live network, by the settings and parameters it was made for.
_COPIES: WeakKeyDictionary[nn.Module, dict[tuple, FoldedCopy]] = WeakKeyDictionary()


def folded_copy(model: nn.Module, dtype: torch.dtype | None, fold: bool) -> FoldedCopy:
    """The refreshed copy of ``model``, made at first use and again whenever its parameters have
    been replaced (another layer, a move to another device)."""
    known = _COPIES.setdefault(model, {})
    key = (dtype, fold, *((id(p), p.device, p.dtype) for p in model.parameters()))
    if key not in known:
        known.clear()
        known[key] = FoldedCopy(model, dtype, fold)
    known[key].refresh()
    return known[key]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return parameters | dict(module.named_buffers(remove_duplicate=False))


def foldable(net: fx.GraphModule) -> list[tuple[fx.Node, fx.Node]]:
    """Pairs (norm, layer) that can be folded: both are plain modules and called once, and nothing
    but the norm reads the layer's output or its weights."""
    nodes = list(net.graph.nodes)
    calls = [str(node.target) for node in nodes if node.op == "call_module"]
    read = {str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr"}
    shared = [id(p) for _, p in net.named_parameters(remove_duplicate=False)]

    def plain(node: fx.Node, kinds: tuple[type, ...]) -> bool:
        if node.op != "call_module":
            return False
        name = str(node.target)
        module = net.get_submodule(name)  # a subclass may compute something else
        own = all(shared.count(id(p)) == 1 for p in module.parameters())
        return type(module) in kinds and calls.count(name) == 1 and name not in read and own

    pairs: list[tuple[fx.Node, fx.Node]] = []
    for norm in nodes:
        layer = norm.args[0] if norm.args else None
        if not (isinstance(layer, fx.Node) and plain(norm, NORMS) and plain(layer, LAYERS)):
            continue
        if len(layer.users) == 1 and net.get_submodule(str(norm.target)).track_running_stats:
            pairs.append((norm, layer))
    return pairs
