"""Queue: order, freezing, going on, and what is wrong in a file."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nslab.cli import app
from nslab.runs import frozen
from nslab.runs.results import find
from nslab.system.time_limits import EXIT_UNFINISHED
from nslab.workbench import queue
from nslab.workbench.queue import DEFAULT_QUEUE, read_queue, run_queue

SHORT = "seeds: [{}], methods: [{}], epochs: 2, network: mlp"
FIRST = f"- {{{{experiment: ns/first, preset: smoke, parameters: {{{{{SHORT}}}}}{{}}}}}}\n"


def entry(seed: int, methods: str = "ce", freeze: str = "") -> str:
    """A line of a queue file: short runs on digits."""
    return FIRST.format(seed, methods, f", freeze: {freeze}" if freeze else "")


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own for frozen results."""
    folder = tmp_path / "results"
    folder.mkdir()
    for module in ("frozen", "results"):
        name = f"nslab.runs.{module}.frozen_dir"
        monkeypatch.setattr(name, lambda: folder, raising=False)
    return folder


@pytest.mark.usefixtures("own_results")
def test_runs_in_order_frozen_as_they_end(tmp_path: Path) -> None:
    """The first entry to its end, then the next; a second call has nothing to do."""
    file = tmp_path / "queue.yaml"
    file.write_text(entry(2, "ce, ns_ws", "mine") + entry(1))
    planned = read_queue(file)
    assert [(q.config.seed, q.freeze) for q in planned] == [(2, "mine"), (2, "mine"), (1, "")]
    end = run_queue(file)
    assert end.done == [q.config.id for q in planned]
    assert not end.failed
    assert {q.config.id for q in planned[:2]} <= set(frozen.runs())
    assert planned[2].config.id not in frozen.runs()
    assert run_queue(file).done == []


def test_the_file_is_read_again_after_each_run(tmp_path: Path) -> None:
    """What is added meanwhile is run, what is taken out is not."""
    file = tmp_path / "queue.yaml"
    file.write_text(entry(3) + entry(4))
    added = read_queue(file)[0].config, []

    def swap(line: str) -> None:
        added[1].append(line)
        file.write_text(entry(3) + entry(5))

    end = run_queue(file, echo=swap)
    seeds = [find(q.config).config["seed"] for q in read_queue(file)]  # type: ignore[union-attr]
    assert seeds == [3, 5]
    assert len(end.done) == 2
    assert len(added[1]) == 2


def test_a_failure_is_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, not for ever."""
    file, said = tmp_path / "queue.yaml", []
    file.write_text(entry(6) + entry(7))
    bad = read_queue(file)[0].config.id
    whole = queue.run_all

    def sometimes(configs, **options):
        if configs[0].id == bad:
            raise queue.RunsFailed("one failed", {bad: "no luck"})
        return whole(configs, **options)

    monkeypatch.setattr(queue, "run_all", sometimes)
    end = run_queue(file, echo=said.append)
    assert end.failed == {bad: "no luck"}
    assert len(end.done) == 1
    assert sum("FAILED" in str(line) for line in said) == 1


def test_a_file_that_breaks_while_it_runs_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved half-way through an edit: the runs known so far go on, and only then it is an error; if
    it is whole again by then, it is none."""
    file, said = tmp_path / "queue.yaml", []
    file.write_text(entry(8) + entry(9))
    good, whole = file.read_text(), queue.run_all

    def edited(configs, **options):
        file.write_text(good + "- {experiment: [")
        return whole(configs, **options)

    monkeypatch.setattr(queue, "run_all", edited)
    planned = read_queue(file)
    with pytest.raises(ValueError, match="cannot be read"):
        run_queue(file, echo=said.append)
    assert all(queued.done for queued in planned)
    assert sum("continues with the last version" in str(line) for line in said) == 2
    file.write_text(good)
    assert run_queue(file).done == []


@pytest.mark.usefixtures("own_results")
def test_a_run_that_cannot_be_frozen_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest goes on; it is frozen by the next call, without being computed again."""
    file, said, write = tmp_path / "queue.yaml", [], frozen.freeze
    file.write_text(entry(10, freeze="mine") + entry(11))

    def refused(name, results):
        raise PermissionError(13, "read-only file system", name)

    monkeypatch.setattr(frozen, "freeze", refused)
    end = run_queue(file, echo=said.append)
    assert len(end.done) == len(end.failed) == 1
    assert "finished, but cannot be frozen in mine" in "".join(end.failed.values())
    assert sum("FAILED" in str(line) for line in said) == 1
    monkeypatch.setattr(frozen, "freeze", write)
    assert run_queue(file).failed == {}
    assert (
        find(read_queue(file)[0].config).metrics == frozen.runs()[next(iter(end.failed))]["metrics"]
    )


def test_each_run_is_said_once_with_its_seed(tmp_path: Path) -> None:
    """The label has the seed already."""
    file, said = tmp_path / "queue.yaml", []
    file.write_text(entry(12))
    run_queue(file, echo=said.append)
    assert str(said[0]).count("seed 12") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no queue"),
        ("- {experiment: ns/nothing}", "entry 1: .*ns/nothing"),
        ("- {experiment: ns/first, preset: tiny}", "entry 1: preset"),
        ("- {experiment: ns/first, wrong: 1}", "entry 1: unknown key 'wrong'"),
        ("- {experiment: ns/first, freeze: ../x}", "entry 1: "),
    ],
)
def test_a_wrong_file_is_refused_before_work(text: str, message: str, tmp_path: Path) -> None:
    """File, entry and what is wrong."""
    file = tmp_path / "queue.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_queue(file)
    assert CliRunner().invoke(app, ["queue", str(file)]).exit_code == 2


def test_the_packages_own_queue_can_be_read() -> None:
    """The longest first claim first; a dry run says what is left."""
    planned = read_queue(DEFAULT_QUEUE)
    assert planned[0].config.epochs == 240
    assert {q.config.seed for q in planned[:6]} == {2024, 2025, 2026}
    assert all(q.freeze for q in planned)


def test_time_that_is_over_is_no_failure(tmp_path: Path) -> None:
    """The queue stops where it is, says that there is more, and goes on from there."""
    file = tmp_path / "queue.yaml"
    file.write_text(entry(21) + entry(22))
    shell = CliRunner()
    cut = shell.invoke(app, ["queue", str(file), "--minutes", "0.00001"])
    assert cut.exit_code == EXIT_UNFINISHED, cut.output
    assert "FAILED" not in cut.output
    assert "0 runs done, none failed" in cut.output
    assert len(run_queue(file).done) == 2
