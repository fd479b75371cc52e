"""A trial before the runs of a comparison: does the network accept such images or texts, and can
each method train it?"""

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from nslab.configs import TrainConfig
from nslab.networks import NETWORKS, build_network
from nslab.networks.logits import check_logits, logits_of
from nslab.networks.modes import scoring
from nslab.objectives.checks import check_scored
from nslab.system.content_names import short_name
from nslab.system.distributed import process_group
from nslab.training.setup import parameter_groups
from nslab.types import Batch, DataInfo, InputShape, Objective, TokenInfo
from nslab.workbench.trial_checks import (
    check_fresh,
    check_trained,
    common_tensors,
    leaves,
    leaves_outside,
    loss_digests,
    on_copies,
    own_generators,
    registered,
    restoring_network,
)

FEWEST = 4  # samples in the first batch; a method or a network may need more
SHORTER = (
    "Batches are cut to their longest text, so they may be shorter than text_length: use the "
    "length of each batch, as in a mean over the tokens (dim=1), or pad short batches to what "
    "your layers need"
)
BatchOf = Callable[[int], Batch]  # makes a batch of so many samples


def try_out(configs: Mapping[str, TrainConfig]) -> None:
    """Build the network of some configs, by the names of their methods, and pass a small batch of
    random images or texts through it and each method, on the device of the runs; if that fails, a
    batch of the runs' own size.

    Results of runs do not depend on it: random generators and the network's buffers are restored,
    and a loss that is an object is called as a copy; only changes that a function makes outside
    itself remain. Raises ``ValueError``, with what to do: for a network that does not accept such
    inputs in training or evaluation, has fewer outputs than there are classes, or shares trained
    tensors with the next one that is built; for parameters that nothing would train; for a batch
    smaller than a method needs; and for a method that fails. Warns about outputs that belong to no
    class, and about a loss that keeps state from run to run.
    """
    with own_generators(), torch.enable_grad(), ExitStack() as stack:
        tried: dict[InputShape, tuple[nn.Module, list[Tensor]]] = {}
        for name, config in configs.items():
            dataset = config.about
            shape, tokens = dataset.shape, dataset.tokens
            classes, samples = dataset.layout.num_classes, _samples(config, dataset.layout.train)
            if classes < 2:
                raise ValueError(
                    "all labels are one class, so there is nothing to distinguish: give samples of "
                    "two classes or more"
                )
            counts = torch.full((classes,), max(1, samples // classes))
            with on_copies(config.objective):
                objective = config.objective.build(DataInfo(classes, samples, counts, tokens))
                sizes = _sizes(name, config, objective, samples)
                batch_of = partial(_batch, shape, tokens, classes)
                if shape not in tried:
                    tried[shape] = _network(config, shape, classes, sizes, batch_of, stack)
                _score(name, config, objective, *tried[shape], sizes, batch_of)


def _samples(config: TrainConfig, total: int) -> int:
    """How many of ``total`` training samples a run trains on."""
    left = total - config.hold_out
    if left < 1:
        raise ValueError(
            f"hold_out is {config.hold_out:,}, and there are {total:,} training samples: hold out "
            "fewer, so that some are left to train on"
        )
    if config.train_size >= left:
        raise ValueError(
            f"train_size is {config.train_size:,}, and there are {left:,} training samples"
            + (f" besides {config.hold_out:,} held out" if config.hold_out else "")
            + ": give fewer, or all of them by train_size=0"
        )
    return config.train_size or left


def _sizes(name: str, config: TrainConfig, objective: Objective, samples: int) -> list[int]:
    """The sizes of the batches to try: few samples, and as many as in a run's batches."""
    least, size = max(2, objective.min_batch), min(config.batch_size, samples)
    size //= process_group().num_processes
    if size < least:
        few = samples <= config.batch_size
        more = "train on more samples" if few else f"give a batch_size of {least} or more"
        if objective.min_batch <= 2:
            raise ValueError(f"a batch needs 2 samples, and here it has {size}: {more}")
        raise ValueError(
            f"method {name} needs {least} samples in a batch, and here a batch has {size}: "
            f"{more}, or leave {name} out"
        )
    return sorted({min(size, max(FEWEST, least)), size})


def _batch(shape: InputShape, tokens: TokenInfo | None, classes: int, count: int) -> Batch:
    """A batch of random samples whose labels take turns."""
    device = process_group().device
    x = _texts(count, tokens) if tokens else torch.randn(count, *shape)
    y = torch.arange(count, device=device)
    return Batch(x.to(device), y % classes, y)


def _texts(count: int, tokens: TokenInfo) -> Tensor:
    """Random texts of full length, with the tokens that begin and end each; none is padded."""
    ids = torch.tensor([i for i in range(tokens.vocabulary) if i != tokens.pad])
    x = ids[torch.randint(len(ids), (count, tokens.length))]
    if tokens.begin is not None:
        x[:, 0] = tokens.begin
    if tokens.end is not None:
        x[:, -1] = tokens.end
    return x


def _network(
    config: TrainConfig,
    shape: InputShape,
    classes: int,
    sizes: list[int],
    batch_of: BatchOf,
    stack: ExitStack,
) -> tuple[nn.Module, list[Tensor]]:
    """The network, after a batch was passed through it, and the leaf tensors that gradients of its
    logits reach; closing ``stack`` restores its buffers and modes."""
    name = short_name(config.network).partition(" #")[0]
    try:
        network = build_network(config.network, shape, classes, config.seed)
        network = network.to(process_group().device)
        if any(map(nn.parameter.is_lazy, network.parameters())):
            raise ValueError("its lazy layers have no size yet: call it once where it is made")
        changed = stack.enter_context(restoring_network(network))
    except Exception as error:  # a user's own code may raise anything
        inputs = _inputs(config, shape, sizes[-1])
        raise _unfit(name, f"trained on {inputs}", classes, _fitting(config), error) from error
    if config.frozen:
        parameter_groups(config, network)  # freezes them
    for count in sizes:
        inputs, advice = f"trained on {_inputs(config, shape, count)}", _fitting(config)
        batch = batch_of(count)
        try:
            logits = logits_of(network.train()(batch.x))
            check_logits(logits, count)
            own = [batch.x, *registered(network)]
            if kept := leaves_outside([logits], own):  # leave out tensors that each call makes anew
                kept = common_tensors(kept, leaves_outside([logits_of(network(batch.x))], own))
            if config.tokenization:
                short = max(1, shape[0] // 2)
                inputs, advice = f"trained on {count} texts of {short} tokens", SHORTER
                check_logits(logits_of(network(batch.x[:, :short])), count)
            inputs = f"evaluated on {_inputs(config, shape, count)}"
            advice = "In eval mode, too, it must give a row of logits for each"
            with scoring(network), torch.no_grad():
                scored = logits_of(network(batch.x))
            check_logits(scored, count)
            if (there := scored.shape[1]) < min(classes, logits.shape[1]):
                raise ValueError(f"it gives {there} outputs, in training {logits.shape[1]}")
            break
        except Exception as error:
            if count == sizes[-1]:
                raise _unfit(name, inputs, classes, advice, error) from error
    check_trained(name, network, logits, kept)
    reached = leaves([logits])
    if config.network in NETWORKS:
        check_fresh(name, reached, changed(), NETWORKS[config.network](shape, classes))
    outputs = logits.shape[1]
    advice = "give it the number of classes, as in model=lambda classes: Net(classes)"
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
    return network, reached


def _inputs(config: TrainConfig, shape: InputShape, count: int) -> str:
    """The inputs of a network in words."""
    if config.tokenization:
        return f"{count} texts of {shape[0]} tokens below {shape[1]}"
    return f"{count} images of {' x '.join(map(str, shape))} (channels, height, width)"


def _fitting(config: TrainConfig) -> str:
    inputs = "texts" if config.tokenization else "images"
    return f"Its layers must fit such {inputs}, and it must give a row of logits for each"


def _unfit(name: str, inputs: str, classes: int, advice: str, error: Exception) -> ValueError:
    return ValueError(
        f"the network {name} cannot be {inputs} and {classes} classes: "
        f"{type(error).__name__}: {error}. {advice}"
    )


def _score(
    name: str,
    config: TrainConfig,
    objective: Objective,
    network: nn.Module,
    known: list[Tensor],
    sizes: list[int],
    batch_of: BatchOf,
) -> None:
    """Let a method compute the loss of a batch. ``known``: further tensors that count as the
    network's own. ``ValueError`` if the method fails, a warning if it keeps state."""
    before = loss_digests(config.objective)
    network.train()
    for count in sizes:
        batch = batch_of(count)
        own = [batch.x, *registered(network), *known]
        try:
            scored = objective(network, batch)
            check_scored(scored, batch.y, type(config.objective).__name__)
            if foreign := leaves_outside([scored.loss, scored.penalty], own):
                again = objective(network, batch)  # leave out tensors that each call makes anew
                others = leaves_outside([again.loss, again.penalty], own)
                if kept := common_tensors(foreign, others):
                    raise ValueError(
                        "its loss has a trainable tensor of its own, of shape "
                        f"{tuple(kept[0].shape)}, and only parameters of the network are trained: "
                        "make it a number, or a tensor with requires_grad=False"
                    )
            break
        except Exception as error:
            if count == sizes[-1]:
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                raise ValueError(f"method {name} cannot be trained by: {kind}{error}") from error
    if loss_digests(config.objective) != before:
        warnings.warn(
            f"method {name}: its loss changes something that it holds and keeps from run to run, "
            "so a run may depend on those before it. To begin anew in each run, write a class "
            "whose build(info) makes what is changed, see nslab.types.Objective",
            stacklevel=4,
        )
