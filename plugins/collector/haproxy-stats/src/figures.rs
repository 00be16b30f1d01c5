//! Rows as families and health.

use crate::Config;
use crate::table::{Kind, Row};
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::collector::{Collection, Family, Health, MetricType};
use std::collections::BTreeMap;

/// Column, what its metric is called behind the kind of row, what it is, and by how much it is multiplied.
type Column = (&'static str, &'static str, MetricType, &'static str, f64);

const COLUMNS: [Column; 11] = [
    ("scur", "sessions", MetricType::Gauge, "Now", 1.0),
    ("slim", "sessions_limit", MetricType::Gauge, "That there may be", 1.0),
    ("qcur", "queue", MetricType::Gauge, "Requests that wait for a server", 1.0),
    ("stot", "sessions_total", MetricType::Counter, "Since the start", 1.0),
    ("bin", "received_bytes_total", MetricType::Counter, "From clients", 1.0),
    ("bout", "sent_bytes_total", MetricType::Counter, "To clients", 1.0),
    ("req_tot", "requests_total", MetricType::Counter, "Over HTTP", 1.0),
    ("econ", "connection_errors_total", MetricType::Counter, "To servers", 1.0),
    ("eresp", "response_errors_total", MetricType::Counter, "Of servers", 1.0),
    ("weight", "weight", MetricType::Gauge, "Share of the traffic", 1.0),
    ("rtime", "response_seconds", MetricType::Gauge, "Of the last 1,024 requests, on average", 0.001),
];

const CODES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

pub(crate) fn collection(config: &Config, rows: &[Row]) -> Collection {
    let rows: Vec<&Row> = rows.iter().filter(|row| !config.ignore.contains(&row.proxy)).collect();
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for row in &rows {
        let kind = row.kind.as_str();
        let mut add = |what: &str, metric_type, help: &str, labels, value| {
            let name = format!("haproxy_{kind}_{what}");
            let family = families.entry(name.clone()).or_insert_with(|| Family::new(name, metric_type, help));
            family.push(labels, value);
        };
        // In maintenance it is meant to be away: neither up nor down.
        if let Some(up) = is_up(row) {
            let value = if up { 1.0 } else { 0.0 };
            add("up", MetricType::Gauge, "1 if it takes traffic", labels(row), value);
        }
        for (column, what, metric_type, help, factor) in COLUMNS {
            // A time of what is no HTTP is always 0, and so is one of a frontend.
            let shown = match column {
                "weight" => row.kind != Kind::Frontend,
                "rtime" => row.kind != Kind::Frontend && row.number("hrsp_2xx").is_some(),
                _ => true,
            };
            if let Some(value) = row.number(column).filter(|_| shown) {
                add(what, metric_type, help, labels(row), value * factor);
            }
        }
        for code in CODES {
            if let Some(value) = row.number(&format!("hrsp_{code}")) {
                let labels = labels(row).with("code", code);
                add("responses_total", MetricType::Counter, "By status", labels, value);
            }
        }
    }
    let up = Family::gauge("haproxy_up", "1 if the statistics could be read").value(1.0);
    Collection { families: [up].into_iter().chain(families.into_values()).collect(), health: health(&rows) }
}

fn labels(row: &Row) -> Labels {
    let labels = Labels::new().with("proxy", &row.proxy);
    if row.kind == Kind::Server { labels.with("server", &row.server) } else { labels }
}

/// `UP`, `OPEN`, `no check` (which is never asked, and taken for up) - `UP 1/3` is on its way down, `DOWN 1/2` on its way up.
fn is_up(row: &Row) -> Option<bool> {
    let status = row.text("status");
    if status.starts_with("MAINT") || status.starts_with("DRAIN") || status.starts_with("NOLB") {
        return None;
    }
    Some(["UP", "OPEN", "no check"].iter().any(|good| status.starts_with(good)))
}

fn health(rows: &[&Row]) -> Health {
    let down = |kind: Kind| rows.iter().filter(move |row| row.kind == kind && is_up(row) == Some(false));
    let backends: Vec<String> = down(Kind::Backend).map(|row| format!("`{}`", row.proxy)).collect();
    let frontends: Vec<String> = down(Kind::Frontend).map(|row| format!("`{}`", row.proxy)).collect();
    let servers: Vec<String> = down(Kind::Server)
        .map(|row| match row.text("last_chk") {
            "" => format!("`{}/{}`", row.proxy, row.server),
            reason => format!("`{}/{}` ({reason})", row.proxy, row.server),
        })
        .collect();
    let full: Vec<String> = rows
        .iter()
        .filter(|row| row.kind != Kind::Backend)
        .filter(|row| matches!((row.number("scur"), row.number("slim")), (Some(now), Some(limit)) if limit > 0.0 && now >= limit))
        .map(|row| format!("`{}/{}`", row.proxy, row.server))
        .collect();
    let mut bad = Vec::new();
    for (what, names) in [("backends", &backends), ("frontends", &frontends), ("servers", &servers)] {
        if !names.is_empty() {
            bad.push(format!("{what} that are down: {}", names.join(", ")));
        }
    }
    if !full.is_empty() {
        bad.push(format!("as many sessions as there may be: {}", full.join(", ")));
    }
    match bad.is_empty() {
        false if !backends.is_empty() || !frontends.is_empty() => Health::failed(bad.join("; ")),
        false => Health::degraded(bad.join("; ")),
        true => {
            let count = |kind: Kind| rows.iter().filter(|row| row.kind == kind).count();
            let [frontends, backends, servers] = Kind::ALL.map(count);
            Health::ok(format!("{frontends} frontends, {backends} backends, {servers} servers"))
        }
    }
}
