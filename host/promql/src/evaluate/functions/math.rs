//! Functions of one number.

use crate::evaluate::row::ABSENT;
use crate::number::{greater, lesser};

pub(super) fn find(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |radians| radians * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |degrees| degrees * std::f64::consts::PI / 180.0,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// To a multiple of `nearest`; what lies between two is rounded up.
pub(super) fn round(value: f64, nearest: f64) -> f64 {
    // The inverse loses fewer digits: 0.1 has no exact representation, 10 has.
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// Nothing for limits that exclude each other.
pub(super) fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if most < least { ABSENT } else { greater(least, lesser(most, value)) }
}
