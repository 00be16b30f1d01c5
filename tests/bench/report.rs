//! A row of the table that every benchmark prints: what was measured, the bound that it is held against, and a peer's figure.

/// Prints one row of a Markdown table. `bound` and `peer` may be empty.
pub(crate) fn row(what: &str, figure: &str, bound: &str, peer: &str) {
    println!("| {what} | {figure} | {bound} | {peer} |");
}

/// The value below which `share` (0 to 1) of all values lie; sorts them.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
