"""A first look at a comparison before any of its runs: does the network take such images or texts,
and each method its outputs?"""

import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nslab.configs import TrainConfig
from nslab.networks import NETWORKS, build_network
from nslab.networks.logits import check_logits, logits_of
from nslab.objectives.checks import check_scored
from nslab.system.code_digest import code_digest
from nslab.system.content_names import short_name
from nslab.system.distributed import process_group
from nslab.types import Batch, DataInfo, InputShape, Objective, TokenInfo

FEWEST = 4  # samples of the batch; a method may need more
SHORTER = (
    "Batches are cut to their longest text, so they may be shorter than text_length: take the "
    "length of each batch, say by a mean over the tokens (dim=1)"
)


def try_out(configs: Mapping[str, TrainConfig]) -> None:
    """Build the network of some configs, which differ in method and settings, and let it and each
    method see one small batch of random images or texts, on the device of the runs.

    No number of a run depends on it: it draws from generators that are put back. Raises
    ``ValueError``, with what to do, for a network that does not take such inputs, has fewer
    outputs than there are classes, or shares what is trained with the next one that is made; for
    parameters that nothing would train; for a batch that is smaller than a method needs, and a
    method that cannot be trained by. Warns of outputs that no class has, and of a loss that
    remembers.
    """
    with _own_generators(), torch.enable_grad():
        tried: dict[InputShape, nn.Module] = {}
        for name, config in configs.items():
            dataset = config.about
            shape, tokens = dataset.shape, dataset.tokens
            classes, samples = dataset.layout.num_classes, _samples(config, dataset.layout.train)
            counts = torch.full((classes,), max(1, samples // classes))
            objective = config.objective.build(DataInfo(classes, samples, counts, tokens))
            least, size = max(2, objective.min_batch), min(config.batch_size, samples)
            size //= process_group().num_processes
            if size < least:
                few = samples <= config.batch_size
                more = "train on more samples" if few else f"give a batch_size of {least} or more"
                raise ValueError(
                    f"method {name} needs {least} samples in a batch, and here a batch has {size}: "
                    f"{more}, or leave {name} out"
                )
            count = min(size, max(FEWEST, least))
            device = process_group().device
            x = _texts(count, tokens) if tokens else torch.randn(count, *shape)
            y = torch.arange(count, device=device)
            batch = Batch(x.to(device), y % classes, y)
            if shape not in tried:
                tried[shape] = _network(config, shape, classes, batch)
            _score(name, config, objective, tried[shape], batch)


def _samples(config: TrainConfig, there: int) -> int:
    """How many samples are trained on of those that are there."""
    left = there - config.hold_out
    if left < 1:
        raise ValueError(
            f"hold_out is {config.hold_out:,}, and there are {there:,} training samples: hold out "
            "fewer, so that some are trained on"
        )
    if config.train_size > left:
        raise ValueError(
            f"train_size is {config.train_size:,}, and there are {left:,} training samples"
            + (f" besides {config.hold_out:,} held out" if config.hold_out else "")
            + ": give no more than that"
        )
    return config.train_size or left


def _texts(count: int, tokens: TokenInfo) -> Tensor:
    """Random texts of full length, with the tokens that begin and end each; none is padded."""
    ids = torch.tensor([i for i in range(tokens.vocabulary) if i != tokens.pad])
    x = ids[torch.randint(len(ids), (count, tokens.length))]
    if tokens.begin is not None:
        x[:, 0] = tokens.begin
    if tokens.end is not None:
        x[:, -1] = tokens.end
    return x


def _network(config: TrainConfig, shape: InputShape, classes: int, batch: Batch) -> nn.Module:
    """The network, which has seen a batch."""
    name, count = short_name(config.network).partition(" #")[0], len(batch.x)
    if config.tokenization:
        taken, inputs = f"{count} texts of {shape[0]} tokens below {shape[1]}", "texts"
    else:
        size = " x ".join(map(str, shape))
        taken, inputs = f"{count} images of {size} (channels, height, width)", "images"
    advice = f"Its layers must fit such {inputs}, and it must give a row of logits for each"
    x = batch.x
    try:
        network = build_network(config.network, shape, classes, config.seed).to(x.device)
        if any(map(nn.parameter.is_lazy, network.parameters())):
            raise ValueError("its lazy layers have no size yet: call it once where it is made")
        before = {id(buffer): buffer._version for buffer in network.buffers()}
        logits = logits_of(network.train()(x))
        check_logits(logits, len(x))
        if config.tokenization:
            short = max(1, shape[0] // 2)
            taken, advice = f"{count} texts of {short} tokens", SHORTER
            check_logits(logits_of(network(x[:, :short])), count)
    except Exception as error:  # whatever a person's own code raises
        raise ValueError(
            f"the network {name} cannot be trained on {taken} and {classes} classes: "
            f"{type(error).__name__}: {error}. {advice}"
        ) from error
    if any(isinstance(leaf, nn.Parameter) for leaf in _foreign([logits], network, batch)):
        raise ValueError(
            f"the network {name} has layers that nothing would train: they lie outside it, or in "
            "a plain list or dict. Make each an attribute, or put them into an nn.ModuleList"
        )
    if config.network in NETWORKS:
        buffers = [b for b in network.buffers() if b._version != before.get(id(b))]
        _check_fresh(name, network, buffers, NETWORKS[config.network](shape, classes))
    outputs = logits.shape[1]
    advice = "give it the number of classes, say model=lambda classes: Net(classes)"
    if outputs < classes:
        raise ValueError(
            f"the network {name} has {outputs} outputs, and there are {classes} classes: {advice}"
        )
    if outputs > classes:
        warnings.warn(
            f"the network {name} has {outputs} outputs, and there are only {classes} classes; "
            f"the other outputs learn that they are never right. To avoid that, {advice}",
            stacklevel=4,
        )
    return network


def _check_fresh(name: str, first: nn.Module, buffers: list[Tensor], second: nn.Module) -> None:
    """``ValueError`` where the second network has what training changes of the first, its
    parameters that are not frozen and some buffers: one run would go on from another's weights."""
    trained = [p for p in first.parameters() if p.requires_grad]
    old = {t.untyped_storage().data_ptr() for t in trained + buffers if t.numel()}
    for key, tensor in [*second.named_parameters(), *second.named_buffers()]:
        if tensor.untyped_storage().data_ptr() in old:
            raise ValueError(
                f"the network {name} is made anew for each run, and yet shares {key} with the one "
                "made before, so what is trained would go from run to run: make the layers inside "
                "the function, say model=lambda: nn.Sequential(...). Of layers that were trained "
                "before take copies there, copy.deepcopy(layers)"
            )


def _foreign(outputs: Iterable[Tensor | None], network: nn.Module, batch: Batch) -> list[Tensor]:
    """The tensors that outputs have gradients for and that are neither parameters of the network
    nor the batch itself."""
    own = {id(tensor) for tensor in (batch.x, *network.parameters())}
    nodes = [tensor.grad_fn for tensor in outputs if tensor is not None]
    seen, found = set(nodes), list[Tensor]()
    while nodes:
        if (node := nodes.pop()) is None:
            continue
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in own:
            found.append(leaf)
        following = {inner for inner, _ in node.next_functions} - seen
        seen |= following
        nodes += following
    return found


def _score(
    name: str, config: TrainConfig, objective: Objective, network: nn.Module, batch: Batch
) -> None:
    """Let a method score the batch."""
    before = _held(config.objective)
    try:
        scored = objective(network, batch)
        check_scored(scored, batch.y, type(config.objective).__name__)
        if foreign := _foreign([scored.loss, scored.penalty], network, batch):
            again = objective(network, batch)  # what it makes at each call is another then
            same = {id(leaf) for leaf in _foreign([again.loss, again.penalty], network, batch)}
            if kept := [leaf for leaf in foreign if id(leaf) in same]:
                raise ValueError(
                    f"its loss has a trainable tensor of its own, of shape {tuple(kept[0].shape)}, "
                    "and only parameters of the network are trained: make it a number, or a tensor "
                    "with requires_grad=False"
                )
    except Exception as error:
        said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"method {name} cannot be trained by: {said}") from error
    if _held(config.objective) != before:
        warnings.warn(
            f"method {name}: its loss changes something that it holds, and goes on with it from "
            "run to run, so a run may depend on those before it. To begin anew in each run, write "
            "a class whose build(info) makes what is changed, see nslab.types.Objective",
            stacklevel=4,
        )


def _held(objective: Any) -> list[str]:
    """Digests of what a loss that is a plain function refers to, alone or under another method."""
    parts: list[Any] = [objective, getattr(objective, "base", None)]
    return [code_digest(part.own_function) for part in parts if hasattr(part, "own_function")]


@contextmanager
def _own_generators() -> Iterator[None]:
    """Whatever is drawn inside, the generators of torch, NumPy and Python stay as they were."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002
