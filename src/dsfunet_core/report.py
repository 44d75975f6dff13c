"""A report that explains itself: one HTML file, pictures and all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import dsfunet_core
from dsfunet_core import report_text as text
from dsfunet_core.explain import explain_choices, summarize

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.refine.reference import Reference
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["write_report"]


def write_report(
    path: str | os.PathLike[str],
    result: Factorization,
    fit: SroRefinement | None = None,
    *,
    reference: Reference | None = None,
    introduction: str = "",
    overwrite: bool = False,
    callback: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write a self-contained HTML report of a factorization.

    Parameters
    ----------
    path : path-like
        File to write; pictures are embedded in it.
    result : Factorization
        What to report.
    fit : SroRefinement, optional
        Warren–Cowley parameters refined to it.
    reference : Reference, optional
        Known parameters to compare with.
    introduction : str
        A paragraph on where the data come from, for the top.
    overwrite : bool
        Whether a file that is there may be replaced.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        If the file exists and ``overwrite`` is False.
    """
    from dsfunet_core import plots
    from dsfunet_core.io.files import replacing
    from dsfunet_core.refine import figures

    title = f"{result.plane.name}: form factor and short-range order"
    values = None if fit is None or reference is None else reference.matched(fit.orbits)
    label = "published" if reference is None else reference.label
    parts: list[tuple[str, Callable[[], str]]] = [
        ("summary", lambda: _summary(result, fit, reference, introduction)),
        ("measured plane", lambda: _figure(plots.measured_figure(result), text.MEASURED)),
        ("factors", lambda: _figure(plots.factors_figure(result), text.FACTORS)),
    ]
    if result.form_factor_sigma is not None and result.sro_sigma is not None:
        parts.append(
            ("errors", lambda: _figure(plots.uncertainty_figure(result), text.UNCERTAINTIES))
        )
    if fit is not None:
        parts += [
            ("one cell", lambda: _figure(figures.cell_figure(fit), text.CELL)),
            (
                "parameters",
                lambda: (
                    _figure(
                        figures.alpha_figure(fit, reference=values, label=label), text.ALPHA
                    )
                    + _alpha_table(fit, values, label)
                ),
            ),
        ]
    parts.append(("applicability", lambda: _applicability(result)))
    parts.append(("choices", lambda: _choices(result)))
    parts.append(("trust", lambda: _trust(result, fit)))
    parts.append(("provenance", lambda: _provenance(result)))
    body = []
    for step, (message, make) in enumerate(parts):
        if callback is not None:
            callback(step, len(parts), f"drawing: {message}")
        body.append(make())
    page = text.PAGE.format(
        title=escape(title), style=text.STYLE, body="\n".join(body), version=_version()
    )
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if callback is not None:
        callback(len(parts), len(parts), "done")
    return Path(path).expanduser()


def _summary(
    result: Factorization,
    fit: SroRefinement | None,
    reference: Reference | None,
    introduction: str,
) -> str:
    lines = [f"<h1>{escape(result.plane.name)}: form factor and short-range order</h1>"]
    if introduction:
        lines.append(f"<p>{escape(introduction)}</p>")
    facts = [escape(summarize(result))]
    if fit is not None:
        strongest = int(np.argmax(np.abs(fit.alpha)))
        facts.append(
            f"{len(fit.alpha)} Warren–Cowley parameters in Laue class "
            f"{escape(fit.laue_class)}; the largest is "
            f"α{escape(fit.orbits[strongest].label)} = {_with_sigma(fit, strongest)}."
        )
    if fit is not None and reference is not None:
        difference = fit.alpha - reference.matched(fit.orbits)
        known = np.isfinite(difference)
        if known.any():
            rms = float(np.sqrt(np.mean(difference[known] ** 2)))
            facts.append(
                f"Root mean square difference from the {escape(reference.label)} values: "
                f"{rms:.4f} over {int(known.sum())} parameters. {escape(reference.note)}"
            )
    lines.append("<ul class='facts'>" + "".join(f"<li>{f}</li>" for f in facts) + "</ul>")
    return "\n".join(lines) + text.MODEL


def _figure(figure: Figure, words: text.Caption) -> str:
    from dsfunet_core import plots

    data = base64.b64encode(plots.png(figure)).decode("ascii")
    return (
        f"<h2>{words.title}</h2>\n<figure>"
        f'<img alt="{escape(words.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words.text}</figcaption></figure>"
    )


def _alpha_table(fit: SroRefinement, values: NDArray[np.float64] | None, label: str) -> str:
    head = ["vector", "multiplicity", "length (Å)", "α"]
    if values is not None:
        head += [escape(label), "difference", "difference / σ"]
    rows = []
    for i, orbit in enumerate(fit.orbits):
        length = "–" if np.isnan(orbit.length) else f"{orbit.length:.2f}"
        cells = [escape(orbit.label), str(orbit.multiplicity), length, _with_sigma(fit, i)]
        if values is not None:
            cells += _compared(float(fit.alpha[i]), float(fit.sigma[i]), float(values[i]))
        rows.append("".join(f"<td>{c}</td>" for c in cells))
    head_html = "".join(f"<th>{h}</th>" for h in head)
    body = "".join(f"<tr>{r}</tr>" for r in rows)
    foot = " ".join(escape(line) for line in fit.table().splitlines()[len(fit.orbits) + 2 :])
    return (
        f"<table class='numbers'><thead><tr>{head_html}</tr></thead>"
        f"<tbody>{body}</tbody></table><p class='note'>{foot}</p>"
    )


def _compared(alpha: float, sigma: float, known: float) -> list[str]:
    if np.isnan(known):
        return ["–", "–", "–"]
    ratio = f"{(alpha - known) / sigma:+.1f}" if sigma > 0 else "–"
    return [_minus(f"{known:.4f}"), _minus(f"{alpha - known:+.4f}"), _minus(ratio)]


def _with_sigma(fit: SroRefinement, i: int) -> str:
    from dsfunet_core.refine.alpha_table import with_uncertainty

    value = _minus(with_uncertainty(float(fit.alpha[i]), float(fit.sigma[i])))
    return f"{value} (at its bound)" if fit.at_bound[i] else value


def _applicability(result: Factorization) -> str:
    from dsfunet_core.applicability import assess

    found = assess(result)
    rows = "".join(
        f"<tr class='{'passed' if c.passed else 'failed'}'><th>{escape(c.what)}</th>"
        f"<td>{'✓' if c.passed else '✗'} {escape(_minus(c.shown))}</td>"
        f"<td>{escape(c.sentence)}</td></tr>"
        for c in found.checks
    )
    return (
        f"<h2>{text.APPLICABILITY}</h2><p>{escape(found.verdict)}</p>"
        f"<table class='words'>{rows}</table>"
    )


def _choices(result: Factorization) -> str:
    rows = "".join(
        f"<tr><th>{escape(c.what)}</th><td>{escape(c.value)}</td><td>{escape(c.why)}</td></tr>"
        for c in explain_choices(result)
    )
    return f"<h2>What was chosen, and why</h2><table class='words'>{rows}</table>"


def _trust(result: Factorization, fit: SroRefinement | None) -> str:
    points = list(text.TRUST)
    if not result.plane.valid.all():
        points.append(text.DEAD_ZONES)
    if fit is not None and not np.isnan(fit.chi2) and fit.inflation > 1.3:
        points.insert(0, text.CHI2.format(reduced=fit.reduced_chi2, factor=fit.inflation))
    listed = "".join(f"<li>{point}</li>" for point in points)
    return f"<h2>How far to trust it</h2><ul>{listed}</ul>"


def _provenance(result: Factorization) -> str:
    plane = result.plane
    rows = [("unit cell", "none")]
    if plane.cell is not None:
        a, b, c, alpha, beta, gamma = plane.cell.parameters
        rows = [("unit cell", f"{a:g} {b:g} {c:g} Å, {alpha:g} {beta:g} {gamma:g}°")]
    rows.append(("Laue class in the file", plane.laue_class or "not given"))
    rows += [(str(key), str(value)) for key, value in plane.provenance.items()]
    listed = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows)
    return f"<h2>Where the data come from</h2><table class='words'>{listed}</table>"


def _version() -> str:
    return f"dsfunet {dsfunet_core.__version__}"


def _minus(number: str) -> str:
    return number.replace("-", "−")
