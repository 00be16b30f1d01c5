//! Reads queries: with the parser of `promql-parser`, whose input we bound and whose tree we turn into ours.
//!
//! Where that parser and Prometheus 3 differ, and what becomes of it here:
//!
//! - bytes in texts (`"\xc3\xa9"`): resolved before; what is not UTF-8 is refused, since no label can be
//! - durations that don't fit (`[99999999999y1s]`), numbers beyond floating point: refused before, as Prometheus does
//! - `or` between matchers: refused after, it is not PromQL
//! - `anchored` and `smoothed` as names of metrics and labels in `by (...)`: refused; quoted, they are taken
//! - arithmetic in durations (`[5m * 2]`), `fill`, and other parts that Prometheus calls experimental: refused by name

mod bounds;
mod convert;
mod duration;
mod escapes;
mod places;
mod shown;
mod tokens;

pub use duration::parse_duration;
pub use shown::{STACK, format_query, tree_of};

use crate::error::Error;
use crate::expression::{Expression, Kind};
use places::Places;
use promql_parser::parser::Expr;
use quarterdeck_model::series::query::Matcher;
use tokens::Token;

impl Expression {
    /// # Errors
    /// [`Error::Parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        bounds::check_length(text)?;
        let tokens = tokens::split(text)?;
        let root = convert::node(&parsed(text, &tokens)?, &mut Places::new(&tokens))?;
        Ok(Expression { text: text.to_owned(), root })
    }
}

/// The crate's tree.
fn read(text: &str) -> Result<Expr, Error> {
    bounds::check_length(text)?;
    parsed(text, &tokens::split(text)?)
}

fn parsed(text: &str, tokens: &[Token<'_>]) -> Result<Expr, Error> {
    bounds::check(text, tokens)?;
    let resolved = escapes::resolve(text, tokens)?;
    // The crate panics on some input that the bounds should have kept from it; that must cost no more than the query.
    std::panic::catch_unwind(|| promql_parser::parser::parse(&resolved))
        .map_err(|_| Error::Parse("the parser failed on it".to_owned()))?
        .map_err(Error::Parse)
}

/// Reads a selector without a range, `up{job="api"}`, as `match[]` of the API has it.
///
/// # Errors
/// [`Error::Parse`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, Error> {
    match Expression::parse(text)?.root.kind {
        Kind::Vector(selector) if selector.shift.at.is_none() && selector.shift.offset == 0 => Ok(selector.matchers),
        _ => Err(Error::Parse("a selector such as `up{job=\"api\"}` is expected, and nothing around it".to_owned())),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
