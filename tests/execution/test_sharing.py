"""Devices shared by processes, where the command line does not say how many."""

import pytest

from nslab.cli import execution, options
from nslab.cli.execution import ExecutionOptions
from nslab.execution import sharing
from nslab.execution.local import run_local
from nslab.execution.sharing import processes_per_device


def test_the_scarcest_decides() -> None:
    """Multiprocessors, memory or cores; there is room for one always."""
    plenty = {"multiprocessors": 1000, "memory": 1e15, "cores": 1000.0}
    assert processes_per_device(**plenty | {"multiprocessors": 60}) == 5
    assert processes_per_device(**plenty | {"memory": 24e9}) == 4
    assert processes_per_device(**plenty | {"cores": 4.5}) == 3
    assert processes_per_device(1, 1e9, 1) == 1


def test_options_have_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU it is one process, and on GPUs as many as there is room for, if nobody says."""
    monkeypatch.setattr(sharing, "room_on", lambda devices: 7)

    def places(jobs: int, per_device: int, devices: list[str], share: bool = True) -> object:
        monkeypatch.setattr(options, "cuda_devices", lambda: devices)
        chosen = ExecutionOptions(jobs, per_device, run_local, True, 1)
        return chosen.places(share=share)

    assert places(0, 1, []) == (1, [])
    assert places(0, 1, ["0", "1"]) == (14, ["0", "1"])
    assert places(0, 3, ["0", "1"]) == (6, ["0", "1"])
    assert places(2, 4, ["0"]) == (2, ["0"])
    assert places(0, 1, ["0"], share=False) == (1, ["0"])
    assert ExecutionOptions(0, 1, run_local, False, 1).places(share=True) == (1, [])
    assert execution.shared_devices is options.shared_devices
