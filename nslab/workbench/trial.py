"""A first look at a comparison before any of its runs: does the network take such images or texts,
and each method its outputs?"""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from nslab.configs import TrainConfig
from nslab.networks import build_network
from nslab.networks.logits import check_logits, logits_of
from nslab.objectives.checks import check_scored
from nslab.system.content_names import short_name
from nslab.system.distributed import process_group
from nslab.types import Batch, DataInfo, InputShape, Objective, TokenInfo

FEWEST = 4  # samples of the batch; a method may need more


def try_out(configs: Mapping[str, TrainConfig]) -> None:
    """Build the network of some configs, which differ in method and settings, and let it and each
    method see one small batch of random images or texts, on the device of the runs.

    No number of a run depends on it: it draws from generators that are put back. Raises
    ``ValueError``, with what to do, for a network that does not take such inputs or has fewer
    outputs than there are classes, a batch that is smaller than a method needs, and a method that
    cannot be trained by. Warns of outputs that no class has.
    """
    with _own_generators():
        tried: dict[InputShape, nn.Module] = {}
        for name, config in configs.items():
            dataset = config.about
            shape, tokens = dataset.shape, dataset.tokens
            classes, samples = dataset.layout.num_classes, dataset.layout.train - config.hold_out
            samples = config.train_size or samples
            counts = torch.full((classes,), max(1, samples // classes))
            objective = config.objective.build(DataInfo(classes, samples, counts, tokens))
            least, size = max(2, objective.min_batch), min(config.batch_size, samples)
            size //= process_group().num_processes
            if size < least:
                raise ValueError(
                    f"method {name} needs {least} samples in a batch, and here a batch has {size}: "
                    f"give a batch_size of {least} or more, or leave {name} out"
                )
            count = min(size, max(FEWEST, least))
            device = process_group().device
            x = _texts(count, tokens) if tokens else torch.randn(count, *shape)
            y = torch.arange(count, device=device)
            batch = Batch(x.to(device), y % classes, y)
            if shape not in tried:
                tried[shape] = _network(config, shape, classes, batch)
            _score(name, config, objective, tried[shape], batch)


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
    try:
        network = build_network(config.network, shape, classes, config.seed).to(batch.x.device)
        logits = logits_of(network.train()(batch.x))
        check_logits(logits, len(batch.x))
    except Exception as error:  # whatever a person's own code raises
        raise ValueError(
            f"the network {name} cannot be trained on {taken} and {classes} classes: "
            f"{type(error).__name__}: {error}. Its layers must fit such {inputs}, and it must give "
            "a row of logits for each"
        ) from error
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


def _score(
    name: str, config: TrainConfig, objective: Objective, network: nn.Module, batch: Batch
) -> None:
    """Let a method score the batch."""
    try:
        with torch.enable_grad():
            scored = objective(network, batch)
        check_scored(scored, batch.y, type(config.objective).__name__)
    except Exception as error:
        said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"method {name} cannot be trained by: {said}") from error


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
