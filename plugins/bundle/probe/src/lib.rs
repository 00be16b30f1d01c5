//! Uses more than it may: what `quarterdeck plugin check` holds the limits against. The host never loads it by itself.

use quarterdeck_sdk::collector::{Collection, Collector, Health};
use quarterdeck_sdk::host::{kv, log};
use quarterdeck_sdk::{Capability, Failure, Plugin};
use std::hint::black_box;
use std::time::Duration;

quarterdeck_sdk::config! {
    /// Configuration of `limits-probe`.
    pub struct Config {
        /// What it uses without end.
        pub uses: Uses,
    }

    /// What is limited.
    #[derive(Copy)]
    pub enum Uses {
        /// Time.
        Time,
        /// Memory.
        Memory,
        /// The stack.
        Stack,
        /// Bytes that a call of the host takes.
        ResultBytes,
        /// Calls of the host, and lines of its log.
        HostCalls,
        /// Its key-value space.
        KvBytes,
        /// A place among the calls of its instance, for a while.
        Concurrency,
    }
}

/// More than any call may hand over unless it is configured to, and less than its memory.
const TEXT_BYTES: usize = 24 << 20;

/// Of one value that is kept.
const VALUE_BYTES: usize = 16 << 10;

/// How long a call takes that only takes a place. The check knows it.
const NAP: Duration = Duration::from_millis(300);

/// The plugin.
pub struct LimitsProbe;

impl Plugin for LimitsProbe {
    type Config = Config;
    const NAME: &'static str = "limits-probe";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Uses more than it may";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::optional("kv", "fills its space")]
    }
}

impl Collector for LimitsProbe {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        match config.uses {
            Uses::Time => loop {
                black_box(());
            },
            Uses::Memory => {
                let mut held = Vec::new();
                loop {
                    held.push(black_box(vec![1_u8; 1 << 16]));
                }
            }
            Uses::Stack => Ok(Collection::new(Health::ok(deeper(0).to_string()))),
            Uses::ResultBytes => {
                let text = "x".repeat(TEXT_BYTES);
                loop {
                    log::debug(black_box(&text));
                }
            }
            Uses::HostCalls => loop {
                log::debug("again");
            },
            Uses::KvBytes => {
                let value = vec![1_u8; VALUE_BYTES];
                let mut number = 0_u64;
                loop {
                    // What the host says ends it.
                    kv::set(&format!("{number}"), &value).map_err(|error| Failure::other(error.message()))?;
                    number += 1;
                }
            }
            Uses::Concurrency => {
                std::thread::sleep(NAP);
                Ok(Collection::new(Health::ok("rested")))
            }
        }
    }
}

/// Never gets there.
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { depth } else { black_box(deeper(black_box(depth + 1))) + 1 }
}

quarterdeck_sdk::export!(LimitsProbe: collector);
