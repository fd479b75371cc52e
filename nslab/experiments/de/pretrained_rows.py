"""Rows of the tables on pretrained networks, and the baseline of each table."""

from collections.abc import Mapping

from nslab.configs.evolve import EvolveConfig
from nslab.experiments.de.presets import table_row
from nslab.experiments.definition import TableRow


def initialised_row(config: EvolveConfig) -> TableRow:
    """Row of Table 2; top-1 and top-5 are told apart by the table's measure."""
    return table_row(config)


def depth_row(config: EvolveConfig) -> TableRow:
    """Row of Table 1. A vote of parents gets its own name, as it is not the paper's Ensemble."""
    row = table_row(config)
    row.pop("initialization")
    return row | ({"method": "vote"} if row["method"] == "ensemble" else {})


def ingredient_row(config: EvolveConfig) -> TableRow:
    """Row of Table 3: method, ingredients, and initial population, which is blank for last
    epochs."""
    method, init = str(table_row(config)["method"]), config.initialization
    has = {
        "de": method == "de",
        "sade": method.startswith("sa"),
        "shade": method.startswith("sa_shade"),
        "trigonometric": "tri" in method,
        "sin_f": "ensin" in method,
    }
    named = table_row(config) | {"initialization": "" if init == "last_epochs" else init}
    return named | {name: "yes" if yes else "no" for name, yes in has.items()}


def initialization_row(config: EvolveConfig) -> TableRow:
    """Row of Table S9."""
    names = {"pretrained": "pytorch", "noise": "random_noise", "last_epochs": "fine_tuned"}
    return {"initialization": names[config.initialization]}


# The baseline of each table: in Table 3 plain DE, in Table S7 the population size of other tables.
PLAIN = {"method": "de", "de": "yes"} | dict.fromkeys(("sade", "shade", "trigonometric"), "no")
TABLE_BASELINES: dict[str, Mapping[str, str | float]] = {
    "de/table1": {"method": "pretrained"},
    "de/table2": {"method": "pretrained"},
    "de/table3": PLAIN | {"sin_f": "no"},
    "de/tableS7": {"population_size": 10},
    "de/tableS9": {"initialization": "pytorch"},
}
