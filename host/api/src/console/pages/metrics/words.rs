//! Words that are offered while PromQL is typed: a small page that the script reads.

use crate::console::query::quoted;
use crate::console::view::View;
use crate::problem::Problem;
use crate::prometheus;
use axum::response::Response;
use maud::html;
use quarterdeck_model::Span;
use quarterdeck_model::series::query::{Comparison, Matcher, NAME};
use quarterdeck_promql::FUNCTIONS;
use std::collections::BTreeSet;
use std::time::Duration;

const OFFERED: usize = 30;
/// Series that are looked at for labels and their values.
const SERIES: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(2);

/// What gathers several series into one. Called as functions are.
const AGGREGATIONS: [&str; 12] =
    ["avg", "bottomk", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum", "topk"];
const KEYWORDS: [&str; 11] =
    ["and", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless", "without", "bool"];

struct Word {
    word: String,
    /// What is put there.
    insert: String,
    kind: &'static str,
}

pub(super) async fn words(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let text = |name: &str| params.text(name).map(|text| text.unwrap_or_default().to_owned());
    let (word, metric, label) = (text("word")?, text("metric")?, text("label")?);
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    // Within `by (...)` a label stands alone.
    let grouped = params.text("grouped")?.is_some();
    let found = match (given(metric), given(label)) {
        (None, None) => names(&view, &word),
        (metric, label) => of_series(&view, Sought { metric, label, word, grouped }).await,
    };
    let content = html! {
        h1 { "Words that fit" }
        ul id="words" {
            @for word in &found { li data-word=(word.word) data-insert=(word.insert) data-kind=(word.kind) { bdi { (word.word) } " " (word.kind) } }
        }
    };
    Ok(view.page("Words that fit", content))
}

/// Those that begin with it come before those that have it in them.
fn names(view: &View, word: &str) -> Vec<Word> {
    let wanted = word.to_lowercase();
    let functions = FUNCTIONS.iter().chain(&AGGREGATIONS);
    let functions =
        functions.map(|name| Word { word: (*name).to_owned(), insert: format!("{name}("), kind: "function" });
    let keywords =
        KEYWORDS.iter().map(|name| Word { word: (*name).to_owned(), insert: format!("{name} "), kind: "keyword" });
    let metrics = view.api.options.series.names().into_iter();
    let metrics = metrics.map(|name| Word { insert: name.clone(), word: name, kind: "metric" });
    let mut found: Vec<Word> =
        metrics.chain(functions).chain(keywords).filter(|word| word.word.to_lowercase().contains(&wanted)).collect();
    found.sort_by_cached_key(|word| (!word.word.to_lowercase().starts_with(&wanted), word.kind == "keyword"));
    found.truncate(OFFERED);
    found
}

/// Labels of a metric, or the values of one label, of that metric or of all.
struct Sought {
    metric: Option<String>,
    label: Option<String>,
    word: String,
    /// The label is one to group by.
    grouped: bool,
}

/// Where reading fails, nothing is offered: there is no more to it.
async fn of_series(view: &View, sought: Sought) -> Vec<Word> {
    let now = view.api.options.clock.now();
    let Sought { metric, label, word, grouped } = sought;
    let work = move |querier: &dyn quarterdeck_promql::Querier, _: &quarterdeck_promql::Budget| {
        let named = |value| Matcher { label: NAME.to_owned(), comparison: Comparison::Equal, value };
        let has =
            |label: &String| Matcher { label: label.clone(), comparison: Comparison::NotEqual, value: String::new() };
        let matchers: Vec<Matcher> = metric.map(named).into_iter().chain(label.as_ref().map(has)).collect();
        let series = querier.series(&matchers, now.minus(Span::from_secs(3600)), now, SERIES)?;
        let mut found = BTreeSet::new();
        for labels in series {
            match &label {
                Some(label) => found.extend(labels.get(label).map(str::to_owned)),
                None => found.extend(labels.iter().map(|(name, _)| name.to_owned()).filter(|name| name != NAME)),
            }
        }
        let (wanted, of_values) = (word.to_lowercase(), label.is_some());
        let fits = found.into_iter().filter(|text| text.to_lowercase().contains(&wanted));
        let word = |text: String| match of_values {
            // Within its quotes already.
            true => {
                let quoted = quoted(&text);
                let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                Word { insert: inner.unwrap_or_default().to_owned(), word: text, kind: "value" }
            }
            false if grouped => Word { insert: text.clone(), word: text, kind: "label" },
            false => Word { insert: format!("{text}=\""), word: text, kind: "label" },
        };
        Ok(fits.map(word).take(OFFERED).collect::<Vec<_>>())
    };
    prometheus::within(&view.api, Some(PATIENCE), work).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_promql::Expression;

    #[test]
    fn what_gathers_series_is_read_as_such() {
        for name in AGGREGATIONS {
            let first = match name {
                "bottomk" | "topk" => "3, ",
                "quantile" => "0.5, ",
                "count_values" => "\"value\", ",
                _ => "",
            };
            let read = Expression::parse(&format!("{name} by (a) ({first}up)"));
            assert!(read.is_ok(), "{name}: {:?}", read.err());
            assert!(!FUNCTIONS.contains(&name), "{name} would be offered twice");
        }
    }
}
