//! A collector that misbehaves in the way its configuration names.

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::events;
use quarterdeck_sdk::host::log::{self, Level};
use quarterdeck_sdk::{Failure, Plugin, Problem, serde_json};
use std::hint::black_box;

quarterdeck_sdk::config! {
    /// Configuration of `hostile`.
    pub struct Config {
        /// What it does.
        pub behaviour: Behaviour,
    }

    /// What a plugin must not do.
    #[derive(Copy)]
    pub enum Behaviour {
        /// Behaves.
        Ok,
        /// Executes `unreachable`.
        Trap,
        /// Never ends.
        Loop,
        /// Takes memory without end.
        Allocate,
        /// Calls itself without end.
        Recurse,
        /// Returns more than anybody wants.
        GiantResult,
        /// Logs without end.
        LogFlood,
        /// Publishes without end, whatever the host answers.
        EventFlood,
        /// Executes `unreachable` when it is asked whether its configuration is right.
        TrapInValidation,
    }
}

/// The plugin.
pub struct Hostile;

impl Plugin for Hostile {
    type Config = Config;
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Misbehaves on purpose";

    fn validate(config: &Config) -> Vec<Problem> {
        assert!(!matches!(config.behaviour, Behaviour::TrapInValidation), "on purpose");
        Vec::new()
    }
}

#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(frame[0] + 1) + black_box(frame[63])
}

impl Collector for Hostile {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        match config.behaviour {
            Behaviour::Ok | Behaviour::TrapInValidation => {}
            Behaviour::Trap => panic!("on purpose"),
            Behaviour::Loop => loop {
                black_box(());
            },
            Behaviour::Allocate => {
                let mut blocks = Vec::new();
                loop {
                    blocks.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            Behaviour::Recurse => {
                black_box(recurse(0));
            }
            Behaviour::GiantResult => return Err(Failure::other("x".repeat(24 << 20))),
            Behaviour::LogFlood => loop {
                log::write(Level::Info, "again and again");
            },
            Behaviour::EventFlood => loop {
                let _ = events::publish("custom.flood", "again", &serde_json::Map::new());
            },
        }
        Ok(Collection::new(Health::ok("behaves")).with(Family::gauge("hostile_value", "A constant").value(1.0)))
    }
}

quarterdeck_sdk::export!(Hostile: collector);
