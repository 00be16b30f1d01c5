//! Reads the host's series.

use crate::Labels;
use crate::host::Error;

/// One sample of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which series.
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The figure.
    pub value: f64,
}

/// The newest sample of every series of that name whose labels include all of `matching`, no older than five minutes.
pub fn latest(name: &str, matching: &Labels) -> Result<Vec<Point>, Error> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::imports::quarterdeck::host::metrics as wit;
        use crate::mirror::Mirror;
        let matching: Vec<_> = matching.clone().mirror();
        wit::latest(name, &matching).map(Mirror::mirror).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let fits = |point: &Point| matching.iter().all(|(name, value)| point.labels.get(name).unwrap_or("") == value);
        Ok(host.metrics.iter().filter(|(own, point)| own == name && fits(point)).map(|(_, p)| p.clone()).collect())
    })
}

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct crate::bindings::imports::quarterdeck::host::metrics::Point => Point { labels, at_ms, value }
}
