"""Whether a plane is what the product says: I_D = I_FF · I_SRO, looked at after the fact.

A factorization always returns two factors. `assess` asks what they leave over: whether the
residual is noise, whether the factors are what a form factor and a short-range order can be,
and how much the plane could tell. Every answer is a figure, a limit and a sentence.
"""

from dsfunet_core.applicability.assessment import Applicability, assess
from dsfunet_core.applicability.check import Check

__all__ = ["Applicability", "Check", "assess"]
