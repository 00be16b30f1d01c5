//! Pages that are scraped: Prometheus's text format 0.0.4, and OpenMetrics 1.0.
//!
//! A page is read line by line where it stands. Whoever scrapes the same page again and again knows most of its lines: what comes up
//! to the value was read before, so [`Page::expect`] only compares it.

mod number;
mod series;

pub use series::{Pair, labels, metadata};

use crate::Error;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Text,
    /// `application/openmetrics-text`.
    OpenMetrics,
}

impl Format {
    /// What is asked for: what is read best first.
    pub const ACCEPT: &'static str =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

    /// By what the answer says of itself. Whatever is not OpenMetrics is taken for the text format, as Prometheus's old fallback is.
    ///
    /// # Errors
    /// The protobuf format, which nobody asked for.
    pub fn of(content_type: Option<&str>) -> Result<Self, Error> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Ok(Format::OpenMetrics),
            "application/vnd.google.protobuf" => {
                Err(Error::malformed("the page is in the protobuf format; hint: it was asked for text"))
            }
            _ => Ok(Format::Text),
        }
    }
}

/// A line with a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// What stands before the value: `up{job="node"}`. See [`labels`].
    pub series: &'a str,
    pub value: f64,
    /// Milliseconds since 1970, where the line says it.
    pub at: Option<i64>,
}

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    Sample(Sample<'a>),
    /// A line that describes a metric, as it stands there. See [`metadata`].
    Comment(&'a str),
}

/// A page that is being read.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    format: Format,
    /// `# EOF` was there.
    ended: bool,
}

impl<'a> Page<'a> {
    pub fn new(text: &'a str, format: Format) -> Self {
        Page { text, at: 0, format, ended: false }
    }

    /// The next line, if it is a sample of this series, in the simplest form: its value, and its time.
    #[inline]
    pub fn expect(&mut self, series: &str) -> Option<(f64, Option<i64>)> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let rest = rest.strip_prefix(series.as_bytes())?.strip_prefix(b" ")?;
        let (value, length) = number::simple(rest)?;
        let rest = rest.get(length..)?;
        let (at, rest) = match rest.split_first()? {
            (b'\n', rest) => (None, rest),
            (b' ', rest) if self.format == Format::Text => {
                let (at, length) = number::whole(rest)?;
                (Some(at), rest.get(length..)?.strip_prefix(b"\n")?)
            }
            _ => return None,
        };
        self.at = self.text.len() - rest.len();
        Some((value, at))
    }

    /// The next line that says something. `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the line, and its number.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on behind an error")]
    pub fn next(&mut self) -> Result<Option<Item<'a>>, Error> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return if self.ended || self.format == Format::Text { Ok(None) } else { Err(self.unended()) };
            }
            let line = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest, |end| rest.get(..end).unwrap_or(rest));
            let item = self.line(line).map_err(|why| self.wrong(why))?;
            self.at = (self.at + line.len() + 1).min(self.text.len());
            if item.is_some() {
                return Ok(item);
            }
        }
    }

    fn line(&mut self, line: &'a str) -> Result<Option<Item<'a>>, String> {
        let strict = self.format == Format::OpenMetrics;
        if self.ended {
            return Err("there is something behind `# EOF`".to_owned());
        }
        if strict && line == "# EOF" {
            self.ended = true;
            return Ok(None);
        }
        let start = line.trim_start_matches([' ', '\t']);
        if start.starts_with('#') {
            let comment = series::described(start, self.format)?;
            return Ok(comment.map(|_| Item::Comment(start)));
        }
        if start.is_empty() {
            return if strict { Err("there is an empty line".to_owned()) } else { Ok(None) };
        }
        sample(start, self.format).map(|sample| Some(Item::Sample(sample)))
    }

    fn unended(&self) -> Error {
        self.wrong("the page ends without `# EOF`; hint: it was cut off".to_owned())
    }

    fn wrong(&self, why: String) -> Error {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
        Error::Malformed(format!("line {line}: {why}"))
    }
}

fn sample(line: &str, format: Format) -> Result<Sample<'_>, String> {
    let end = series::end(line)?;
    let (series, rest) = line.split_at_checked(end).ok_or("it is cut off")?;
    let rest = match rest.trim_start_matches([' ', '\t']) {
        "" => return Err(format!("`{}` has no value", shortened(series))),
        // A metric's name, and its labels behind a blank.
        labelled if labelled.starts_with('{') => {
            let end = line.len() - labelled.len() + series::end_of_labels(labelled)?;
            let (series, rest) = line.split_at_checked(end).ok_or("it is cut off")?;
            return valued(series, rest, format);
        }
        _ => rest,
    };
    valued(series, rest, format)
}

fn valued<'a>(series: &'a str, rest: &'a str, format: Format) -> Result<Sample<'a>, String> {
    let rest = match format {
        Format::Text => rest,
        // Exemplars are passed over.
        Format::OpenMetrics => rest.split_once(" # ").map_or(rest, |(before, _)| before),
    };
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next().ok_or_else(|| format!("`{}` has no value", shortened(series)))?;
    let value = number::any(value).ok_or_else(|| format!("`{}` is not a number", shortened(value)))?;
    let at = words.next().map(|at| time(at, format).ok_or_else(|| format!("`{}` is not a time", shortened(at))));
    if let Some(more) = words.next() {
        return Err(format!("`{}` is more than a value and a time", shortened(more)));
    }
    Ok(Sample { series, value, at: at.transpose()? })
}

/// Milliseconds in the text format, seconds in OpenMetrics.
fn time(text: &str, format: Format) -> Option<i64> {
    match format {
        Format::Text => text.parse().ok(),
        Format::OpenMetrics => {
            let millis = number::any(text)? * 1000.0;
            #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
            (millis.abs() < 9e15).then_some(millis.round() as i64)
        }
    }
}

/// As much of a text as belongs into a message.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
