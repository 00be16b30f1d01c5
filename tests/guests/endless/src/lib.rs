//! A plugin that never ends to describe itself.

use quarterdeck_sdk::collector::{Collection, Collector, Health};
use quarterdeck_sdk::{Capability, Failure, Plugin};
use std::hint::black_box;

quarterdeck_sdk::config! {
    /// Nothing to configure.
    pub struct Config {}
}

/// The plugin.
pub struct Endless;

impl Plugin for Endless {
    type Config = Config;
    const NAME: &'static str = "endless";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Never gets that far";

    /// A part of its description.
    fn capabilities() -> Vec<Capability> {
        loop {
            black_box(());
        }
    }
}

impl Collector for Endless {
    fn collect(_: &Config, _: i64) -> Result<Collection, Failure> {
        Ok(Collection::new(Health::ok("never asked")))
    }
}

quarterdeck_sdk::export!(Endless: collector);
