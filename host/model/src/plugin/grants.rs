//! Grants in words: what an instance may do, with each scope, as an operator reads it before saying yes.

use super::{Grants, ProgramGrant};

impl Grants {
    /// A line for each capability that is given. Empty: nothing is.
    pub fn words(&self) -> Vec<String> {
        // By name, so that a capability that comes later is not left out here.
        let Grants { http, kv, metrics, events, system, exec, tcp, process, secret, reveal, files, append } = self;
        let mut words = Vec::new();
        let mut say = |given: bool, line: String| {
            if given {
                words.push(line);
            }
        };
        let origins: Vec<String> = http.iter().map(|origin| self::origin(origin)).collect();
        say(!http.is_empty(), format!("http: send HTTP requests to {}", origins.join(", ")));
        say(*kv, "kv: keep keys and values in a space of its own".to_owned());
        say(*metrics, "metrics: read every series of this host".to_owned());
        say(!events.is_empty(), format!("events: publish events of the types {}*", events.join("*, ")));
        say(*system, "system: read facts about this machine: load, memory, disks, processes".to_owned());
        say(!exec.is_empty(), format!("exec: run {}", programs(exec)));
        say(!tcp.is_empty(), format!("tcp: open connections to {}", tcp.join(", ")));
        say(!process.is_empty(), format!("process: start and stop long-running processes of {}", programs(process)));
        say(!secret.is_empty(), format!("secret: have the host use these secrets for it: {}", secret.join(", ")));
        say(!reveal.is_empty(), format!("reveal: see these secrets as they are: {}", reveal.join(", ")));
        say(!files.is_empty(), format!("files: read {}", self::files(files)));
        say(!append.is_empty(), format!("append: add lines to {}", self::files(append)));
        words
    }
}

fn origin(origin: &str) -> String {
    if origin == "*" { "any public address".to_owned() } else { origin.to_owned() }
}

fn files(files: &[String]) -> String {
    let one = |file: &String| if file.ends_with('/') { format!("all below {file}") } else { file.clone() };
    files.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn programs(programs: &[ProgramGrant]) -> String {
    let one = |ProgramGrant { program, arguments, environment }: &ProgramGrant| {
        let run = match arguments.as_slice() {
            [] => format!("`{program}` without arguments"),
            [all] if all == "..." => format!("`{program}` with any arguments"),
            [first @ .., last] if last == "..." => format!("`{program} {}` and any further arguments", first.join(" ")),
            arguments => format!("`{program} {}`", arguments.join(" ")),
        };
        if environment.is_empty() { run } else { format!("{run} (and set {} for it)", environment.join(" and ")) }
    };
    programs.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_grant_is_said_with_its_scope() {
        let grants: Grants = serde_json::from_value(json!({
            "http": ["https://api.example.com", "*"], "kv": true, "metrics": true, "events": ["custom.", "mine."],
            "system": true, "tcp": ["db.example.com:5432"], "secret": ["token"],
            "exec": [{"program": "/bin/true"}, {"program": "/bin/df", "arguments": ["-h", "..."]}],
            "process": [{"program": "/usr/bin/shop", "arguments": ["..."], "environment": ["LANG", "SHOP_NAME"]}],
            "reveal": ["password"], "files": ["/var/log/app.log", "/var/log/app/"],
            "append": ["/var/log/alerts.jsonl", "/var/log/told/"],
        }))
        .unwrap();
        let expected = [
            "http: send HTTP requests to https://api.example.com, any public address",
            "kv: keep keys and values in a space of its own",
            "metrics: read every series of this host",
            "events: publish events of the types custom.*, mine.*",
            "system: read facts about this machine: load, memory, disks, processes",
            "exec: run `/bin/true` without arguments, `/bin/df -h` and any further arguments",
            "tcp: open connections to db.example.com:5432",
            "process: start and stop long-running processes of `/usr/bin/shop` with any arguments (and set LANG and SHOP_NAME for it)",
            "secret: have the host use these secrets for it: token",
            "reveal: see these secrets as they are: password",
            "files: read /var/log/app.log, all below /var/log/app/",
            "append: add lines to /var/log/alerts.jsonl, all below /var/log/told/",
        ];
        assert_eq!(grants.words(), expected);
        assert_eq!(Grants::default().words(), Vec::<String>::new());
    }
}
