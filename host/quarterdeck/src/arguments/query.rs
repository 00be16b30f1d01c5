//! Queries in PromQL.

use super::values::duration;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The query: `up == 0`
    pub(crate) query: String,
    /// As at this time: seconds since 1970, or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Over this long until then: `90s`, `1h 30m`, `2days`
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) since: Option<Duration>,
    /// From one value to the next [default: a sixtieth of --since, a second at least]
    #[arg(long, requires = "since", value_parser = duration, value_name = "DURATION")]
    pub(crate) step: Option<Duration>,
}
