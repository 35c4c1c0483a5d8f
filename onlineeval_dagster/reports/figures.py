"""A plot's values as a Plotly figure: plain JSON, whose colours are the names of the page's CSS variables."""

import math
from typing import Any

from onlineeval_dagster.reports.model import ChangeLine, Plot, PlotPoint
from onlineeval_dagster.reports.wording import day_short

FACTOR = {"share": 100.0, "ms": 1.0, "score": 1.0, "usd": 1.0, "count": 1.0}  # a share is drawn in percent
HALF_WIDTH_MS = {"week": 302_400_000, "day": 43_200_000, "hour": 1_800_000}
BAR_WIDTH = 0.62  # of a window
MOST_BARS = 24  # with fewer windows, bars stay as narrow as this many would be


def figure(plot: Plot, changes: tuple[ChangeLine, ...]) -> dict[str, Any]:
    """Bars for the likely ranges, a line that breaks at gaps and at a new series, a dotted mark for each change.

    For a plot that has numbers.

    x is milliseconds since 1970 of a window's middle, so that a change within a day stands within its bar.
    """
    half = HALF_WIDTH_MS[plot.grain]
    middles = [_ms(point) + half for point in plot.points]
    begin, end = middles[0] - half, middles[-1] + half
    ticks = _ticks(plot)
    lowest, highest = _span(plot)
    return {
        "data": [_bars(plot, middles, 2 * half), *_lines(plot, middles)],
        "layout": {
            "height": 300,
            "margin": {"l": 52, "r": 24, "t": 26, "b": 32},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "var(--sans)", "size": 13, "color": "var(--soft)"},
            "showlegend": False,
            "hovermode": "closest",
            "hoverdistance": 60,
            "dragmode": False,
            "hoverlabel": {
                "bgcolor": "var(--card)",
                "bordercolor": "var(--line)",
                "font": {"color": "var(--ink)", "family": "var(--sans)"},
            },
            "xaxis": {
                "range": [begin, end],
                "tickvals": [middles[tick] for tick in ticks],
                "ticktext": [_tick(plot, plot.points[tick]) for tick in ticks],
                "showgrid": False,
                "zeroline": False,
                "fixedrange": True,
            },
            "yaxis": {
                "range": [lowest, highest],
                "nticks": 5,
                "gridcolor": "var(--line)",
                "zeroline": False,
                "fixedrange": True,
                **_ticks_of(plot),
            },
            **_marks(changes, begin, end),
        },
        "config": {"displayModeBar": False, "responsive": True, "showTips": False},
    }


def _ms(point: PlotPoint) -> int:
    return round(point.starts_at.timestamp() * 1000)


def _ticks(plot: Plot) -> list[int]:
    """Positions of the windows that are named: few enough for a phone, the last one always among them."""
    if plot.grain == "hour":
        return [0, 6, 12, 18]
    step = 7 if plot.grain == "day" and len(plot.points) > 14 else math.ceil(len(plot.points) / 4)
    return list(range(len(plot.points) - 1, -1, -step))


def _tick(plot: Plot, point: PlotPoint) -> str:
    return point.name if plot.grain == "hour" else day_short(point.starts_at.date()).split(" ", 1)[1]


def _bars(plot: Plot, middles: list[int], width: int) -> dict[str, Any]:
    factor = FACTOR[plot.unit]
    known = [(middle, point) for middle, point in zip(middles, plot.points, strict=True) if point.value is not None]
    return {
        "type": "bar",
        "x": [middle for middle, _ in known],
        "base": [(point.low or 0) * factor for _, point in known],
        "y": [((point.high or 0) - (point.low or 0)) * factor for _, point in known],
        "width": [round(min(width * BAR_WIDTH, width * len(middles) / MOST_BARS))] * len(known),
        "marker": {"color": "var(--range)", "line": {"width": 0}, "cornerradius": 3},
        "hoverinfo": "skip",
    }


def _lines(plot: Plot, middles: list[int]) -> list[dict[str, Any]]:
    """One line a series; None between windows without a number, so that nothing is drawn across a gap."""
    series = sorted({point.series for point in plot.points if point.value is not None})
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": middles,
            "y": [_height(plot, point) if point.series == name else None for point in plot.points],
            "customdata": [f"{point.name}: {point.value_text}, likely {point.likely_text}" for point in plot.points],
            "hovertemplate": "%{customdata}<extra></extra>",
            "connectgaps": False,
            "line": {"color": "var(--accent)", "width": 2},
            "marker": {"color": "var(--accent)", "size": 6},
        }
        for name in series
    ]


def _height(plot: Plot, point: PlotPoint) -> float | None:
    return None if point.value is None else point.value * FACTOR[plot.unit]


def _span(plot: Plot) -> tuple[float, float]:
    """The vertical range: what is drawn with some air, and a share stays near [0, 1]."""
    factor = FACTOR[plot.unit]
    lows = [point.low * factor for point in plot.points if point.low is not None]
    highs = [point.high * factor for point in plot.points if point.high is not None]
    air = 0.12 * (max(highs) - min(lows)) or 0.05 * abs(max(highs)) or 1.0
    lowest, highest = min(lows) - air, max(highs) + air
    if plot.unit == "share":
        return max(-2.0, lowest), min(102.0, highest)
    return lowest, highest


def _ticks_of(plot: Plot) -> dict[str, Any]:
    if plot.unit == "usd":
        return {"tickprefix": "$"}
    return {"ticksuffix": {"share": " %", "ms": " ms"}.get(plot.unit, "")}


def _marks(changes: tuple[ChangeLine, ...], begin: int, end: int) -> dict[str, Any]:
    placed = [(round(change.occurred_at.timestamp() * 1000), change) for change in changes]
    shown = [(middle, change) for middle, change in placed if begin <= middle <= end]
    line = {"color": "var(--mark)", "width": 1.5, "dash": "dot"}
    return {
        "shapes": [
            {"type": "line", "x0": middle, "x1": middle, "yref": "paper", "y0": 0, "y1": 1, "line": line}
            for middle, _ in shown
        ],
        "annotations": [
            {
                "x": middle,
                "yref": "paper",
                "y": 1,
                "yanchor": "bottom",
                "text": f"<b>{change.number}</b>",
                "showarrow": False,
                "font": {"color": "var(--mark)", "size": 13},
            }
            for middle, change in shown
        ],
    }
