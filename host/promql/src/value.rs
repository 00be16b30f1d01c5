//! What a query evaluates to.

use quarterdeck_model::label::Labels;
use quarterdeck_model::time::Timestamp;
use std::sync::Arc;

/// The four kinds of Prometheus. A range query gives a matrix, always.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar {
        at: Timestamp,
        value: f64,
    },
    Text {
        at: Timestamp,
        value: String,
    },
    /// In the order that the query gives: by value after `sort` and `topk`.
    Vector(Vec<Sample>),
    /// Ordered by labels.
    Matrix(Vec<Series>),
}

/// One series at the time of an instant query.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Arc<Labels>,
    pub point: Point,
}

/// One series over the time of a query, oldest first, never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: Arc<Labels>,
    pub points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    pub value: f64,
}
