//! What is true of this target now?

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::{Failure, Plugin};

quarterdeck_sdk::config! {
    /// What an instance is configured with; the doc comments are what an operator reads.
    pub struct Config {
        /// How far the figure swings within a minute.
        #[serde(default)]
        pub amplitude: u32,
    }
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A figure that swings";
}

impl Collector for {{type}} {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let height = f64::from(config.amplitude) * now_ms.rem_euclid(60_000) as f64 / 60_000.0;
        Ok(Collection::new(Health::ok("it swings")).with(Family::gauge("{{snake}}_height", "How high it is").value(height)))
    }
}

quarterdeck_sdk::export!({{type}}: collector);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_half_a_minute_it_is_half_as_high_as_it_gets() {
        let collection = {{type}}::collect(&Config { amplitude: 3 }, 90_000).unwrap();
        assert_eq!(collection.value("{{snake}}_height", &Default::default()), Some(1.5));
    }
}
