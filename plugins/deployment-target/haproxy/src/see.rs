//! What there is: what is remembered, how the processes are, and what HAProxy says, put together.

use crate::admin::{self, State};
use crate::record::{self, Place, Record};
use crate::stat::{Counters, Row};
use crate::{Config, steps};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::deployment_target::{Phase, Replica};
use quarterdeck_sdk::host::log;
use quarterdeck_sdk::host::process::{self, Status};

pub(crate) fn observe(config: &Config, service: &str) -> Result<Vec<Replica>, Failure> {
    let mut replicas = Vec::new();
    let mut rows = None;
    for slot in &config.slots {
        let Some(mut record) = record::in_slot(slot)?.filter(|record| record.service == service) else { continue };
        let Some(mut place) = record.place.clone() else { continue };
        let status = process::status(slot)?;
        let rows: &mut Vec<Row> = match &mut rows {
            Some(rows) => rows,
            None => rows.insert(admin::stat(config)?),
        };
        let Some(row) = rows.iter_mut().find(|row| row.server == *slot) else {
            return Err(admin::no_such_slot(config, slot));
        };
        let forgotten = has_forgotten(&place, row);
        if let Some(weight) = place.weight.filter(|_| forgotten) {
            log::warn!("HAProxy has forgotten {}, and is told again", record.replica);
            let state = if place.draining_since_ms.is_some() { State::Drain } else { State::Ready };
            admin::arrange(config, slot, place.port, weight, state)?;
            *row = admin::stat_of(config, slot)?;
        }
        let anew = forgotten && row.counters.responses < place.responses_before;
        if place.weight.is_some() && (anew || place.since(row.counters).is_none()) {
            // HAProxy was started anew.
            place.begin(Counters::default());
            record.place = Some(place.clone());
            record::save(&record)?;
        }
        replicas.push(see(&record, &place, row, &status));
    }
    Ok(replicas)
}

/// HAProxy was started anew with what stands in its configuration. Another state or weight alone is what a person has set by
/// hand, and stays.
fn has_forgotten(place: &Place, row: &Row) -> bool {
    let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    row.address.as_deref().is_some_and(|address| port(address) != Some(place.port))
}

fn see(record: &Record, place: &Place, row: &Row, status: &Status) -> Replica {
    let (phase, message) = phase(place, row, status);
    let takes_traffic = place.weight.is_some() && !matches!(row.status.as_str(), "MAINT" | "DRAIN");
    // What somebody else did in the slot is not the replica's.
    let counters = place.weight.and_then(|_| place.since(row.counters)).unwrap_or_default();
    Replica {
        name: record.replica.clone(),
        revision: record.revision.clone(),
        phase,
        weight: if takes_traffic { row.weight } else { 0 },
        responses: counters.responses,
        failures: counters.failures,
        message,
    }
}

fn phase(place: &Place, row: &Row, status: &Status) -> (Phase, String) {
    use process::Phase as Of;
    let in_haproxy = || format!("{} in HAProxy", row.status);
    match status.phase {
        Of::Absent => (Phase::Stopped, "there is no process".to_owned()),
        Of::Stopping => (Phase::Draining, "is being stopped".to_owned()),
        _ if place.draining_since_ms.is_some() => (Phase::Draining, format!("{} requests in flight", row.in_flight)),
        Of::Starting => (Phase::Starting, String::new()),
        Of::Unhealthy => (Phase::Unhealthy, "does not answer its health check with 2xx".to_owned()),
        Of::Exited => (Phase::Unhealthy, steps::ended(status)),
        // HAProxy's own checks, where it has any.
        Of::Healthy if place.weight.is_some() && row.status.starts_with("DOWN") => (Phase::Unhealthy, in_haproxy()),
        Of::Healthy if place.weight.is_some() && !row.is_up() => (Phase::Healthy, in_haproxy()),
        Of::Healthy => (Phase::Healthy, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { weight: Some(128), responses_before: 100, failures_before: 7, ..Place::new("s1", 8001) }
    }

    fn row(status: &str) -> Row {
        Row {
            server: "s1".into(),
            status: status.into(),
            weight: 128,
            in_flight: 2,
            counters: Counters { responses: 150, failures: 9 },
            address: Some("127.0.0.1:8001".into()),
            ..Row::default()
        }
    }

    fn status(phase: process::Phase) -> Status {
        Status { name: "s1".into(), phase, pid: Some(1), exit_code: None, restarts: 0 }
    }

    fn seen(place: &Place, row: &Row, phase: process::Phase) -> Replica {
        let (service, replica, revision) = ("web".into(), "web-a-1".into(), "a".into());
        let record = Record { service, replica, revision, place: Some(place.clone()) };
        see(&record, place, row, &status(phase))
    }

    #[test]
    fn a_replica_is_what_its_process_its_slot_and_its_record_say() {
        use process::Phase as Of;
        let check = |replica: Replica, phase: Phase, weight: u32, message: &str| {
            assert_eq!((replica.phase, replica.weight, replica.message.as_str()), (phase, weight, message));
        };
        check(seen(&place(), &row("no check"), Of::Healthy), Phase::Healthy, 128, "");
        check(seen(&place(), &row("DOWN 1/2"), Of::Healthy), Phase::Unhealthy, 128, "DOWN 1/2 in HAProxy");
        // By hand, by a person.
        check(seen(&place(), &row("MAINT"), Of::Healthy), Phase::Healthy, 0, "MAINT in HAProxy");
        check(seen(&place(), &row("UP"), Of::Exited), Phase::Unhealthy, 128, "was ended by a signal");
        let draining = Place { draining_since_ms: Some(1), ..place() };
        check(seen(&draining, &row("DRAIN"), Of::Healthy), Phase::Draining, 0, "2 requests in flight");
        check(seen(&draining, &row("DRAIN"), Of::Absent), Phase::Stopped, 0, "there is no process");
        let new = Place::new("s1", 8001);
        check(seen(&new, &row("MAINT"), Of::Starting), Phase::Starting, 0, "");
        check(seen(&new, &row("MAINT"), Of::Healthy), Phase::Healthy, 0, "");
    }

    #[test]
    fn what_an_earlier_replica_did_in_the_slot_is_not_counted() {
        let replica = seen(&place(), &row("UP"), process::Phase::Healthy);
        assert_eq!((replica.responses, replica.failures), (50, 2));
        let replica = seen(&Place::new("s1", 8001), &row("MAINT"), process::Phase::Starting);
        assert_eq!((replica.responses, replica.failures), (0, 0));
    }

    #[test]
    fn another_address_means_that_haproxy_was_started_anew() {
        assert!(!has_forgotten(&place(), &row("MAINT")));
        assert!(has_forgotten(&place(), &Row { address: Some("127.0.0.1:1".into()), ..row("UP") }));
        // Without the right to see addresses nothing can be told.
        assert!(!has_forgotten(&place(), &Row { address: None, ..row("UP") }));
    }
}
