//! Grants in words: what an instance may do, with each scope, as an operator reads it before saying yes.

use super::{Grants, ProgramGrant};

impl Grants {
    /// A line for each capability that is given. Empty: nothing is.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut say = |given: bool, line: String| {
            if given {
                words.push(line);
            }
        };
        let origins: Vec<String> = self.http.iter().map(|origin| self::origin(origin)).collect();
        say(!origins.is_empty(), format!("http: send HTTP requests to {}", origins.join(", ")));
        say(self.kv, "kv: keep keys and values in a space of its own".to_owned());
        say(self.metrics, "metrics: read every series of this host".to_owned());
        let prefixes = self.events.join("*, ");
        say(!self.events.is_empty(), format!("events: publish events of the types {prefixes}*"));
        say(self.system, "system: read facts about this machine: load, memory, disks, processes".to_owned());
        say(!self.exec.is_empty(), format!("exec: run {}", programs(&self.exec)));
        say(!self.tcp.is_empty(), format!("tcp: open connections to {}", self.tcp.join(", ")));
        let processes = programs(&self.process);
        say(!self.process.is_empty(), format!("process: start and stop long-running processes of {processes}"));
        let secrets = self.secret.join(", ");
        say(!self.secret.is_empty(), format!("secret: have the host use these secrets for it: {secrets}"));
        words
    }
}

fn origin(origin: &str) -> String {
    if origin == "*" { "any public address".to_owned() } else { origin.to_owned() }
}

fn programs(programs: &[ProgramGrant]) -> String {
    let one = |ProgramGrant { program, arguments }: &ProgramGrant| match arguments.as_slice() {
        [] => format!("`{program}` without arguments"),
        [all] if all == "..." => format!("`{program}` with any arguments"),
        [first @ .., last] if last == "..." => format!("`{program} {}` and any further arguments", first.join(" ")),
        arguments => format!("`{program} {}`", arguments.join(" ")),
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
            "process": [{"program": "/usr/bin/shop", "arguments": ["..."]}],
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
            "process: start and stop long-running processes of `/usr/bin/shop` with any arguments",
            "secret: have the host use these secrets for it: token",
        ];
        assert_eq!(grants.words(), expected);
        assert_eq!(Grants::default().words(), Vec::<String>::new());
        // A capability that comes later has to be said, too.
        let said = |capability: &str| expected.iter().any(|line| line.starts_with(&format!("{capability}: ")));
        let fields = serde_json::to_value(&grants).unwrap();
        assert!(fields.as_object().unwrap().keys().all(|capability| said(capability)), "{fields}");
    }
}
