//! Prometheus's scrape: targets that are found, asked at their interval, and what they say made into series.
//!
//! The host does this itself, where collectors are plugins: a page of a thousand samples is read, recognised and stored in less time
//! than it takes to hand its bytes into a sandbox. Whoever wants a target's bytes read in a sandbox uses the plugin `prometheus-scrape`.
//!
//! - `job`: a scrape configuration made ready; `relabel`: what becomes of labels; `target`: from what was found to what is asked. Pure
//! - `cache`: what is known of the series of a page, by their text; pure
//! - `page`: one page made into rows
//! - `outside`: the ports to targets and names; `http`, `dns`: how they are really asked; `files`: files of targets
//! - `discovery`: what a job's configuration finds
//! - `roll`: who is scraped; pure
//! - `turn`: one scrape of one target; `jobs`: a job for each in the running host
//!
//! What Prometheus says of a scrape is said here as well: `up`, `scrape_duration_seconds`, `scrape_samples_scraped`,
//! `scrape_samples_post_metric_relabeling`, `scrape_series_added`; and series that vanish are marked as ended.

mod cache;
mod discovery;
mod dns;
mod files;
mod http;
mod job;
pub(super) mod jobs;
mod outside;
mod page;
mod relabel;
mod roll;
mod target;
#[cfg(test)]
mod tests;
mod turn;

pub use job::check;
pub use jobs::{DroppedTarget, TargetStatus};
pub use outside::{Answer, Ask, Found, Names, Outside, Targets};
pub use page::{Counts, Reader};
pub(super) use roll::Roll;
pub use turn::Health;
