"""The methods that evolution is compared with, as values: what each makes of several networks.

A baseline's ``combine`` returns networks, and the mean of their results is reported; all but
`Parents` return a single one.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nslab.neuroevolution.averaging import (
    Ensemble,
    average,
    greedy_soup,
    sparse_mutation,
    update_batchnorm,
)
from nslab.neuroevolution.parameter_vector import ParameterLayout
from nslab.system.registry import CONFIG_CLASSES, Registry, config_class
from nslab.types import StateDict


@dataclass(frozen=True)
class BaselineInputs:
    """What a baseline may use besides the networks.

    Attributes:
        batches: inputs augmented as in training, for BatchNorm's statistics; new ones at each call.
        score: accuracy of a network on held-out data.
        rank: what the best network is chosen by, compared in order; higher is better.
        gen: source of all random draws.
    """

    batches: Callable[[], Iterable[Tensor]]
    score: Callable[[nn.Module], float]
    rank: Callable[[nn.Module], tuple[float, float]]
    gen: torch.Generator


@runtime_checkable
class Baseline(Protocol):
    """A frozen dataclass of hyper-parameters; ``chooses``: whether it needs held-out data."""

    @property
    def min_population(self) -> int: ...

    @property
    def chooses(self) -> bool: ...

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]: ...


@dataclass(frozen=True)
class Parents:
    """The population as it is: every network (``"all"``), or the ``"best"`` on held-out data.

    NOTE: the paper does not say on what data its "best" was chosen.
    """

    report: Literal["all", "best"] = "all"
    min_population = 1

    @property
    def chooses(self) -> bool:
        """Whether there is a best one to find."""
        return self.report == "best"

    def __post_init__(self) -> None:
        if self.report not in ("all", "best"):
            raise ValueError(f"Parents: report must be 'all' or 'best', not {self.report!r}")

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]:
        """The networks, or the best one."""
        networks = [network_with(model, state) for state in states]
        return networks if self.report == "all" else [max(networks, key=inputs.rank)]


@dataclass(frozen=True)
class WeightAverage:
    """The mean of all weights, with BatchNorm's statistics re-estimated (Izmailov et al. 2018).

    Without BatchNorm this is a uniform soup (Wortsman et al. 2022). NOTE: statistics estimated on
    few images can ruin a network: the accuracy of an EfficientNet on 80 photographs fell from 94 %
    to 58 % with statistics from 480 crops of 96 others (n = 1). With averaged statistics, which
    `average` gives, it was 95 %.
    """

    min_population = 1
    chooses = False

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]:
        """The mean network."""
        mean = network_with(model, average(states))
        update_batchnorm(mean, inputs.batches())
        return [mean]


@dataclass(frozen=True)
class GreedySoup:
    """The mean of those networks that help on held-out data (Wortsman et al. 2022).

    NOTE: the paper's soups have no BatchNorm; here its statistics are re-estimated before a soup is
    scored.
    """

    min_population = 1
    chooses = True

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]:
        """The soup."""

        def re_estimated(state: StateDict) -> nn.Module:
            soup = network_with(model, state)
            update_batchnorm(soup, inputs.batches())
            return soup

        found = greedy_soup(states, lambda state: inputs.score(re_estimated(state)))
        return [re_estimated(found.state)]


@dataclass(frozen=True)
class Vote:
    """The mean of all networks' class probabilities (Garipov et al. 2018)."""

    min_population = 1
    chooses = False

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]:
        """The ensemble."""
        return [Ensemble([network_with(model, state) for state in states])]


@dataclass(frozen=True)
class SparseMutations:
    """SMD: an ensemble of sparsely mutated children of the parent that is best on held-out data
    (Whitaker & Whitley 2023); see `sparse_mutation` for what is not known about it.

    NOTE: sigma, density and the number of children are ours; the last layer stays as it is.
    """

    children: int = 8
    sigma: float = 0.01
    density: float = 0.1
    min_population = 1
    chooses = True

    def __post_init__(self) -> None:
        if self.children < 1 or not self.sigma > 0 or not 0 < self.density <= 1:
            raise ValueError(f"{self}: children >= 1, sigma > 0 and 0 < density <= 1 are needed")

    def combine(
        self, model: nn.Module, states: Sequence[StateDict], inputs: BaselineInputs
    ) -> list[nn.Module]:
        """The ensemble of children."""
        (best,) = Parents("best").combine(model, states, inputs)
        layout = ParameterLayout.of(model)
        genes, members = layout.vector(best), []
        for _ in range(self.children):
            child = copy.deepcopy(best)
            layout.write(sparse_mutation(genes, self.sigma, self.density, inputs.gen), child)
            members.append(child)
        return [Ensemble(members)]


def network_with(model: nn.Module, state: StateDict) -> nn.Module:
    """A copy of ``model`` with the weights ``state``, in evaluation mode."""
    made = copy.deepcopy(model)
    made.load_state_dict(dict(state))
    return made.eval()


BASELINES: Registry[type] = Registry(
    "baseline", check=config_class("min_population", "chooses", "combine"), names=CONFIG_CLASSES
)
BASELINES |= {
    "parents": Parents,
    "weight_average": WeightAverage,
    "greedy_soup": GreedySoup,
    "vote": Vote,
    "smd": SparseMutations,
}
