//! 10,000 alert rules over 100,000 scraped series, every 15 seconds, each program on one core.

use crate::report::row;
use crate::server::{Cores, Server, now, until};
use crate::times;
use axum::Router;
use axum::extract::Path;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

const GROUPS: usize = 100;
/// Of a group; each looks at as many series as are on a page for it.
const RULES: usize = 100;
const SERIES_OF_A_RULE: usize = 10;
const INTERVAL: Duration = Duration::from_secs(15);
/// Every group has been evaluated by then, and what fires does.
const WARM_UP: Duration = Duration::from_secs(30);
/// Four intervals.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Default)]
struct Counts {
    evaluations: f64,
    missed: f64,
    failed: f64,
}

struct Measured {
    /// Seconds of the core in an interval, scraping included.
    cpu: f64,
    counts: Counts,
}

pub(crate) async fn run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{target}", axum::routing::get(page));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (mut jobs, mut rules) = (String::from("scrape_configs:\n"), String::from("groups:\n"));
    for group in 0..GROUPS {
        let _ = write!(
            jobs,
            "- job_name: bench{group}\n  scrape_interval: 15s\n  metrics_path: /{group}\n  static_configs:\n  \
             - targets: ['{address}']\n"
        );
        let _ = write!(rules, "- name: bench{group}\n  interval: 15s\n  rules:\n");
        for rule in 0..RULES {
            let part = group * RULES + rule;
            let _ = write!(rules, "  - alert: Loaded{part}\n    expr: bench_load{{part=\"p{part:05}\"}} > 90\n");
        }
    }
    let ours = {
        let files =
            [("quarterdeck.toml", "built-ins = false\n"), ("scrape/bench.yml", &jobs), ("rules/bench.yml", &rules)];
        let server = Server::quarterdeck(&files, Cores::One).await;
        measure(&server, ours_counted).await
    };
    let config = format!("rule_files: [rules.yml]\n{jobs}");
    let theirs = match Server::prometheus(&[("prometheus.yml", &config), ("rules.yml", &rules)], Cores::One).await {
        Some(server) => Some(measure(&server, theirs_counted).await),
        None => None,
    };
    let said = |measured: &Measured| {
        let Counts { evaluations, missed, .. } = measured.counts;
        format!("{:.2} s, {missed} of {} evaluations of groups left out", measured.cpu, evaluations + missed)
    };
    row(
        &format!(
            "CPU of {} alert rules over {} series in their interval of 15 s, scrapes included, on one core",
            GROUPS * RULES,
            GROUPS * RULES * SERIES_OF_A_RULE
        ),
        &format!("{}{}", said(&ours), times(ours.cpu, theirs.as_ref().map(|measured| measured.cpu))),
        "15 s, none left out",
        &theirs.as_ref().map_or_else(String::new, |theirs| format!("Prometheus: {}", said(theirs))),
    );
}

async fn measure(server: &Server, counted: impl AsyncFn(&Server) -> Counts) -> Measured {
    // The first rule of each group has an alert: all groups have been evaluated over what was scraped.
    until("every group has been evaluated", async || {
        server.number("count(ALERTS{alertstate=\"firing\"})", now()).await as usize == GROUPS
    })
    .await;
    tokio::time::sleep(WARM_UP).await;
    let (before, (_, cpu)) = (counted(server).await, server.usage());
    tokio::time::sleep(WINDOW).await;
    let ((_, cpu_after), after) = (server.usage(), counted(server).await);
    let counts = Counts {
        evaluations: after.evaluations - before.evaluations,
        missed: after.missed - before.missed,
        failed: after.failed - before.failed,
    };
    assert!(counts.failed == 0.0, "{} evaluations failed", counts.failed);
    let expected = GROUPS as f64 * WINDOW.as_secs_f64() / INTERVAL.as_secs_f64();
    let seen = counts.evaluations + counts.missed;
    // Each group is due once more or once less, by where the window cuts its interval.
    assert!((seen - expected).abs() <= GROUPS as f64, "{seen} evaluations were due, not {expected}");
    Measured { cpu: (cpu_after - cpu) * INTERVAL.as_secs_f64() / WINDOW.as_secs_f64(), counts }
}

/// Of the jobs that evaluate groups.
async fn ours_counted(server: &Server) -> Counts {
    let jobs: Value = serde_json::from_str(&server.text("/api/v1/jobs?limit=500").await).unwrap();
    let jobs = jobs["items"].as_array().unwrap().iter();
    let groups: Vec<&Value> = jobs.filter(|job| job["name"].as_str().unwrap().starts_with("rule-group/")).collect();
    assert_eq!(groups.len(), GROUPS, "groups among the jobs");
    let sum = |of: &dyn Fn(&Value) -> f64| groups.iter().map(|job| of(job)).sum::<f64>();
    let figure = |job: &Value, key: &str| job[key].as_f64().unwrap();
    Counts {
        evaluations: sum(&|job| figure(job, "runs") - figure(job, "running")),
        missed: sum(&|job| figure(job, "missed")),
        failed: sum(&|job| figure(job, "failures")),
    }
}

async fn theirs_counted(server: &Server) -> Counts {
    let page = server.text("/metrics").await;
    let sum = |metric: &str| {
        let of = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'));
        page.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    // A missed iteration is counted as an iteration, too.
    let missed = sum("prometheus_rule_group_iterations_missed_total");
    Counts {
        evaluations: sum("prometheus_rule_group_iterations_total") - missed,
        missed,
        failed: sum("prometheus_rule_evaluation_failures_total"),
    }
}

/// The series that the rules of one group look at. One series of its first rule is over the threshold.
async fn page(Path(group): Path<usize>) -> String {
    let mut page = String::from("# TYPE bench_load gauge\n");
    for part in group * RULES..(group + 1) * RULES {
        for series in 0..SERIES_OF_A_RULE {
            let value = if part % RULES == 0 && series == 0 { 95 } else { (part * 31 + series * 7) % 90 };
            let _ = writeln!(page, "bench_load{{part=\"p{part:05}\",series=\"{series}\"}} {value}");
        }
    }
    page
}
