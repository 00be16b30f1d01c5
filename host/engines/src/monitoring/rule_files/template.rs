//! Templates of labels and annotations: the part of Go's `text/template` that rule files use, with Prometheus's functions.
//!
//! - `read`: text to a tree; names of functions and variables are checked then, so that a mistake is told when a file is read
//! - `fill`: the tree to text
//! - `value`, `number`: what is filled in, and how Go writes it
//! - `functions`
//!
//! There: fields, variables, pipelines, `if`, `with`, `range` (each with `else`), comments, trimming. Not there: `define` and
//! `template`, `break` and `continue`, methods.

mod fill;
mod functions;
mod number;
mod read;
mod value;

pub use value::Value;

use quarterdeck_model::label::Labels;
use std::sync::Arc;

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<read::Node>,
}

/// One series that a template's `query` has found.
pub type Found = (Arc<Labels>, f64);

/// What a template sees.
pub struct Scene<'a> {
    pub labels: &'a Labels,
    pub external_labels: &'a Labels,
    pub external_url: &'a str,
    pub value: f64,
    /// Asks a query at the time of the evaluation.
    pub query: &'a dyn Fn(&str) -> Result<Vec<Found>, String>,
}

impl Template {
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &str) -> Result<Self, String> {
        Ok(Template { nodes: read::template(text)? })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// What could not be filled in, for a person.
    pub fn fill(&self, scene: &Scene<'_>) -> Result<String, String> {
        fill::template(&self.nodes, scene)
    }

    /// Whether it is text alone.
    pub fn is_plain(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node, read::Node::Text(_)))
    }
}

#[cfg(test)]
mod tests;
