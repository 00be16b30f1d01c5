//! PromQL as Prometheus 3 understands it: a query is read ([`Expression::parse`]) and evaluated ([`evaluate()`]).
//!
//! What this crate is not: a store (series are read through [`Querier`]), an API (it formats no answers but
//! [single numbers](Number)), a scheduler of rules. It does no I/O of its own and never reads the clock. It evaluates on the calling
//! thread; [`Budget`] bounds what a query reads and holds, and ends it from outside.
//!
//! A whole range is evaluated in columns: an expression becomes rows, one for each series, with a value for each step. A selector
//! reads its series once for all steps, and windows move over them. Native histograms are not supported; functions that Prometheus
//! calls experimental are refused by name.
//!
//! - [`parse`]: text to [`Expression`]; bounds what is handed to the parser's crate, and finds positions
//! - [`expression`]: our own tree
//! - [`evaluate`](mod@evaluate): the tree over a grid of steps
//! - [`value`], [`number`]: what comes out, and how a number is written
//! - [`notation`], [`memory`]: series as tests write them, and as they hold them
//! - [`notes`]: warnings and remarks about the data
//!
//! ```
//! use quarterdeck_model::label::Labels;
//! use quarterdeck_model::series::query::{Budget, Columns, Matcher, Querier};
//! use quarterdeck_model::{store::StoreError, time::Timestamp};
//! use quarterdeck_promql::{Expression, Options, Times, Value, evaluate};
//! use std::sync::Arc;
//!
//! /// Holds no series.
//! struct Empty;
//!
//! impl Querier for Empty {
//!     fn select(&self, _: &[Matcher], _: Timestamp, _: Timestamp, _: &Budget) -> Result<Vec<Columns>, StoreError> {
//!         Ok(Vec::new())
//!     }
//!     fn series(&self, _: &[Matcher], _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<Arc<Labels>>, StoreError> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! let expression = Expression::parse("1 + 2 * scalar(vector(3))")?;
//! let times = Times::at(Timestamp::from_millis(60_000));
//! let answer = evaluate(&expression, times, &Empty, &Budget::of_samples(1_000), &Options::default())?;
//! assert!(matches!(answer.value, Value::Scalar { value, .. } if value == 7.0));
//! # Ok::<(), quarterdeck_promql::Error>(())
//! ```

pub mod error;
pub mod evaluate;
pub mod expression;
pub mod memory;
pub mod notation;
pub mod notes;
pub mod number;
pub mod parse;
pub mod value;

pub use error::Error;
pub use evaluate::{Answer, FUNCTIONS, Options, Presence, Recording, Recordings, Times, evaluate, is_blind};
pub use expression::Expression;
pub use number::Number;
pub use parse::{STACK, format_query, parse_duration, parse_selector, tree_of};
pub use quarterdeck_model::series::query::{Budget, Querier};
pub use value::{Point, Sample, Series, Value};
