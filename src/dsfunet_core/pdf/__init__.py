"""3D-ΔPDF of volumes and Patterson maps of planes: Fourier transforms of diffuse scattering."""

from dsfunet_core.pdf.files import read_pdf, write_pdf
from dsfunet_core.pdf.patterson import PlanePatterson, plane_patterson
from dsfunet_core.pdf.volume import DeltaPDF, delta_pdf

__all__ = [
    "DeltaPDF",
    "PlanePatterson",
    "delta_pdf",
    "plane_patterson",
    "read_pdf",
    "write_pdf",
]
