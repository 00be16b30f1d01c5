//! HAProxy's runtime API: a connection per command, whose answer ends with the stream.

use crate::stat::{self, Row};
use crate::{Config, slot::LOOPBACK};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use std::io::{Read, Write};

/// Whether a slot takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// Finishes what is in flight.
    Drain,
    /// Empty.
    Maint,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Drain => "drain",
            State::Maint => "maint",
        }
    }
}

/// Says which address a slot has, its share, and whether it takes traffic. What is so already stays so.
pub(crate) fn arrange(config: &Config, slot: &str, port: u16, weight: u32, state: State) -> Result<(), Failure> {
    let server = format!("{}/{slot}", config.backend);
    // Ready comes last: a slot without its address must not get any traffic.
    tell(config, &format!("set server {server} addr {LOOPBACK} port {port}"))?;
    tell(config, &format!("set server {server} weight {weight}"))?;
    set_state(config, slot, state)
}

/// Says whether a slot takes traffic.
pub(crate) fn set_state(config: &Config, slot: &str, state: State) -> Result<(), Failure> {
    tell(config, &format!("set server {}/{slot} state {}", config.backend, state.as_str()))
}

/// What HAProxy says about all servers of the backend.
pub(crate) fn stat(config: &Config) -> Result<Vec<Row>, Failure> {
    // -1: of every proxy, since a name alone may be that of a frontend; 4: servers; -1: all of them.
    let command = "show stat -1 4 -1";
    let answer = exchange(config, command)?;
    let rows = stat::parse(&answer).ok_or_else(|| refused(command, &answer))?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.proxy == config.backend).collect();
    if rows.is_empty() {
        return Err(Failure::rejected(format!(
            "HAProxy has no backend `{}` with servers in it\nhint: `backend` is to name one of HAProxy's configuration",
            config.backend
        )));
    }
    Ok(rows)
}

/// What HAProxy says about one slot.
pub(crate) fn stat_of(config: &Config, slot: &str) -> Result<Row, Failure> {
    stat(config)?.into_iter().find(|row| row.server == slot).ok_or_else(|| no_such_slot(config, slot))
}

pub(crate) fn no_such_slot(config: &Config, slot: &str) -> Failure {
    let backend = &config.backend;
    Failure::rejected(format!(
        "HAProxy's backend `{backend}` has no server `{slot}`\nhint: add `server {slot} {LOOPBACK}:1 disabled weight 0` to it"
    ))
}

fn tell(config: &Config, command: &str) -> Result<(), Failure> {
    let answer = exchange(config, command)?;
    if is_yes(&answer) { Ok(()) } else { Err(refused(command, &answer)) }
}

/// Nothing is a yes. Changes of the address are told.
fn is_yes(answer: &str) -> bool {
    let told = |line: &str| {
        let of_port = line.contains("port changed from") || line.contains("no need to change the port");
        of_port && line.trim_end().ends_with("by 'stats socket command'")
    };
    answer.lines().all(|line| line.trim().is_empty() || told(line))
}

/// No retry mends any of these, only a change of one of the two configurations.
fn refused(command: &str, answer: &str) -> Failure {
    let said = answer.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    let hint = if said.starts_with("No such server") || said.starts_with("No such backend") || said.contains("proxy") {
        "\nhint: `backend` and `slots` are to name a backend and servers of HAProxy's configuration"
    } else if said.contains("Permission denied") || said.starts_with("Unknown command") {
        "\nhint: the `stats socket` in HAProxy's configuration needs `level admin`"
    } else if said.contains("static LB algorithm") {
        "\nhint: use `balance roundrobin`, `leastconn` or `random` in HAProxy's configuration"
    } else {
        ""
    };
    Failure::rejected(format!("HAProxy answered `{command}` with: {said}{hint}"))
}

/// HAProxy closes behind its answer, unless asked to stay.
fn exchange(config: &Config, command: &str) -> Result<String, Failure> {
    let address = Address::parse(&config.socket)
        .ok_or_else(|| Failure::rejected(format!("`{}` is no address", config.socket)))?;
    let mut connection = Connection::connect(&address)?;
    let mut answer = Vec::new();
    let exchanged = connection
        .write_all(format!("{command}\n").as_bytes())
        .and_then(|()| connection.flush())
        .and_then(|()| connection.read_to_end(&mut answer));
    exchanged.map_err(|error| Failure::retry(format!("HAProxy at {}: {error}", config.socket)))?;
    if answer.is_empty() {
        return Err(Failure::retry(format!("HAProxy at {} hung up without an answer", config.socket)));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As HAProxy 2.6 answers.
    #[test]
    fn an_empty_answer_and_a_changed_address_are_yes() {
        for answer in [
            "\n",
            "\n\n",
            "no need to change the addr, port changed from '1' to '18112' by 'stats socket command'\n\n",
            "no need to change the addr, no need to change the port by 'stats socket command'\n\n",
            "IP changed from '10.0.0.1' to '127.0.0.1', port changed from '80' to '18112' by 'stats socket command'\n\n",
        ] {
            assert!(is_yes(answer), "{answer}");
        }
    }

    #[test]
    fn what_haproxy_refuses_is_said_with_what_mends_it() {
        for (answer, hint) in [
            ("No such server.\n\n", "`backend` and `slots`"),
            ("No such backend.\n\n", "`backend` and `slots`"),
            ("No such proxy.\n\n", "`backend` and `slots`"),
            ("Permission denied\n\n", "`level admin`"),
            ("Unknown command, but maybe one of the following ones is a better match:\n  help\n\n", "`level admin`"),
            (
                "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n",
                "`balance roundrobin`",
            ),
            ("Absolute weight can only be between 0 and 256 inclusive.\n\n", "between 0 and 256"),
        ] {
            assert!(!is_yes(answer), "{answer}");
            let Failure::Rejected(text) = refused("set server web/s1 weight 1", answer) else { panic!("{answer}") };
            assert!(text.starts_with("HAProxy answered `set server web/s1 weight 1` with: "), "{text}");
            assert!(text.contains(hint), "{text}");
        }
    }
}
