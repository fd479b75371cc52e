"""The report of a check as one self-contained HTML page."""

import html
from collections.abc import Iterator
from pathlib import Path

from nslab.system.files import write_text
from nslab.workbench.device_check.findings import AGREES, DISAGREES, SKIPPED, Report

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; color: #222;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: left;
       border-bottom: 1px solid #ddd; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.verdict { padding: .6rem 1rem; border-left: 6px solid; margin: 1rem 0; background: #f6f6f6; }
.verdict.good { border-color: #1a7f5a; } .verdict.bad { border-color: #c0392b; }
td.good { color: #1a7f5a; } td.bad { color: #c0392b; font-weight: 700; } td.none { color: #777; }
.why { color: #555; font-size: .9em; } dl { display: grid; grid-template-columns: 9rem 1fr;
       gap: .1rem 1rem; } dt { color: #555; } dd { margin: 0; }
.bar { background: #0b6fa4; height: .7rem; min-width: 1px; } .track { background: #e8e8e8;
       width: 12rem; position: relative; } .one { position: absolute; top: -.15rem; width: 2px;
       height: 1rem; background: #222; }
"""
CLASS = {AGREES: "good", DISAGREES: "bad", SKIPPED: "none"}


def page(report: Report) -> str:
    """The report as HTML."""
    return "\n".join(_lines(report)) + "\n"


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``<device>.json`` and ``<device>.html`` into a folder; returns their paths."""
    name = report.environment["checked"].replace(":", "-")
    texts = {"json": report.to_json(), "html": page(report)}
    for suffix, text in texts.items():
        write_text(folder / f"{name}.{suffix}", text)
    return [folder / f"{name}.{suffix}" for suffix in texts]


def _lines(report: Report) -> Iterator[str]:
    good, said = report.passed, html.escape
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
    yield f"<title>nslab check: {said(report.environment['device'])}</title><h1>nslab check</h1>"
    yield f'<p class="verdict {"good" if good else "bad"}">{said(report.sentence())}, '
    yield f"in {report.seconds:.0f} s.</p><dl>"
    for name, value in _about(report):
        yield f"<dt>{said(name)}</dt><dd>{said(value)}</dd>"
    yield "</dl><h2>Against references</h2><p>Errors are relative to the size of the value, with a"
    yield "floor; references are computed in float64 on the CPU, by formulas written a second time."
    yield "</p><table><tr>"
    yield '<th>part<th>compared<th class="n">largest error<th class="n">allowed<th>verdict'
    yield "<th>reason for the tolerance</tr>"
    for f in report.findings:
        error = "" if f.error is None else f"{f.error:.1e}"
        why = f.skipped or f.reason
        yield (
            f'<tr><td>{said(f.part)}<td>{said(f.name)}<td class="n">{error}'
            f'<td class="n">{f.tolerance:.0e}<td class="{CLASS[f.verdict]}">{f.verdict}'
            f'<td class="why">{said(why)}</tr>'
        )
    yield "</table>"
    if report.ratios:
        yield "<h2>Costs, as ratios</h2><p>Medians of ratios taken within a round, with quartiles; "
        yield "the line is at 1, bars end at 2.</p><table><tr><th>ratio<th><th class='n'>median"
        yield "<th class='n'>quartiles<th>of what</tr>"
        for r in report.ratios:
            width = min(100.0, 50 * r.median)
            yield (
                f'<tr><td>{said(r.name)}<td><div class="track"><div class="bar" '
                f'style="width:{width:.1f}%"></div><div class="one" style="left:50%"></div>'
                f'</div><td class="n">{r.median:.3f}<td class="n">{r.q1:.3f}-{r.q3:.3f}'
                f'<td class="why">{said(r.meaning)}</tr>'
            )
        yield "</table>"
    yield "</html>"


def _about(report: Report) -> Iterator[tuple[str, str]]:
    env = report.environment
    commit = env.get("commit") or "unknown"
    yield "device", f"{env['device']} ({env['checked']}, {env['threads']} threads)"
    yield "commit", commit + (", with changes" if env.get("dirty") else "")
    yield "source", env["source"]
    yield "versions", ", ".join(f"{name} {number}" for name, number in env["versions"].items())
