"""Files in formats that people have, made on the spot."""

import io
from collections.abc import Sequence

import docx

Line = tuple[float, float, float, str]  # left and bottom in points, size of the letters, text


def pdf(pages: Sequence[Sequence[Line]], title: str = "") -> bytes:
    """A PDF of 600 x 800 points a page, its letters embedded, Japanese ones too."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib_fontja  # noqa: F401 (teaches matplotlib Japanese letters)
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}), PdfPages(out, metadata={"Title": title}) as file:
        for lines in pages:
            figure = Figure(figsize=(600 / 72, 800 / 72))
            for left, bottom, size, text in lines:
                figure.text(left / 600, bottom / 800, text, size=size)
            file.savefig(figure)
    return out.getvalue()


def raw_pdf(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects, the first of which is the catalog."""
    body, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return body + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Root 1 0 R /Size %d %s >>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        trailer,
        len(body),
    )


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def one_page(content: bytes, resources: bytes = b"", *more: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of one page; `more` are the objects from number 5 on."""
    return raw_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << %s >> >>" % resources,
            stream(content),
            *more,
        ],
        trailer,
    )


def word(document: "docx.document.Document") -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
