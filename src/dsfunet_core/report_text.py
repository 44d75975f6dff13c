"""What the report says beside its pictures and numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ALPHA",
    "APPLICABILITY",
    "CELL",
    "CHI2",
    "DEAD_ZONES",
    "FACTORS",
    "MEASURED",
    "MODEL",
    "PAGE",
    "STYLE",
    "TRUST",
    "UNCERTAINTIES",
    "Caption",
]


@dataclass(frozen=True)
class Caption:
    """Heading and explanation of a figure, as HTML.

    Parameters
    ----------
    title : str
        Heading.
    text : str
        What is to be seen.
    """

    title: str
    text: str


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<footer>Written by {version}. Pictures are part of this file; it can be sent as it is.</footer>
</body>
</html>
"""

STYLE = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff;
       font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.facts { background: #f1f5f9; border-left: 4px solid #4878a8; padding: .8rem 1rem .8rem 2rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #444; font-size: .95rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .95rem; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; vertical-align: top; }
.numbers td, .numbers th { text-align: right; font-variant-numeric: tabular-nums; }
.numbers td:first-child, .numbers th:first-child { text-align: left; }
.words th { text-align: left; white-space: nowrap; font-weight: 600; }
.failed td, .failed th { background: #fdecea; }
.words td { overflow-wrap: anywhere; }
footer { margin: 3rem 0 1rem; color: #666; font-size: .85rem; }
"""

MODEL = """
<p>A crystal whose sites hold one of two units A and B scatters between its Bragg peaks as
a product of two things: <b>I<sub>diffuse</sub> = form factor × short-range order</b>. The
<em>form factor</em> is |F<sub>A</sub> − F<sub>B</sub>|² of the two units and says
<em>what</em> is disordered; it varies slowly and fades with |Q|. The <em>short-range order</em>
says <em>how neighbours are arranged</em>; it has mean 1 and repeats in every reciprocal
cell. No model of the structure goes into the separation. It rests on two facts alone: the
second factor has the periodicity of the reciprocal lattice, and the first belongs to
something of finite size.</p>
"""

MEASURED = Caption(
    "The measured plane, and what the two factors make of it",
    "Left: the plane as measured; grey was never measured or is masked. Middle: form factor "
    "times short-range order, on the same shades; it is defined everywhere. Right: the "
    "difference. If the separation holds, nothing but noise is left there, a little stronger "
    "where the scattering is strong. Rings, streaks or spots at lattice points in it mean that "
    "something is not a product of two factors: background, Bragg remnants, displacements. "
    "Axes are true lengths in Å⁻¹ (2π included), oblique cells are drawn oblique.",
)

FACTORS = Caption(
    "The two factors",
    "Left: the form factor |F<sub>A</sub> − F<sub>B</sub>|², in the units of the measured "
    "intensity. This is what a structural model of the two units has to reproduce. Right: the "
    "short-range order, the same in every reciprocal cell. 1 is what a random arrangement "
    "gives; more means that the arrangement favours this wave, less that it avoids it.",
)

APPLICABILITY = "Is this plane such a product?"

UNCERTAINTIES = Caption(
    "How sure the two factors are",
    "Standard uncertainties of both, each with what is not known about the other. Left: of the "
    "form factor, in units of its median over the measured pixels; counting noise where "
    "something was measured, and in dead zones what form factors of this size scatter by. "
    "Right: of the short-range order, which repeats as the order does. Errors of "
    "neighbouring points go together: these are no independent numbers.",
)

CELL = Caption(
    "Short-range order in one reciprocal cell",
    "Left: every measured pixel, divided by the form factor and folded into one cell. Middle: "
    "the sum of cosines with the refined Warren–Cowley parameters. Right: the difference, on "
    "its own shades. Structure in the difference means that the Laue class or the number of "
    "shells is not right.",
)

ALPHA = Caption(
    "Warren–Cowley parameters",
    "α of a pair of sites against the distance between them, with one standard uncertainty. "
    "Positive: the two sites tend to hold the same unit. Negative: they tend to hold different "
    "ones. 0: no preference. α of a site with itself is 1 by definition, and fixes the scale. "
    "Values in brackets are the uncertainty of the last digits.",
)

TRUST = (
    "R contains the counting noise of every pixel, so it need not be small even where the "
    "separation is perfect. What tells is whether the residual looks like noise.",
    "The overall scale between the two factors is a convention (mean short-range order = 1), "
    "not a result.",
    "Uncertainties contain counting noise and what is not known about the form factor. They do "
    "not contain errors of the data: an uncorrected background, absorption, a wrong cell.",
    "Bragg peaks are the usual trouble. Remnants look like order over long distances, and a "
    "hole masked at the same place of every cell leaves the short-range order unknown there.",
    "One plane does not tell correlations along its normal apart: each of its coefficients is "
    "a sum over all vectors that differ only along the normal. The parameters above are those "
    "of pairs within the plane, which is right where there is no disorder along the normal.",
)

DEAD_ZONES = (
    "Where nothing was measured, the short-range order is as good as elsewhere, because it "
    "repeats. The form factor is extrapolated there from its neighbourhood: good across a "
    "detector gap, a guess in the corners."
)

CHI2 = (
    "χ² per degree of freedom of the fit of α is {reduced:.1f}: the coefficients of the plane "
    "scatter about the model by more than their uncertainties. Multiply the uncertainties "
    "by {factor:.1f}, and check the Laue class and the number of shells."
)
