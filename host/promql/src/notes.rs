//! What an answer is accompanied by: warnings (something is wrong with the data or the query) and remarks (something may be).

use std::collections::BTreeSet;

/// Collected while a query is evaluated; each text once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    text: String,
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

impl Notes {
    /// For a query of this text, which positions are counted in.
    pub(crate) fn of(text: &str) -> Self {
        Notes { text: text.to_owned(), ..Notes::default() }
    }

    pub(crate) fn warn(&mut self, position: usize, message: impl AsRef<str>) {
        let note = format!("PromQL warning: {} {}", message.as_ref(), place(&self.text, position));
        self.warnings.insert(note);
    }

    pub(crate) fn inform(&mut self, position: usize, message: impl AsRef<str>) {
        let note = format!("PromQL info: {} {}", message.as_ref(), place(&self.text, position));
        self.infos.insert(note);
    }

    pub(crate) fn check_quantile(&mut self, position: usize, quantile: f64) {
        if !(0.0..=1.0).contains(&quantile) {
            let got = crate::Number(quantile);
            self.warn(position, format!("quantile value should be between 0 and 1, got {got}"));
        }
    }

    /// Warnings and remarks, each sorted.
    pub(crate) fn into_texts(self) -> (Vec<String>, Vec<String>) {
        (self.warnings.into_iter().collect(), self.infos.into_iter().collect())
    }
}

/// ` for metric name "x"`, or nothing where there is no name.
pub(crate) fn of_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {name:?}") }
}

/// `(line:column)` of a byte of the query, both from 1.
pub(crate) fn place(text: &str, position: usize) -> String {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().len() + 1;
    format!("({line}:{column})")
}
