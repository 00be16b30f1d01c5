//! `/metrics`: the host itself, in Prometheus's exposition format.

use super::Routes;
use super::status::wide;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::{Api, STREAMS};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use quarterdeck_model::decisions::{JournalStatus, Shadow};
use quarterdeck_model::domain::job::JobStatus;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::plugin::InstanceStatus;
use quarterdeck_model::store::{Page, StoreHealth};
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use utoipa_axum::routes;

/// More dead letters than this are not counted one by one.
const COUNTED: usize = 10_000;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_exposition))
}

/// Metrics of the host itself, in Prometheus's exposition format.
#[utoipa::path(get, path = "/metrics", tag = "host",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")))]
async fn get_exposition(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let store = Arc::clone(&api.options.store);
    let (health, head, tail, dead) = blocking(move || {
        let dead = store.list(DEAD_LETTERS, &Page::newest(COUNTED))?.len();
        Ok((store.health(), store.head(), store.tail(), dead))
    })
    .await?;
    let mut page = Lines::default();
    page.one("quarterdeck_start_time_seconds", "gauge", "When the host was started.", seconds(&api));
    page.family("quarterdeck_build_info", "gauge", "The version.");
    page.sample("quarterdeck_build_info", &[("version", api.options.version)], 1);
    stored(&mut page, &health);
    page.one("quarterdeck_log_head", "counter", "Offset of the newest event.", head);
    page.one("quarterdeck_log_tail", "counter", "Offset up to which retention has removed events.", tail);
    let open = STREAMS.saturating_sub(api.streams.available_permits());
    page.one("quarterdeck_event_streams", "gauge", "Event streams that are open.", wide(open));
    let cut_off = api.cut_off.load(Ordering::Relaxed);
    page.one("quarterdeck_event_streams_cut_off_total", "counter", "Event streams that were too slow.", cut_off);
    let outbox = &api.options.engines.outbox;
    page.one("quarterdeck_outbox_effects", "gauge", "Effects that are not finished.", wide(outbox.depth()));
    page.one("quarterdeck_outbox_in_flight", "gauge", "Effects that are being carried out.", wide(outbox.in_flight()));
    page.one("quarterdeck_dead_letters", "gauge", "Dead letters, counted up to 10000.", wide(dead));
    let lost = api.options.registry.audit_records_lost();
    page.one("quarterdeck_audit_records_lost_total", "counter", "Records of what plugins did that were lost.", lost);
    called(&mut page, &api.options.registry.instances());
    decided(&mut page, &api.options.decisions.journals(None).await?, &api.options.decisions.shadows());
    sent(&mut page, &api);
    scheduled(&mut page, &api);
    requested(&mut page, &api);
    page.0.push_str(&(api.options.metrics_page)());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0).into_response())
}

fn seconds(api: &Api) -> f64 {
    api.options.started_at.since(quarterdeck_model::Timestamp::MIN).as_secs_f64()
}

fn stored(page: &mut Lines, health: &StoreHealth) {
    page.one("quarterdeck_store_writable", "gauge", "1 if the store takes writes.", u8::from(health.writable));
    page.one("quarterdeck_store_bytes", "gauge", "Size of the store on the disk.", health.size_bytes);
    page.one("quarterdeck_store_free_bytes", "gauge", "Free space on its disk.", health.free_bytes);
}

fn called(page: &mut Lines, instances: &[InstanceStatus]) {
    let micros = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
    page.family("quarterdeck_plugin_calls_total", "counter", "Calls of an instance.");
    for instance in instances {
        page.sample("quarterdeck_plugin_calls_total", &[("instance", instance.name.as_str())], instance.usage.calls);
    }
    page.family("quarterdeck_plugin_failures_total", "counter", "Calls that gave no result, by the reason.");
    for instance in instances {
        for (code, count) in &instance.usage.failures {
            let labels = [("instance", instance.name.as_str()), ("code", code.as_str())];
            page.sample("quarterdeck_plugin_failures_total", &labels, count);
        }
    }
    page.family("quarterdeck_plugin_host_calls_total", "counter", "Calls of the host by an instance.");
    for instance in instances {
        for (call, count) in &instance.usage.host_calls {
            let labels = [("instance", instance.name.as_str()), ("call", call.as_str())];
            page.sample("quarterdeck_plugin_host_calls_total", &labels, count);
        }
    }
    page.family("quarterdeck_plugin_wall_seconds_total", "counter", "Time from start to end of calls.");
    for instance in instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("quarterdeck_plugin_wall_seconds_total", &labels, micros(instance.usage.wall_micros));
    }
    page.family("quarterdeck_plugin_guest_seconds_total", "counter", "Time for which its code ran, by the clock.");
    for instance in instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("quarterdeck_plugin_guest_seconds_total", &labels, micros(instance.usage.guest_micros));
    }
    durations(page, instances);
    page.family("quarterdeck_plugin_bytes_total", "counter", "Handed in and out by calls of the host.");
    for InstanceStatus { name, usage, .. } in instances {
        for (direction, bytes) in [("in", usage.bytes_in), ("out", usage.bytes_out)] {
            page.sample(
                "quarterdeck_plugin_bytes_total",
                &[("instance", name.as_str()), ("direction", direction)],
                bytes,
            );
        }
    }
    page.family("quarterdeck_plugin_log_lines_total", "counter", "Lines that a plugin logged.");
    for InstanceStatus { name, usage, .. } in instances {
        page.sample("quarterdeck_plugin_log_lines_total", &[("instance", name.as_str())], usage.log_lines);
    }
    page.family("quarterdeck_plugin_memory_high_water_bytes", "gauge", "The most memory that one call had.");
    for instance in instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("quarterdeck_plugin_memory_high_water_bytes", &labels, instance.usage.memory_high_water_bytes);
    }
    page.family("quarterdeck_plugin_calls_in_flight", "gauge", "Calls under way.");
    for instance in instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("quarterdeck_plugin_calls_in_flight", &labels, instance.usage.in_flight);
    }
}

/// The histogram of how long calls took, of instances that had any.
fn durations(page: &mut Lines, instances: &[InstanceStatus]) {
    page.family("quarterdeck_plugin_call_duration_seconds", "histogram", "From start to end of calls.");
    for InstanceStatus { name, usage, .. } in instances.iter().filter(|instance| !instance.usage.latency.is_empty()) {
        let instance = ("instance", name.as_str());
        let seconds = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
        for bucket in &usage.latency {
            let up_to = seconds(bucket.up_to_micros).to_string();
            page.sample("quarterdeck_plugin_call_duration_seconds_bucket", &[instance, ("le", &up_to)], bucket.calls);
        }
        page.sample("quarterdeck_plugin_call_duration_seconds_bucket", &[instance, ("le", "+Inf")], usage.calls);
        page.sample("quarterdeck_plugin_call_duration_seconds_sum", &[instance], seconds(usage.wall_micros));
        page.sample("quarterdeck_plugin_call_duration_seconds_count", &[instance], usage.calls);
    }
}

/// What is kept of decisions, and how candidates do.
fn decided(page: &mut Lines, journals: &[JournalStatus], shadows: &[Shadow]) {
    let mut of_journals = |name: &str, kind, help, read: fn(&JournalStatus) -> u64| {
        page.family(name, kind, help);
        for journal in journals {
            page.sample(name, &[("instance", journal.instance.as_str())], read(journal));
        }
    };
    of_journals("quarterdeck_journal_decisions", "gauge", "Decisions that are kept.", |journal| journal.decisions);
    of_journals("quarterdeck_journal_bytes", "gauge", "Their bytes.", |journal| journal.bytes);
    of_journals("quarterdeck_journal_left_out_total", "counter", "Decisions that could not be kept.", |journal| {
        journal.left_out
    });
    page.family(
        "quarterdeck_shadow_decisions_total",
        "counter",
        "Questions to a candidate, by how its answer compares.",
    );
    for Shadow { plugin, comparison, skipped, .. } in shadows {
        let outcomes = [("same", comparison.same), ("differ", comparison.differ), ("skipped", *skipped)];
        for (outcome, count) in outcomes {
            let labels = [("plugin", plugin.as_str()), ("outcome", outcome)];
            page.sample("quarterdeck_shadow_decisions_total", &labels, count);
        }
    }
    page.family("quarterdeck_shadow_misbehaved_total", "counter", "Traps of a candidate, and what went over a limit.");
    for Shadow { plugin, comparison, .. } in shadows {
        page.sample("quarterdeck_shadow_misbehaved_total", &[("plugin", plugin.as_str())], comparison.misbehaved);
    }
}

/// Samples that were scraped or sent, by what became of them.
fn sent(page: &mut Lines, api: &Api) {
    let tally = api.options.engines.monitoring.tally();
    page.family("quarterdeck_samples_total", "counter", "Samples that were scraped or sent, by what became of them.");
    for (outcome, count) in [
        ("taken", &tally.taken),
        ("duplicate", &tally.duplicates),
        ("too_old", &tally.too_old),
        ("too_new", &tally.too_new),
        ("refused", &tally.refused),
        ("limited", &tally.limited),
    ] {
        page.sample("quarterdeck_samples_total", &[("outcome", outcome)], count.load(Ordering::Relaxed));
    }
}

fn scheduled(page: &mut Lines, api: &Api) {
    let depth = api.options.scheduler.depth();
    page.one("quarterdeck_jobs", "gauge", "Jobs that are scheduled.", wide(depth.jobs));
    page.one("quarterdeck_jobs_running", "gauge", "Runs under way.", wide(depth.running));
    page.one("quarterdeck_jobs_queued", "gauge", "Runs that wait for a free slot.", wide(depth.queued));
    let jobs = api.options.scheduler.list();
    // Ten thousand jobs of one sort are one series here: the API has the single ones.
    let sum = |read: fn(&JobStatus) -> u64| jobs.iter().map(read).sum::<u64>();
    page.one("quarterdeck_job_runs_total", "counter", "Runs of present jobs.", sum(|job| job.runs));
    page.one("quarterdeck_job_failures_total", "counter", "Runs that failed.", sum(|job| job.failures));
    page.one("quarterdeck_job_missed_total", "counter", "Runs that were left out.", sum(|job| job.missed));
}

fn requested(page: &mut Lines, api: &Api) {
    let counts = api.requests.counts();
    let mut write = |name: &str, help: &str, read: &dyn Fn(&crate::requests::Count) -> f64| {
        page.family(name, "counter", help);
        for (key, count) in &counts {
            let status = key.status.to_string();
            let labels = [("method", key.method), ("route", key.route.as_str()), ("status", status.as_str())];
            page.sample(name, &labels, read(count));
        }
    };
    write("quarterdeck_http_requests_total", "Requests.", &|count| count.requests as f64);
    write("quarterdeck_http_request_seconds_total", "Time to the head of the response.", &|count| {
        count.time.as_secs_f64()
    });
}

#[derive(Default)]
struct Lines(String);

/// Writing to a string can't fail.
impl Lines {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escape(text))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut page = Lines::default();
        page.sample("calls", &[("error", "a \"b\"\\\n")], 2);
        assert_eq!(page.0, "calls{error=\"a \\\"b\\\"\\\\\\n\"} 2\n");
    }
}
