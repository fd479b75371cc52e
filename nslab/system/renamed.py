"""Old names of modules and objects: using one raises an error that gives the new name."""

from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MODULES = {
    "nslab.batch": "nslab.runs.pool",
    "nslab.bench": "nslab.runs.evolve_setup",
    "nslab.board": "nslab.execution.monitor",
    "nslab.checkpoint": "nslab.training.checkpoint",
    "nslab.child": "nslab.runs.worker",
    "nslab.cli.batches": "nslab.cli.run",
    "nslab.cli.evolving": "nslab.cli.evolve",
    "nslab.cli.foretell": "nslab.cli.dry_run",
    "nslab.cli.looking": "nslab.cli.show",
    "nslab.cli.shared": "nslab.cli.options",
    "nslab.cli.where": "nslab.cli.execution",
    "nslab.comparison": "nslab.analysis.comparison",
    "nslab.datasets.corrupt": "nslab.datasets.corruption.sets",
    "nslab.datasets.corruption_parts": "nslab.datasets.corruption.primitives",
    "nslab.datasets.corruptions_cifar": "nslab.datasets.corruption.cifar10_c",
    "nslab.datasets.corruptions_mnist": "nslab.datasets.corruption.mnist_c",
    "nslab.datasets.jpeg": "nslab.datasets.corruption.jpeg",
    "nslab.engine": "nslab.execution.local",
    "nslab.epoch": "nslab.training.epoch",
    "nslab.epoch_scores": "nslab.training.epoch_scores",
    "nslab.estimates": "nslab.runs.estimates",
    "nslab.evolution_tables": "nslab.analysis.de",
    "nslab.evolve.chaotic": "nslab.evolve.chaotic_evolution",
    "nslab.evolve.ensembles": "nslab.neuroevolution.averaging",
    "nslab.evolve.fitness": "nslab.neuroevolution.fitness",
    "nslab.evolve.flat": "nslab.neuroevolution.parameter_vector",
    "nslab.evolve.generation": "nslab.evolve.breeding",
    "nslab.evolve.loop": "nslab.neuroevolution.evolution",
    "nslab.evolve.noises": "nslab.evolve.mutation_noise",
    "nslab.evolve.record": "nslab.neuroevolution.history",
    "nslab.evolve.rivals": "nslab.neuroevolution.baselines",
    "nslab.experiments.codec": "nslab.configs.serialization",
    "nslab.experiments.config": "nslab.configs.train",
    "nslab.experiments.de.common": "nslab.experiments.de.presets",
    "nslab.experiments.de.pretrained": "nslab.experiments.de.pretrained_networks",
    "nslab.experiments.de.small": "nslab.experiments.de.small_networks",
    "nslab.experiments.evolution": "nslab.configs.evolve",
    "nslab.experiments.ns.common": "nslab.experiments.ns.presets",
    "nslab.experiments.ns.explorations": "nslab.experiments.ns.beyond_the_paper",
    "nslab.experiments.parents": "nslab.configs.initial_populations",
    "nslab.experiments.pretraining": "nslab.configs.loss_search",
    "nslab.experiments.schedules": "nslab.configs.schedules",
    "nslab.explore.canvas": "nslab.explore.ui.canvas",
    "nslab.explore.competition_view": "nslab.explore.competition.figure",
    "nslab.explore.controls": "nslab.explore.ui.controls",
    "nslab.explore.display": "nslab.explore.ui.display",
    "nslab.explore.evolution_view": "nslab.explore.evolution.figure",
    "nslab.explore.losses_view": "nslab.explore.losses.figure",
    "nslab.explore.panel": "nslab.explore.ui.panel",
    "nslab.explore.population": "nslab.explore.evolution.stepwise",
    "nslab.explore.results_view": "nslab.explore.results.figure",
    "nslab.explore.runner": "nslab.explore.ui.runner",
    "nslab.explore.small": "nslab.explore.ui.small_runs",
    "nslab.explore.steps": "nslab.explore.training.stepwise",
    "nslab.explore.training_view": "nslab.explore.training.figure",
    "nslab.explore.work": "nslab.explore.ui.tasks",
    "nslab.files": "nslab.system.files",
    "nslab.folders": "nslab.runs.folder",
    "nslab.frozen": "nslab.runs.frozen",
    "nslab.handover": "nslab.configs.handover",
    "nslab.improve": "nslab.runs.evolve_run",
    "nslab.ingredients": "nslab.analysis.de_ingredients",
    "nslab.lab": "nslab.workbench.lab",
    "nslab.landscapes": "nslab.analysis.de_landscapes",
    "nslab.ledger": "nslab.analysis.paper_tables",
    "nslab.logits": "nslab.networks.logits",
    "nslab.logs": "nslab.runs.loggers",
    "nslab.loss_tables": "nslab.analysis.edl",
    "nslab.lossnet.evolution": "nslab.lossnet.search",
    "nslab.lossnet.saved": "nslab.lossnet.files",
    "nslab.lossnet.synthetic": "nslab.lossnet.synthetic_predictions",
    "nslab.metrics": "nslab.training.metrics",
    "nslab.names": "nslab.system.filenames",
    "nslab.networks.fold": "nslab.networks.batchnorm_folding",
    "nslab.networks.imagenet": "nslab.networks.torchvision_models",
    "nslab.networks.mlp": "nslab.networks.perceptron",
    "nslab.networks.parts": "nslab.networks.initialization",
    "nslab.networks.plain_cifar": "nslab.networks.alexnet_vgg_cifar",
    "nslab.networks.public": "nslab.networks.pretrained_cifar",
    "nslab.networks.rnn": "nslab.networks.row_lstm",
    "nslab.networks.scan": "nslab.networks.selective_scan",
    "nslab.notebooks": "nslab.workbench.notebooks",
    "nslab.objectives.setting": "nslab.objectives.recommended",
    "nslab.overhead": "nslab.analysis.overhead",
    "nslab.overhead_tables": "nslab.analysis.overhead_tables",
    "nslab.overview": "nslab.analysis.ledger",
    "nslab.own": "nslab.runs.evolve_checkpoints",
    "nslab.own.data": "nslab.datasets.image_folder",
    "nslab.own.networks": "nslab.networks.external",
    "nslab.own.record": "nslab.runs.best_network",
    "nslab.own.task": "nslab.runs.evolve_checkpoints",
    "nslab.parameters": "nslab.system.validation",
    "nslab.parents": "nslab.neuroevolution.checkpoints",
    "nslab.paths": "nslab.system.paths",
    "nslab.plots.compare": "nslab.plots.comparison",
    "nslab.plots.de_method": "nslab.plots.de_landscapes",
    "nslab.plots.evolve": "nslab.plots.de_runs",
    "nslab.plots.ingredients": "nslab.plots.de_ingredients",
    "nslab.predictions": "nslab.analysis.predictions",
    "nslab.predictions.behaviour": "nslab.analysis.predictions.losses",
    "nslab.predictions.distances": "nslab.analysis.predictions.distances",
    "nslab.predictions.outputs": "nslab.analysis.predictions.outputs",
    "nslab.predictions.table": "nslab.analysis.predictions.table",
    "nslab.predictions.views": "nslab.analysis.predictions.features",
    "nslab.prepare": "nslab.training.setup",
    "nslab.processes": "nslab.system.distributed",
    "nslab.progress": "nslab.system.progress",
    "nslab.provenance": "nslab.system.provenance",
    "nslab.render": "nslab.workbench.render",
    "nslab.results": "nslab.runs.results",
    "nslab.robustness": "nslab.analysis.robustness",
    "nslab.slurm": "nslab.execution.slurm",
    "nslab.slurm.arrays": "nslab.execution.slurm.arrays",
    "nslab.slurm.engine": "nslab.execution.slurm.submit",
    "nslab.slurm.options": "nslab.execution.slurm.resources",
    "nslab.slurm.task": "nslab.execution.slurm.node",
    "nslab.statistics": "nslab.analysis.statistics",
    "nslab.store": "nslab.runs.store",
    "nslab.suite": "nslab.workbench.suite",
    "nslab.timing": "nslab.system.timing",
    "nslab.train": "nslab.training.loop",
    "nslab.unrun": "nslab.workbench.unrun",
    "nslab.viewers": "nslab.runs.log_writers",
}
NAMES = {
    "nslab.PretrainConfig": "nslab.LossSearchConfig",
    "nslab.evolve.Evolved": "nslab.neuroevolution.Evolved",
    "nslab.evolve.evolve": "nslab.neuroevolution.evolve",
    "nslab.experiments.Config": "nslab.configs.RunConfig",
    "nslab.experiments.EvolveConfig": "nslab.EvolveConfig",
    "nslab.experiments.PretrainConfig": "nslab.LossSearchConfig",
    "nslab.experiments.TrainConfig": "nslab.TrainConfig",
    "nslab.analysis.adaptation.telling": "nslab.analysis.adaptation.describe_auc",
    "nslab.analysis.adaptation.telling_table": "nslab.analysis.adaptation.auc_table",
    "nslab.analysis.Competition": "nslab.analysis.run_tables.GroupScores",
    "nslab.analysis.describe": "nslab.analysis.run_tables.run_columns",
    "nslab.lossnet.load": "nslab.lossnet.load_loss",
    "nslab.lossnet.save": "nslab.lossnet.save_loss",
    "nslab.papers.places": "nslab.papers.equations.places",
}
TABLES = "batches_of class_regressions class_scores class_table compete first_batch history_table "
TABLES += "kind_table negative_shares score_table simulated_scores trained_model training_batches "
NAMES |= {
    f"nslab.analysis.{name}": f"nslab.analysis.run_tables.{name}"
    for name in f"{TABLES} value_table".split()
}
NAMES |= {
    "nslab.objectives.ns.composite": "nslab.objectives.composites.composite",
    "nslab.objectives.ns.group_scores": "nslab.objectives.competition.group_scores",
    "nslab.objectives.ns.stitch": "nslab.objectives.composites.stitch",
}
# objects of moved modules that have another name now, or are somewhere else
CHANGED = {
    "nslab.bench": {"Bench": "EvolveSetup"},
    "nslab.board": {"Board": "Monitor"},
    "nslab.evolve.flat": {"Layout": "ParameterLayout"},
    "nslab.evolve.rivals": {
        "RIVALS": "BASELINES",
        "Rival": "Baseline",
        "Material": "BaselineInputs",
    },
    "nslab.experiments.pretraining": {"PretrainConfig": "LossSearchConfig"},
    "nslab.improve": {"improve": "run_evolution"},
    "nslab.names": {"plain": "checked_filename"},
    "nslab.overview": {"ledger": "build_ledger"},
    "nslab.parents": {"weights_of": "nslab.runs.store.weights_of"},
    "nslab.processes": {"processes": "process_group", "from_first": "broadcast"},
    "nslab.results": {"described": "nslab.configs.labels.label"},
}


class Renamed(MetaPathFinder):
    """An import finder that raises ``ImportError`` for old names, with the new name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Raise ``ImportError`` for an old name; find nothing."""
        tell_new_name(fullname)


def tell_new_name(name: str) -> None:
    """``ImportError`` if ``name`` is an old name of a module or of an object in a package."""
    if name in NAMES:
        raise ImportError(f"{name} is now {NAMES[name]}")
    if name in MODULES:
        names = [f"{old} is {new}" for old, new in CHANGED.get(name, {}).items()]
        more = f" ({', '.join(names)} there)" if names else ""
        raise ImportError(f"{name} is now {MODULES[name]}{more}")


def refuse_old_names(package: str) -> Callable[[str], object]:
    """A ``__getattr__`` for a package that raises ``ImportError`` for old names in it."""

    def missing(name: str) -> object:
        tell_new_name(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return missing


def renamed_keywords(**new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that keywords of version 0.1.0 raise ``TypeError`` with their new
    names."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def called(*args: P.args, **keywords: P.kwargs) -> T:
            if old := [f"{name} is now {new[name]}" for name in keywords if name in new]:
                raise TypeError(f"{function.__name__}: {', '.join(old)}")
            return function(*args, **keywords)

        return called

    return decorate
