//! The time that a page of charts looks at: so long up to now, or from one moment to another; and how often it looks again.

use super::chart::Window;
use super::form;
use super::view::View;
use crate::extract::{Params, bad};
use crate::problem::Problem;
use maud::{Markup, html};
use quarterdeck_model::{Span, Timestamp};

const RANGES: [(&str, &str); 7] = [
    ("15m", "last 15 minutes"),
    ("1h", "last hour"),
    ("6h", "last 6 hours"),
    ("24h", "last day"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
    ("90d", "last 90 days"),
];
const RENEWALS: [(&str, &str); 5] =
    [("", "no"), ("10s", "every 10 s"), ("30s", "every 30 s"), ("1m", "every minute"), ("5m", "every 5 minutes")];
/// Renewed more often, a page of many charts would do nothing else.
const LEAST_RENEWAL: Span = Span::from_secs(5);

pub(crate) struct Frame {
    pub(crate) window: Window,
    /// Up to now. `None`: from one moment to another.
    range: Option<Span>,
    renewal: Option<Span>,
}

impl Frame {
    /// `range` is looked at before `from` and `to`.
    pub(crate) fn of(params: &Params, now: Timestamp, otherwise: Span) -> Result<Self, Problem> {
        let range = params.parsed("range", "a span like `1h`", Span::parse)?;
        let absolute = range.is_none() && (params.text("from")?.is_some() || params.text("to")?.is_some());
        let renewal = params.parsed("renew", "a span like `30s`", Span::parse)?;
        if renewal.is_some_and(|renewal| renewal < LEAST_RENEWAL) {
            return Err(bad("renew", &format!("it is too often; hint: give {LEAST_RENEWAL} or more, or leave it out")));
        }
        if absolute {
            return Ok(Frame { window: Window::of(params, now, otherwise)?, range: None, renewal });
        }
        let range = range.unwrap_or(otherwise);
        if range == Span::ZERO {
            return Err(bad("range", "it is no time at all; hint: give a span like `1h`"));
        }
        Ok(Frame { window: Window { from: now.minus(range), to: now }, range: Some(range), renewal })
    }

    /// How often the page looks again. What is over does not change.
    pub(crate) fn renewal(&self) -> Option<Span> {
        self.renewal.filter(|_| self.range.is_some())
    }

    /// For the form of the page.
    pub(crate) fn inputs(&self) -> Markup {
        let own = self.range.map(|range| range.to_string());
        let known = RANGES.iter().find(|(value, _)| self.range.is_some() && Span::parse(value) == self.range);
        let mut ranges: Vec<(&str, &str)> = RANGES.to_vec();
        let chosen = match (&own, known) {
            (_, Some((value, _))) => *value,
            (Some(own), None) => {
                ranges.insert(0, (own, own));
                own
            }
            (None, None) => {
                ranges.insert(0, ("", "from one moment to another"));
                ""
            }
        };
        let renewal = self.renewal.map(|renewal| renewal.to_string()).unwrap_or_default();
        let chosen_renewal =
            RENEWALS.iter().find(|(value, _)| Span::parse(value) == self.renewal && self.renewal.is_some());
        html! {
            (form::select("range", "Time", &ranges, Some(chosen)))
            @if self.range.is_none() {
                input type="hidden" name="from" value=(self.window.from);
                input type="hidden" name="to" value=(self.window.to);
            }
            (form::select("renew", "Renew", &RENEWALS, Some(chosen_renewal.map_or(renewal.as_str(), |(value, _)| value))))
        }
    }

    /// A second form: from one moment to another, with everything else as it is.
    pub(crate) fn moments(&self, view: &View) -> Markup {
        let others = form_urlencoded::parse(view.uri.query().unwrap_or_default().as_bytes());
        let others = others.filter(|(name, _)| !matches!(name.as_ref(), "range" | "from" | "to"));
        html! {
            details.plain-details open[self.range.is_none()] {
                summary { "From one moment to another" }
                form.filters method="get" action=(view.path()) {
                    @for (name, value) in others { input type="hidden" name=(name) value=(value); }
                    (form::moment("from", "From (UTC)", &self.window.from.to_string()))
                    (form::moment("to", "To (UTC)", &self.window.to.to_string()))
                    button.button type="submit" { "Show" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn frame(query: &str) -> Result<Frame, Problem> {
        Frame::of(&Params::read(query).unwrap().without_empty(), NOW, Span::from_secs(3600))
    }

    #[test]
    fn a_time_is_up_to_now_or_from_one_moment_to_another() {
        let length =
            |query: &str| frame(query).map(|frame| frame.window.to.since(frame.window.from).as_millis() / 1000);
        assert_eq!(length("").unwrap(), 3600);
        assert_eq!(length("range=7d").unwrap(), 604_800);
        assert_eq!(length("from=2026-09-21T12:00:00Z&to=2026-09-21T13:00:00Z").unwrap(), 3600);
        assert_eq!(length("from=2026-09-21+12:00&to=2026-09-21+12:30").unwrap(), 1800);
        assert_eq!(length("range=6h&from=2026-09-21+12:00&to=2026-09-21+13:00").unwrap(), 21_600);
        for bad in
            ["range=x", "range=0s", "from=yesterday", "from=2026-09-21T13:00:00Z&to=2026-09-21T12:00:00Z", "renew=1s"]
        {
            assert!(length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_over_is_not_looked_at_again() {
        assert_eq!(frame("renew=30s").unwrap().renewal(), Some(Span::from_secs(30)));
        assert_eq!(frame("renew=30s&from=2026-09-21+12:00").unwrap().renewal(), None);
    }
}
