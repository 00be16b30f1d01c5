//! Operators between scalars, and between a vector and a scalar; those between vectors go on to [`super::matching`] and [`super::sets`].

use super::grid::Grid;
use super::row::{ABSENT, Row, is_present};
use super::{Evaluator, Operand, matching, sets};
use crate::error::Error;
use crate::expression::{Binary, Operator};

impl Evaluator<'_> {
    pub(super) fn binary(
        &mut self,
        binary: &Binary,
        left: Operand,
        right: Operand,
        grid: &Grid,
    ) -> Result<Operand, Error> {
        let operator = binary.operator;
        Ok(match (left, right) {
            (Operand::Scalar(left), Operand::Scalar(right)) => {
                let pairs = left.iter().zip(&right);
                let values = pairs.map(|(left, right)| match apply(operator, *left, *right) {
                    Outcome::Value(value) => value,
                    Outcome::Truth(true) => 1.0,
                    Outcome::Truth(false) => 0.0,
                });
                Operand::Scalar(values.collect())
            }
            (Operand::Rows(rows), Operand::Scalar(scalar)) => {
                Operand::Rows(with_scalar(binary, rows, &scalar, |value, scalar| apply(operator, value, scalar)))
            }
            (Operand::Scalar(scalar), Operand::Rows(rows)) => {
                Operand::Rows(with_scalar(binary, rows, &scalar, |value, scalar| apply(operator, scalar, value)))
            }
            (Operand::Rows(left), Operand::Rows(right)) if operator.is_set() => {
                Operand::Rows(sets::combine(binary, left, right, grid)?)
            }
            (Operand::Rows(left), Operand::Rows(right)) => {
                Operand::Rows(matching::combine(binary, left, right, grid, self.budget)?)
            }
        })
    }
}

pub(super) enum Outcome {
    Value(f64),
    Truth(bool),
}

#[inline]
pub(super) fn apply(operator: Operator, left: f64, right: f64) -> Outcome {
    match operator {
        Operator::Add => Outcome::Value(left + right),
        Operator::Subtract => Outcome::Value(left - right),
        Operator::Multiply => Outcome::Value(left * right),
        Operator::Divide => Outcome::Value(left / right),
        Operator::Modulo => Outcome::Value(left % right),
        Operator::Power => Outcome::Value(left.powf(right)),
        Operator::Atan2 => Outcome::Value(left.atan2(right)),
        Operator::Equal => Outcome::Truth(left == right),
        Operator::NotEqual => Outcome::Truth(left != right),
        Operator::Greater => Outcome::Truth(left > right),
        Operator::Less => Outcome::Truth(left < right),
        Operator::GreaterOrEqual => Outcome::Truth(left >= right),
        Operator::LessOrEqual => Outcome::Truth(left <= right),
        // Sets never come here: they don't look at values.
        Operator::And | Operator::Or | Operator::Unless => Outcome::Value(left),
    }
}

/// What becomes of an element: itself where a comparison holds, 0 or 1 for `bool`, the result of an arithmetic operator.
#[inline]
pub(super) fn settle(outcome: Outcome, as_bool: bool, element: f64) -> f64 {
    match outcome {
        Outcome::Value(value) => value,
        Outcome::Truth(truth) if as_bool => f64::from(u8::from(truth)),
        Outcome::Truth(true) => element,
        Outcome::Truth(false) => ABSENT,
    }
}

fn with_scalar(binary: &Binary, mut rows: Vec<Row>, scalar: &[f64], outcome: impl Fn(f64, f64) -> Outcome) -> Vec<Row> {
    for row in &mut rows {
        row.drop_name |= binary.as_bool || !binary.operator.is_comparison();
        for (value, scalar) in row.values.iter_mut().zip(scalar).filter(|(value, _)| is_present(**value)) {
            *value = settle(outcome(*value, *scalar), binary.as_bool, *value);
        }
    }
    rows.retain(|row| !row.is_empty());
    rows
}
