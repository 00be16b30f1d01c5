//! What `INFO` says, as families and health.

use crate::Config;
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::collector::{Collection, Family, Health};
use std::collections::BTreeMap;

/// Key of `INFO`, name of the metric, what it is.
type Line = (&'static str, &'static str, &'static str);

const GAUGES: [Line; 13] = [
    ("uptime_in_seconds", "redis_uptime_seconds", "Since the server's start"),
    ("connected_clients", "redis_clients_connected", "Without replicas"),
    ("blocked_clients", "redis_clients_blocked", "That wait for an answer"),
    ("maxclients", "redis_clients_max", "That there may be"),
    ("used_memory", "redis_memory_used_bytes", "As the server counts it"),
    ("used_memory_rss", "redis_memory_resident_bytes", "As the machine counts it"),
    ("used_memory_peak", "redis_memory_peak_bytes", "The most that it ever was"),
    ("maxmemory", "redis_memory_max_bytes", "That it may become; 0: without bound"),
    ("mem_fragmentation_ratio", "redis_memory_fragmentation_ratio", "Resident to used"),
    ("rdb_changes_since_last_save", "redis_changes_since_save", "Writes that the last snapshot has not"),
    ("instantaneous_ops_per_sec", "redis_operations_per_second", "Now"),
    ("connected_slaves", "redis_replicas_connected", "That follow this server"),
    ("loading", "redis_loading", "1 while it reads its snapshot"),
];

const COUNTERS: [Line; 9] = [
    ("total_connections_received", "redis_connections_received_total", "Since the server's start"),
    ("rejected_connections", "redis_connections_rejected_total", "Because there were too many"),
    ("total_commands_processed", "redis_commands_processed_total", "Since the server's start"),
    ("keyspace_hits", "redis_keyspace_hits_total", "Look-ups that found a key"),
    ("keyspace_misses", "redis_keyspace_misses_total", "Look-ups that found none"),
    ("expired_keys", "redis_keys_expired_total", "Whose time was over"),
    ("evicted_keys", "redis_keys_evicted_total", "For want of memory"),
    ("total_net_input_bytes", "redis_received_bytes_total", "From clients and replicas"),
    ("total_net_output_bytes", "redis_sent_bytes_total", "To clients and replicas"),
];

pub(crate) fn collection(config: &Config, info: &str, seconds: f64) -> Collection {
    let info: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let number = |key: &str| info.get(key).and_then(|value| value.parse::<f64>().ok());
    let mut families = vec![
        Family::gauge("redis_up", "1 if the server answers").value(1.0),
        Family::gauge("redis_ping_duration_seconds", "Of one PING").value(seconds),
    ];
    let mut add = |lines: &[Line], make: fn(&'static str, &'static str) -> Family| {
        for (key, name, help) in lines {
            families.extend(number(key).map(|value| make(name, help).value(value)));
        }
    };
    add(&GAUGES, Family::gauge);
    add(&COUNTERS, Family::counter);
    families.extend(keys(&info));
    let fine = |key: &str| info.get(key).is_none_or(|status| *status == "ok");
    let flag = |value: bool| if value { 1.0 } else { 0.0 };
    families.push(
        Family::gauge("redis_last_save_ok", "1 if the last snapshot was written")
            .value(flag(fine("rdb_last_bgsave_status"))),
    );
    families.push(
        Family::gauge("redis_last_append_ok", "1 if the log could be appended to")
            .value(flag(fine("aof_last_write_status"))),
    );
    let link = info.get("master_link_status").map(|status| *status == "up");
    families.extend(replication(&info, link));
    Collection { families, health: health(config, &info, link, seconds) }
}

/// `db0:keys=3,expires=1,avg_ttl=0`.
fn keys(info: &BTreeMap<&str, &str>) -> Vec<Family> {
    let mut keys = Family::gauge("redis_keys", "In the database");
    let mut expiring = Family::gauge("redis_keys_expiring", "That have an end");
    for (name, value) in info {
        if !name
            .strip_prefix("db")
            .is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
        {
            continue;
        }
        let field = |wanted: &str| {
            value.split(',').find_map(|part| part.split_once('=').filter(|(name, _)| *name == wanted)?.1.parse().ok())
        };
        for (family, field) in [(&mut keys, field("keys")), (&mut expiring, field("expires"))] {
            if let Some(count) = field {
                family.push(Labels::new().with("database", *name), count);
            }
        }
    }
    [keys, expiring].into_iter().filter(|family| !family.values.is_empty()).collect()
}

/// On a replica, how it is with the one that it follows; on that one, how far each replica is behind:
/// `slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=1`.
fn replication(info: &BTreeMap<&str, &str>, link: Option<bool>) -> Vec<Family> {
    let number = |key: &str| info.get(key).and_then(|value| value.parse::<f64>().ok());
    let mut families = Vec::new();
    if let Some(up) = link {
        let value = if up { 1.0 } else { 0.0 };
        families.push(
            Family::gauge("redis_replica_link_up", "1 if this replica hears the one that it follows").value(value),
        );
        if let Some(seconds) = number("master_last_io_seconds_ago").filter(|seconds| *seconds >= 0.0) {
            families.push(Family::gauge("redis_replica_last_heard_seconds", "Since then").value(seconds));
        }
    }
    let mut bytes = Family::gauge("redis_replication_lag_bytes", "That the replica has yet to take");
    let mut seconds = Family::gauge("redis_replication_lag_seconds", "Since the replica was last heard of");
    for (name, value) in info {
        let Some(index) = name.strip_prefix("slave") else { continue };
        if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let field = |wanted: &str| {
            value.split(',').find_map(|part| Some(part.split_once('=').filter(|(name, _)| *name == wanted)?.1))
        };
        let (Some(ip), Some(port)) = (field("ip"), field("port")) else { continue };
        let labels = Labels::new().with("replica", format!("{ip}:{port}"));
        let offset = field("offset").and_then(|text| text.parse::<f64>().ok());
        if let (Some(own), Some(offset)) = (number("master_repl_offset"), offset) {
            bytes.push(labels.clone(), (own - offset).max(0.0));
        }
        if let Some(lag) = field("lag").and_then(|text| text.parse::<f64>().ok()) {
            seconds.push(labels, lag);
        }
    }
    families.extend([bytes, seconds].into_iter().filter(|family| !family.values.is_empty()));
    families
}

fn health(config: &Config, info: &BTreeMap<&str, &str>, link: Option<bool>, seconds: f64) -> Health {
    let number = |key: &str| info.get(key).and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    let percent = |part: f64, whole: f64| if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    let memory = percent(number("used_memory"), number("maxmemory"));
    let clients = percent(number("connected_clients"), number("maxclients"));
    let bad = |key: &str| info.get(key).is_some_and(|status| *status != "ok");
    let mut complaints = Vec::new();
    if number("loading") > 0.0 {
        complaints.push("it is still loading its snapshot".to_owned());
    }
    if link == Some(false) {
        complaints.push("it does not hear the server that it follows".to_owned());
    }
    if bad("rdb_last_bgsave_status") {
        complaints.push("its last snapshot could not be written".to_owned());
    }
    if bad("aof_last_write_status") {
        complaints.push("its log could not be appended to".to_owned());
    }
    if memory >= config.memory_percent {
        complaints.push(format!("{memory:.0} % of its memory are taken"));
    }
    if clients >= config.clients_percent {
        complaints.push(format!("{clients:.0} % of its clients are connected"));
    }
    if !complaints.is_empty() {
        return Health::degraded(complaints.join("; "));
    }
    let version =
        ["valkey_version", "redis_version"].iter().find_map(|key| info.get(key)).copied().unwrap_or("unknown");
    let role = match info.get("role").copied() {
        Some("slave") => "replica",
        _ => "primary",
    };
    let clients = number("connected_clients");
    Health::ok(format!("version {version}, {role}, {clients} clients, answered in {:.1} ms", seconds * 1000.0))
}
