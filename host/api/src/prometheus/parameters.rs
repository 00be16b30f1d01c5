//! Parameters: of the URL, and of the form in a POST's body. The form's come first, and of several the first counts.

use super::answer::Failure;
use crate::{Api, intake};
use axum::extract::{FromRequest, Request};
use http::Method;
use quarterdeck_model::series::query::Matcher;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::{parse_duration, parse_selector};
use std::sync::Arc;

pub(super) struct Parameters(Vec<(String, String)>);

impl FromRequest<Arc<Api>> for Parameters {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        let query = request.uri().query().map(str::to_owned);
        if request.method() == Method::POST {
            let body = intake::take_in(request, intake::form(api.options.body_limit)).await?.into_body();
            add(&mut pairs, &body)?;
        }
        add(&mut pairs, query.unwrap_or_default().as_bytes())?;
        Ok(Parameters(pairs))
    }
}

/// Texts that are not UTF-8 are refused: no label has such a value, and replacements would be looked for instead.
fn add(pairs: &mut Vec<(String, String)>, text: &[u8]) -> Result<(), Failure> {
    for (name, value) in form_urlencoded::parse(text) {
        if value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Failure::parameter(&name, "it is not UTF-8"));
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Ok(())
}

impl Parameters {
    /// The value, unless it is missing or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).filter(|text| !text.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn parsed<T>(&self, name: &str, kind: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let unfit = || Failure::parameter(name, format!("cannot parse {text:?} to a valid {kind}"));
        parse(text).map(Some).ok_or_else(unfit)
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Failure> {
        self.parsed(name, "timestamp", time)
    }

    /// In milliseconds; may be negative.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.parsed(name, "duration", duration)
    }

    /// How many results are wanted; zero means all of them.
    pub(super) fn limit(&self, name: &str) -> Result<Option<usize>, Failure> {
        Ok(self.parsed(name, "limit", |text| text.parse().ok())?.filter(|limit| *limit > 0))
    }

    /// The series that are asked about, as sets of matchers. In none: not said.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let selector = |text| match parse_selector(text) {
            Ok(matchers) => Ok(matchers),
            Err(quarterdeck_promql::Error::Parse(why)) => {
                Err(Failure::parameter("match[]", format!("parse error: {why}")))
            }
            Err(other) => Err(other.into()),
        };
        self.all("match[]").map(selector).collect()
    }

    /// From `start` to `end`, both inclusive; all of the past and the future unless it is said.
    pub(super) fn range(&self) -> Result<(Timestamp, Timestamp), Failure> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        let range = (start.unwrap_or(EARLIEST), end.unwrap_or(LATEST));
        if range.1 < range.0 {
            return Err(Failure::parameter("end", "end timestamp must not be before start time"));
        }
        Ok(range)
    }
}

/// Further away than anything that is stored, and far from where milliseconds overflow.
const FAR: i64 = 1_000_000_000_000_000;
const EARLIEST: Timestamp = Timestamp::from_millis(-FAR);
const LATEST: Timestamp = Timestamp::from_millis(FAR);

/// Seconds since 1970, with or without a fraction, or RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        // As Prometheus rounds: a fraction is what is left of a number that can't hold it exactly.
        let millis = seconds.trunc() * 1000.0 + (seconds.fract() * 1000.0).round();
        let fits = millis.is_finite() && millis.abs() <= FAR as f64;
        return fits.then_some(Timestamp::from_millis(millis as i64));
    }
    match text {
        // What Prometheus's own clients send for "from the beginning" and "to the end".
        "-292273086-05-16T16:47:06Z" => Some(EARLIEST),
        "292277025-08-18T07:12:54.999999999Z" => Some(LATEST),
        text => Timestamp::parse(text),
    }
}

/// Seconds, or `1h30m`.
fn duration(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => {
            let millis = (seconds * 1000.0).trunc();
            (millis.is_finite() && millis.abs() <= FAR as f64).then_some(millis as i64)
        }
        Err(_) => parse_duration(text),
    }
}

/// What is not above zero is none.
pub(super) fn span(millis: i64) -> Option<Span> {
    u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Span::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, millis) in [
            ("1435781451.781", Some(1_435_781_451_781)),
            ("1435781451", Some(1_435_781_451_000)),
            ("-0.5", Some(-500)),
            ("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781)),
            ("2015-07-01T22:10:51+02:00", Some(1_435_781_451_000)),
            ("-292273086-05-16T16:47:06Z", Some(-FAR)),
            ("yesterday", None),
            ("NaN", None),
            ("Inf", None),
            ("1e300", None),
            ("1s", None),
        ] {
            assert_eq!(time(text).map(Timestamp::as_millis), millis, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, millis) in [
            ("15", Some(15_000)),
            ("0.25", Some(250)),
            ("-3", Some(-3_000)),
            ("1h30m", Some(5_400_000)),
            ("15s", Some(15_000)),
            ("soon", None),
            ("NaN", None),
            ("1e300", None),
            ("99999999999y", None),
        ] {
            assert_eq!(duration(text), millis, "{text}");
        }
    }
}
