"""The explorer in real browsers: JupyterLab and Voilà, by mouse and by keyboard."""

import os
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from film import MOST, WIDTH, write_animation
from panels import PANELS, Explorer
from PIL import Image
from sessions import HEAD, SHOTS, chromium, opened

QUICK = 150  # ms, median from key to pixels
SLIDERS = {
    "competition": ("competition-sigma", ["ArrowRight"] * 10 + ["ArrowLeft"] * 10),
    "training": ("training-sigma", ["ArrowRight"] * 10 + ["ArrowLeft"] * 10),
    "evolution": ("evolution-generation", ["ArrowLeft"] * 10 + ["ArrowRight"] * 10),
    "losses": ("losses-gamma", ["ArrowRight"] * 10 + ["ArrowLeft"] * 10),
    "results": ("results-epoch", ["ArrowLeft", "ArrowRight"] * 10),
}


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines that are printed at the end, and kept beside the pictures."""
    lines: list[str] = []
    yield lines
    if lines:
        text = "\n".join([HEAD, *lines]) + "\n"
        (SHOTS / "latency.txt").write_text(text, encoding="utf-8")
        terminal = request.config.pluginmanager.get_plugin("terminalreporter")
        terminal.write(f"\n\npictures and latencies are in {SHOTS}\n{text}")


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that the first server computes are looked up by the second one."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=["lab", "voila"])
def explorer(
    request: pytest.FixtureRequest, shared_home: Path, report: list[str]
) -> Iterator[Explorer]:
    """The explorer, running in a page; one for all tests, which go through it in order."""
    if not os.environ.get("NSLAB_BROWSER"):
        pytest.skip("tests in a browser take minutes and run when asked to: make test-browser")
    for module in ("playwright", "voila"):
        pytest.importorskip(module, reason="the extra is missing: pip install -e '.[browser]'")
    if not (browser := chromium()):
        pytest.skip("no Chromium here: install it, or name one in NSLAB_CHROMIUM")
    with opened(request.param, browser, shared_home, report) as found:
        yield found


def steps_taken(line: str) -> int:
    """The number of mini-batches, or of generations, that a status line names."""
    found = re.search(r"(?:mini-batch|generation) (\d+)", line)
    return int(found[1]) if found else 0


def judge(latencies: list[float]) -> None:
    """Their median is quick; on a busy or borrowed machine they are printed, and that is all."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if os.environ.get("CI"):
        return
    if statistics.median(latencies) >= QUICK and load > 2 * cores:
        pytest.skip(f"the machine is busy: load average {load:.1f} on {cores} cores")
    assert statistics.median(latencies) < QUICK


def test_nothing_went_wrong_at_the_start(explorer: Explorer) -> None:
    """Every cell ran, every panel is drawn, nothing complains."""
    errors = '[data-mime-type$="stderr"], [data-mime-type$="error"], .jp-RenderedText.error'
    assert explorer.page.locator(errors).count() == 0
    for panel in PANELS:
        assert explorer.picture(panel) != 0
        explorer.shoot(f"{panel}_begin", panel)


@pytest.mark.parametrize("panel", ["competition", "losses"])
def test_tab_reaches_every_control(explorer: Explorer, panel: str) -> None:
    """From the first control on, the tab key comes by all of them."""
    explorer.find(f"{panel}-panel")
    names = explorer.page.evaluate(
        """(panel) => [...document.querySelectorAll(`.nsl-${panel}-panel .nsl-control`)].map(
            (c) => [...c.classList].find((n) => n.startsWith('nsl-' + panel)))""",
        panel,
    )
    assert len(names) >= 6
    first = explorer.page.locator(f".{names[0]}").locator("select, .noUi-handle").first
    first.focus()
    reached = set()
    for _ in range(3 * len(names)):
        reached.add(
            explorer.page.evaluate(
                """() => [...(document.activeElement.closest('.nsl-control')?.classList ?? [])]
                    .find((n) => n.startsWith('nsl-') && n !== 'nsl-control')"""
            )
        )
        explorer.page.keyboard.press("Tab")
    assert set(names) <= reached


def test_competition(explorer: Explorer) -> None:
    """Rho by mouse, the group by keyboard, the ranking epoch by epoch, another grid."""
    name = "competition"
    height, seen = explorer.height(name), [explorer.picture(name)]
    seen.append(explorer.after(name, lambda: explorer.drag("competition-rho", -90)))
    assert "negative" in explorer.status(name)
    for slider, key in (
        ("competition-group", "ArrowRight"),
        ("competition-epoch", "Home"),
        ("competition-epoch", "ArrowRight"),
    ):
        explorer.handle(slider).focus()
        assert explorer.press(name, key) > 0
        seen.append(explorer.picture(name))
    assert explorer.status(name).startswith("after epoch 1")
    explorer.shoot("competition_moved", name)
    seen.append(explorer.after(name, lambda: explorer.select("competition-grid", "3 × 3")))
    explorer.shoot("competition_nine", name)
    last = explorer.after(name, lambda: explorer.select("competition-grid", "2 × 2"))
    assert last == seen[-2]
    assert len(set(seen)) == len(seen)
    assert explorer.height(name) == height


@pytest.mark.parametrize("panel", ["training", "evolution"])
def test_start_pause_step_reset(explorer: Explorer, panel: str) -> None:
    """Something happens after start, nothing after pause, one thing after step."""
    height, begin = explorer.height(panel), explorer.picture(panel)
    start, pause, step, reset = (
        explorer.find(f"{panel}-{name}") for name in ("start", "pause", "step", "reset")
    )
    assert pause.is_disabled()
    start.click()
    explorer.wait_says(panel, f"running: {'epoch' if panel == 'training' else 'generation'}")
    explorer.page.wait_for_timeout(2500)
    assert steps_taken(explorer.status(panel)) > 3
    pause.click()
    assert explorer.wait_says(panel, "paused") < 1000
    running = explorer.picture(panel)
    explorer.page.wait_for_timeout(400)  # what was under way is drawn
    there, paused = steps_taken(explorer.status(panel)), explorer.picture(panel)
    explorer.page.wait_for_timeout(1500)
    assert steps_taken(explorer.status(panel)) == there
    assert explorer.picture(panel) == paused
    explorer.shoot(f"{panel}_paused", panel)
    step.focus()
    explorer.page.keyboard.press("Space")
    explorer.page.wait_for_timeout(1500)
    assert steps_taken(explorer.status(panel)) == there + 1
    assert explorer.picture(panel) != paused
    assert running != begin
    start.click()
    explorer.wait_says(panel, "running")
    explorer.page.wait_for_timeout(1000)
    reset.click()
    explorer.wait_says(panel, "ready", 60_000)
    assert steps_taken(explorer.status(panel)) == 0
    assert explorer.picture(panel) == begin
    assert explorer.height(panel) == height


def test_sliders_answer_while_training_goes_on(explorer: Explorer) -> None:
    """Work in a thread of its own does not hold up the interface."""
    explorer.handle("training-pace").focus()
    explorer.page.keyboard.press("Home")  # slowly: it shall last
    explorer.find("training-start").click()
    explorer.wait_says("training", "running: epoch")
    slider, keys = SLIDERS["competition"]
    about = "competition, while training"
    found = explorer.steps("competition", slider, keys, QUICK, about)
    assert explorer.status("training").startswith("running")
    explorer.find("training-reset").click()
    explorer.wait_says("training", "ready", 60_000)
    assert min(found) > 0
    judge(found)


def test_other_settings_begin_another_training(explorer: Explorer) -> None:
    """Without Natural Selection all weights are 1, and its sliders rest."""
    explorer.after("training", lambda: explorer.select("training-objective", "ce"))
    explorer.wait_says("training", "ready", 60_000)
    assert explorer.page.locator(".nsl-training-sigma [disabled]").count() > 0
    explorer.shoot("training_ce", "training")
    explorer.after("training", lambda: explorer.select("training-objective", "ns"))
    explorer.wait_says("training", "ready", 60_000)


def test_losses(explorer: Explorer) -> None:
    """Sliders by mouse and keyboard, another loss on the triangle."""
    height, seen = explorer.height("losses"), [explorer.picture("losses")]
    seen.append(explorer.after("losses", lambda: explorer.drag("losses-gamma", 60)))
    explorer.handle("losses-classes").focus()
    assert explorer.press("losses", "ArrowRight") > 0
    seen.append(explorer.picture("losses"))
    seen.append(explorer.after("losses", lambda: explorer.select("losses-shown", "focal")))
    seen.append(explorer.after("losses", lambda: explorer.select("losses-other", "poly1")))
    explorer.shoot("losses_moved", "losses")
    assert len(set(seen)) == len(seen)
    assert explorer.height("losses") == height


def test_results(explorer: Explorer) -> None:
    """Frozen runs are there, filters narrow them down, the paper stands beside them."""
    height = explorer.height("results")
    explorer.after("results", lambda: explorer.select("results-experiment", "Long-tailed"))
    explorer.shoot("results_experiment", "results")
    assert "paper" in explorer.find("results-compared").inner_text()
    explorer.after("results", lambda: explorer.select("results-method", "ns_lf"))
    explorer.shoot("results_method", "results")
    rows = explorer.find("results-listed").locator("tbody tr").count()
    found = re.match(r"(\d+) of \d+ finished runs", explorer.status("results"))
    assert found
    assert rows == int(found[1]) > 0
    explorer.after("results", lambda: explorer.select("results-method", "all"))
    assert explorer.height("results") == height


def test_no_frame_is_blank(explorer: Explorer) -> None:
    """Between two pictures the old one stays on the screen until the new one is there."""
    slider, keys = SLIDERS["competition"]
    film = explorer.filmed("competition", slider, 2 * keys)
    blank = sum(float((frame < 200).mean()) < 0.003 for frame in film)
    explorer.remarks.append(f"{explorer.served.kind}: {blank} of {len(film)} filmed frames blank")
    assert len({frame.tobytes() for frame in film}) > 5
    assert blank == 0


@pytest.mark.parametrize("panel", PANELS)
def test_a_slider_redraws_at_once(explorer: Explorer, panel: str) -> None:
    """Twenty steps by the arrow keys, from the key to new pixels."""
    if panel == "evolution":
        explorer.find("evolution-start").click()
        explorer.wait_says("evolution", "done", 60_000)
        explorer.shoot("evolution_done", "evolution")
    slider, keys = SLIDERS[panel]
    found = explorer.steps(panel, slider, keys, QUICK)
    assert len(found) >= 20
    assert min(found) > 0, "a step changed nothing"
    judge(found)


@pytest.mark.parametrize("panel", PANELS)
def test_every_control_says_what_it_does(explorer: Explorer, panel: str) -> None:
    """Where the mouse rests on it, in a sentence."""
    found = explorer.page.evaluate(
        """(panel) => [...document.querySelectorAll(`.nsl-${panel}-panel .nsl-control`)].map(
            (c) => [c.className, [c, ...c.querySelectorAll('[title]')].map((e) => e.title)])""",
        panel,
    )
    assert len(found) >= 6
    assert [name for name, titles in found if max(map(len, titles)) < 10] == []


def test_an_animation_of_the_explorer(explorer: Explorer) -> None:
    """Short enough for a README, in which things move."""
    if explorer.served.kind != "lab":
        pytest.skip("one is enough")
    file = SHOTS / "explorer.webp"
    assert write_animation(explorer, file) > 40
    assert 50_000 < file.stat().st_size < MOST
    with Image.open(file) as film:
        assert (film.width, film.is_animated) == (WIDTH, True)  # type: ignore[attr-defined]
        seen = set()
        for frame in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(frame)
            seen.add(film.tobytes())
    assert len(seen) > 30


def test_nothing_complained(explorer: Explorer) -> None:
    """No error in the browser's console, none in a cell, none of nslab's in the log."""
    errors = '[data-mime-type$="stderr"], [data-mime-type$="error"], .jp-RenderedText.error'
    assert explorer.page.locator(errors).count() == 0
    assert explorer.complaints == []
    log = explorer.served.log.read_text(encoding="utf-8")
    assert not re.search(r'File ".*[/\\]nslab[/\\]', log), log[-3000:]
