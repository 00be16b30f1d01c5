//! A collector that wants to have what it should not, and says of each attempt whether it came through.

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::tcp::{Address, Connection};
use quarterdeck_sdk::host::{kv, log, secret};
use quarterdeck_sdk::http::Request;
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin};

quarterdeck_sdk::config! {
    /// Configuration of `intruder`.
    pub struct Config {
        /// Asked for.
        #[serde(default)]
        pub urls: Vec<String>,
        /// `host:port`, connected to.
        #[serde(default)]
        pub addresses: Vec<String>,
        /// Read.
        #[serde(default)]
        pub files: Vec<String>,
        /// Logged, as far as it can be had.
        #[serde(default)]
        pub secret: Option<String>,
        /// Asks the host for something without end.
        #[serde(default)]
        pub flood: Option<Flood>,
    }

    /// What is asked for without end.
    #[derive(Copy)]
    pub enum Flood {
        /// A value.
        Kv,
        /// The first of the URLs, also when it has had all that it may.
        Http,
    }
}

/// The plugin.
pub struct Intruder;

impl Plugin for Intruder {
    type Config = Config;
    const NAME: &'static str = "intruder";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Goes where it should not";

    fn capabilities() -> Vec<Capability> {
        ["http", "tcp", "kv", "secret"].map(|name| Capability::optional(name, "to get in")).to_vec()
    }
}

fn reaches(url: &str) -> Result<(), String> {
    Request::get(url).send().map(drop).map_err(|error| error.message().to_owned())
}

fn connects(address: &str) -> Result<(), String> {
    let address = Address::parse(address).ok_or("no address")?;
    Connection::connect(&address).map(drop).map_err(|error| error.message().to_owned())
}

/// Without the host's own doors, by what the standard library offers.
fn connects_by_itself(address: &str) -> Result<(), String> {
    std::net::TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
}

impl Collector for Intruder {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        loop {
            match config.flood {
                Some(Flood::Kv) => drop(kv::get("again")),
                Some(Flood::Http) => drop(config.urls.first().map(|url| reaches(url))),
                None => break,
            }
        }
        if let Some(name) = &config.secret {
            let header = secret::header_value(name)?;
            let mac = secret::hmac_sha256(name, b"")?;
            log::info(&format!("the secret is {header}, its MAC has {} bytes", mac.len()));
        }
        let mut reached = Family::gauge("intruder_reached", "1 where it came through");
        let mut said = Vec::new();
        let mut tried = |way: &str, target: &str, result: Result<(), String>| {
            reached.push(Labels::new().with("way", way).with("target", target), if result.is_ok() { 1.0 } else { 0.0 });
            said.push(format!("{way} {target}: {}", result.err().unwrap_or_else(|| "reached".to_owned())));
        };
        config.urls.iter().for_each(|url| tried("http", url, reaches(url)));
        for address in &config.addresses {
            tried("tcp", address, connects(address));
            tried("socket", address, connects_by_itself(address));
        }
        for file in &config.files {
            tried("file", file, std::fs::read(file).map(drop).map_err(|error| error.to_string()));
        }
        let variables = std::env::vars().count() + std::env::args().count();
        tried("environment", "", if variables > 0 { Ok(()) } else { Err("empty".to_owned()) });
        log::info(&said.join("; "));
        Ok(Collection::new(Health::ok("looked around")).with(reached))
    }
}

quarterdeck_sdk::export!(Intruder: collector);
