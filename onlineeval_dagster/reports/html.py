"""A daily report as one self-contained HTML page. Works from file://, loads nothing, runs only its own two scripts."""

import base64
import gzip
import hashlib
from functools import cache
from importlib.resources import files

import orjson
from markupsafe import Markup

from onlineeval_dagster.reports.figures import figure
from onlineeval_dagster.reports.model import DailyReport

NO_BREAK = "\u00a0"


def render_html(report: DailyReport) -> str:
    """The page. Texts are escaped; besides, its content security policy lets nothing in and no other script run."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    library = _library()
    script = _packaged("daily.js")
    environment = Environment(
        loader=PackageLoader("onlineeval_dagster.reports", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["tight"] = _tight
    return environment.get_template("daily.html.j2").render(
        report=report,
        plots=[(plot, f"by-{plot.grain}") for plot in report.plots],
        figures=_figures(report),
        css=Markup(_packaged("daily.css")),
        script=Markup(script),
        library=Markup(_packed(library)),
        policy=_policy(library, script),
    )


def _figures(report: DailyReport) -> dict[str, Markup]:
    changes = (*report.changes, *report.earlier_changes)
    return {f"by-{plot.grain}": _json(figure(plot, changes)) for plot in report.plots if plot.has_numbers}


def _tight(text: str) -> str:
    """A number and its percent sign stay on one line."""
    return text.replace(" %", f"{NO_BREAK}%")


def _json(value: object) -> Markup:
    """JSON inside a script element: "<" is written as an escape, so no text can end the element."""
    return Markup(orjson.dumps(value).decode().replace("<", "\\u003c"))


def _policy(*scripts: str) -> str:
    """Nothing is loaded from anywhere, and only scripts with these very texts run."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _packaged(name: str) -> str:
    return files("onlineeval_dagster.reports").joinpath(name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def _packed(library: str) -> str:
    """Gzip in base64: 1.9 MB instead of 4.8 MB a page."""
    return base64.b64encode(gzip.compress(library.encode(), compresslevel=9, mtime=0)).decode()
