//! The queries, and what becomes of their rows. They are of PostgreSQL 10 and later, and see as much as the user may.

use crate::wire::{Error, Row, Session};
use crate::{Config, up};
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::collector::{Collection, Family, Health};
use std::time::Instant;

const ACTIVITY: &str = "\
select count(*), count(*) filter (where state = 'active'), count(*) filter (where state = 'idle'),
    count(*) filter (where state like 'idle in transaction%'), count(*) filter (where wait_event_type = 'Lock'),
    coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0),
    current_setting('max_connections'), current_setting('superuser_reserved_connections'),
    extract(epoch from clock_timestamp() - pg_postmaster_start_time()), pg_is_in_recovery()::int
from pg_stat_activity where backend_type = 'client backend'";

const DATABASES: &str = "\
select datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, deadlocks, conflicts, temp_bytes
from pg_stat_database where datname is not null order by datname";

const SIZES: &str = "\
select datname, pg_database_size(oid) from pg_database
where not datistemplate and has_database_privilege(oid, 'connect') order by datname";

/// Bytes and seconds that each replica is behind. Without writes there is no lag in seconds: what is null was caught up with.
const REPLICAS: &str = "\
select coalesce(nullif(application_name, ''), client_addr::text, pid::text), state,
    coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, replay_lsn), 0),
    coalesce(extract(epoch from replay_lag), 0)
from pg_stat_replication order by 1";

/// On a replica: how old the newest transaction is that it has, unless it has all that it was sent, and would be sent more.
const OWN_LAG: &str = "\
select case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0
    else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0) end";

/// On a replica: receivers that stream from the server that it follows, and whether it follows one at all: some only read an archive. Who
/// may not read a receiver's status (without `pg_monitor`) sees that one is connected; who may not read settings knows of a server once
/// something came from it.
const LINK: &str = "\
select count(*) filter (where status = 'streaming' or status is null),
    coalesce((select setting <> '' from pg_settings where name = 'primary_conninfo'), pg_last_wal_receive_lsn() is not null)::int
from pg_stat_wal_receiver";

pub(crate) struct Figures {
    pub(crate) families: Vec<Family>,
    version: String,
    connections: f64,
    limit: f64,
    /// Who lags the most, and by how many seconds.
    worst_lag: Option<(String, f64)>,
    /// A replica hears nothing of the server that it follows.
    is_cut_off: bool,
    latency_ms: f64,
}

/// Name of the metric, what it is, and the column of its figure.
type Column = (&'static str, &'static str, usize);

impl Figures {
    pub(crate) fn new(version: String) -> Self {
        Figures {
            families: vec![up(1.0)],
            version,
            connections: 0.0,
            limit: 0.0,
            worst_lag: None,
            is_cut_off: false,
            latency_ms: 0.0,
        }
    }

    pub(crate) fn take(&mut self, config: &Config, session: &mut Session) -> Result<(), Error> {
        let start = Instant::now();
        session.query("select 1")?;
        let seconds = start.elapsed().as_secs_f64();
        self.latency_ms = seconds * 1000.0;
        self.gauge("postgresql_query_duration_seconds", "Of `select 1`", seconds);
        let is_replica = self.activity(&session.query(ACTIVITY)?);
        self.databases(&session.query(DATABASES)?);
        if config.sizes {
            self.gauges(&session.query(SIZES)?, "database", &[("postgresql_database_size_bytes", "On the disk", 1)]);
        }
        self.replicas(&session.query(REPLICAS)?);
        if is_replica {
            let rows = session.query(OWN_LAG)?;
            let lag = rows.first().map_or(0.0, |row| number(row, 0));
            self.gauge("postgresql_replica_lag_seconds", "Of this server, behind the one that it follows", lag);
            self.lags("this replica", lag);
            self.link(&session.query(LINK)?);
        }
        Ok(())
    }

    /// Whether the server is a replica.
    fn activity(&mut self, rows: &[Row]) -> bool {
        let Some(row) = rows.first() else { return false };
        let mut states = Family::gauge("postgresql_connections", "Of clients, by what they do");
        for (state, column) in [("active", 1), ("idle", 2), ("idle-in-transaction", 3)] {
            states.push(Labels::new().with("state", state), number(row, column));
        }
        self.families.push(states);
        self.connections = number(row, 0);
        self.limit = (number(row, 6) - number(row, 7)).max(1.0);
        let ratio = self.connections / self.limit;
        self.gauge("postgresql_connections_waiting", "Of clients that wait for a lock", number(row, 4));
        self.gauge(
            "postgresql_connections_max",
            "That clients may have, without those kept for superusers",
            self.limit,
        );
        self.gauge("postgresql_connections_used_ratio", "Of those that clients may have", ratio);
        self.gauge(
            "postgresql_oldest_transaction_seconds",
            "How long the oldest one has been going on",
            number(row, 5),
        );
        self.gauge("postgresql_uptime_seconds", "Since the server's start", number(row, 8));
        let is_replica = number(row, 9) > 0.0;
        self.gauge("postgresql_in_recovery", "1 on a replica", if is_replica { 1.0 } else { 0.0 });
        is_replica
    }

    fn databases(&mut self, rows: &[Row]) {
        self.gauges(rows, "database", &[("postgresql_database_connections", "To the database", 1)]);
        self.counters(
            rows,
            "database",
            &[
                ("postgresql_transactions_committed_total", "Since the statistics began", 2),
                ("postgresql_transactions_rolled_back_total", "Since the statistics began", 3),
                ("postgresql_blocks_read_total", "From outside of the server's own buffers", 4),
                ("postgresql_blocks_hit_total", "That were in the server's own buffers", 5),
                ("postgresql_deadlocks_total", "Since the statistics began", 6),
                ("postgresql_conflicts_total", "Queries that were ended by recovery", 7),
                ("postgresql_temporary_bytes_total", "Written to temporary files", 8),
            ],
        );
    }

    fn replicas(&mut self, rows: &[Row]) {
        self.gauge("postgresql_replicas", "That follow this server", rows.len() as f64);
        self.gauges(
            rows,
            "replica",
            &[
                ("postgresql_replication_lag_bytes", "That the replica has yet to replay", 2),
                ("postgresql_replication_lag_seconds", "That the replica is behind", 3),
            ],
        );
        for row in rows {
            self.lags(&text(row, 0), number(row, 3));
        }
    }

    /// Nothing is said where there is no server that it would follow.
    fn link(&mut self, rows: &[Row]) {
        let Some(row) = rows.first() else { return };
        let is_up = number(row, 0) > 0.0;
        if is_up || number(row, 1) > 0.0 {
            self.gauge(
                "postgresql_replica_link_up",
                "1 if this replica hears the one that it follows",
                if is_up { 1.0 } else { 0.0 },
            );
            self.is_cut_off = !is_up;
        }
    }

    fn lags(&mut self, replica: &str, seconds: f64) {
        if self.worst_lag.as_ref().is_none_or(|(_, worst)| seconds > *worst) {
            self.worst_lag = Some((replica.to_owned(), seconds));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.families.push(Family::gauge(name, help).value(value));
    }

    fn gauges(&mut self, rows: &[Row], label: &str, columns: &[Column]) {
        self.labelled(rows, label, columns, |name, help| Family::gauge(name, help));
    }

    fn counters(&mut self, rows: &[Row], label: &str, columns: &[Column]) {
        self.labelled(rows, label, columns, |name, help| Family::counter(name, help));
    }

    /// A sample for each row, whose first column is the label. Two replicas of one name are one: their figures would be of one series.
    fn labelled(&mut self, rows: &[Row], label: &str, columns: &[Column], make: fn(&str, &str) -> Family) {
        if rows.is_empty() {
            return;
        }
        for (name, help, column) in columns {
            let mut family = make(name, help);
            for row in rows {
                let labels = Labels::new().with(label, text(row, 0));
                let value = number(row, *column);
                match family.labels.iter().position(|own| *own == labels) {
                    Some(index) => {
                        if let Some(known) = family.values.get_mut(index) {
                            *known = known.max(value);
                        }
                    }
                    None => family.push(labels, value),
                }
            }
            self.families.push(family);
        }
    }

    pub(crate) fn collection(self, config: &Config) -> Collection {
        let percent = self.connections / self.limit * 100.0;
        let health = match &self.worst_lag {
            _ if percent >= config.connections_percent => Health::degraded(format!(
                "{} of {} connections are taken ({percent:.0} %)",
                self.connections, self.limit
            )),
            _ if self.is_cut_off => Health::degraded("it does not hear the server that it follows"),
            Some((replica, seconds)) if *seconds >= config.lag_seconds => {
                Health::degraded(format!("`{replica}` is {seconds:.0} s behind"))
            }
            _ => {
                let (version, latency) = (&self.version, self.latency_ms);
                Health::ok(format!(
                    "version {version}, {} of {} connections, answered in {latency:.1} ms",
                    self.connections, self.limit
                ))
            }
        };
        Collection { families: self.families, health }
    }
}

fn text(row: &Row, column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn number(row: &Row, column: usize) -> f64 {
    row.get(column).and_then(|value| value.as_ref()?.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Row {
        values.iter().map(|value| (*value != "-").then(|| (*value).to_owned())).collect()
    }

    fn config() -> Config {
        quarterdeck_sdk::serde_json::from_str(r#"{"address":"a:1","user":"u"}"#).unwrap()
    }

    #[test]
    fn connections_count_against_those_that_clients_may_have() {
        let mut figures = Figures::new("15.6".to_owned());
        assert!(!figures.activity(&[row(&["87", "3", "80", "4", "1", "12.5", "100", "3", "3600", "0"])]));
        let collected = figures.collection(&config());
        let value = |name| collected.value(name, &Labels::new()).unwrap();
        assert_eq!(value("postgresql_connections_max"), 97.0);
        assert_eq!(value("postgresql_oldest_transaction_seconds"), 12.5);
        assert_eq!(collected.value("postgresql_connections", &Labels::new().with("state", "idle")), Some(80.0));
        assert_eq!(collected.health.message, "version 15.6, 87 of 97 connections, answered in 0.0 ms");
        let mut full = Figures::new(String::new());
        full.activity(&[row(&["97", "3", "80", "4", "1", "-", "100", "3", "3600", "0"])]);
        assert_eq!(full.collection(&config()).health, Health::degraded("97 of 97 connections are taken (100 %)"));
    }

    #[test]
    fn a_replica_that_is_far_behind_degrades_and_two_of_one_name_are_one_series() {
        let mut figures = Figures::new(String::new());
        figures.activity(&[row(&["1", "1", "0", "0", "0", "0", "100", "3", "1", "0"])]);
        let name = |bytes, seconds| row(&["walreceiver", "streaming", bytes, seconds]);
        figures.replicas(&[name("10", "61.2"), name("500", "0.1")]);
        let collected = figures.collection(&config());
        let replica = Labels::new().with("replica", "walreceiver");
        assert_eq!(collected.value("postgresql_replication_lag_bytes", &replica), Some(500.0));
        assert_eq!(collected.value("postgresql_replicas", &Labels::new()), Some(2.0));
        let lags = collected.families.iter().find(|family| family.name == "postgresql_replication_lag_seconds");
        assert_eq!(lags.unwrap().values, [61.2]);
        assert_eq!(collected.health, Health::degraded("`walreceiver` is 61 s behind"));
    }

    #[test]
    fn a_replica_that_is_cut_off_degrades_however_little_it_lags() {
        let replica = |link: &[Row]| {
            let mut figures = Figures::new("15.6".to_owned());
            assert!(figures.activity(&[row(&["1", "1", "0", "0", "0", "0", "100", "3", "1", "1"])]));
            figures.lags("this replica", 0.0);
            figures.link(link);
            let collected = figures.collection(&config());
            (collected.value("postgresql_replica_link_up", &Labels::new()), collected.health)
        };
        let well = Health::ok("version 15.6, 1 of 97 connections, answered in 0.0 ms");
        let cut_off = Health::degraded("it does not hear the server that it follows");
        assert_eq!(replica(&[row(&["1", "1"])]), (Some(1.0), well.clone()));
        assert_eq!(replica(&[row(&["0", "1"])]), (Some(0.0), cut_off));
        // It reads an archive only.
        assert_eq!(replica(&[row(&["0", "0"])]), (None, well.clone()));
        // It has a receiver, whatever its settings say.
        assert_eq!(replica(&[row(&["1", "0"])]), (Some(1.0), well));
    }
}
