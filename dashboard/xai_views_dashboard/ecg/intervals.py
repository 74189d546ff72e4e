"""The result of a brushed interval, which the paper shows at it."""

from __future__ import annotations

from xai_views.methods.ecg_clusters.interval import Inside, inside
from xai_views_dashboard.core.numbers import number, percent
from xai_views_dashboard.core.panel import ASK, Panel

TILE = "ecg"


class IntervalResult(Panel):
    """How much of the logit the brushed interval carries; it stands in no tab but on the paper."""

    title = "Interval"
    watched = ("sample", "interval", "hidden", ASK)

    async def compute(self) -> str:
        """Return the sentence for the brushed interval; "" where there is none."""
        app, state = self.app, self.app.state
        if not state.interval or state.hidden:
            return ""
        lead, start, stop = state.interval
        wish, session = app.wish(), app.session
        result = await app.explained(wish.sample, wish, priority=1)
        seconds, recorded = app.model.size[0] / session.rate, session.length(wish.sample) / session.rate
        found = inside(result, start, stop, seconds, recorded, lead)
        return sentence(found, session.leads[lead] if 0 <= lead < len(session.leads) else "")

    def write(self, answer: str) -> None:
        """Show it at the interval."""
        self.app.canvas.tell(TILE, answer)


def sentence(found: Inside, lead: str) -> str:
    """Say what an interval holds; ``lead`` is named where only its attribution is counted."""
    if found.share != found.share:  # NaN
        return f"{percent(found.time)} of the time; all contributions are zero, so there is no share."
    where = f"lead {lead}" if found.by_lead and lead else "all leads"
    return (
        f"{percent(found.time)} of the time, {percent(found.share)} of the absolute contribution ({where}): "
        f"{number(found.part)} of the logit {number(found.logit)}."
    )
