import qrcode
from django.utils.safestring import SafeString, mark_safe
from qrcode.constants import ERROR_CORRECT_L
from qrcode.image.svg import SvgPathImage


def qr_svg(text: str) -> SafeString:
    """The text as an inline SVG that scales with its box. Dark on white in every colour scheme: cameras want it so."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_L, border=4, image_factory=SvgPathImage)
    code.add_data(text)
    code.make(fit=True)
    svg = code.make_image().to_string(encoding="unicode")
    return mark_safe(svg)  # drawn by the library from numbers alone: the text is not in it
