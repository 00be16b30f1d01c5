//! 100,000 series on 100 targets, scraped every two seconds; and what of them is there after a kill.

use crate::report::row;
use crate::server::{Cores, Server, now, until};
use crate::times;
use axum::Router;
use axum::extract::{Path, State};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TARGETS: usize = 100;
const SERIES: usize = 1000;
/// Series of one metric on a page.
const OF_A_METRIC: usize = 20;
/// After every series is known.
const WARM_UP: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(40);
/// One series of each target.
const ONE_OF_EACH: &str = "node_bench_0_seconds_total{cpu=\"0\"}";

/// What was measured of one program.
struct Measured {
    /// Samples by CPU second.
    rate: f64,
    resident: f64,
}

pub(crate) async fn run() {
    let pages = Arc::new(AtomicU64::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{target}", axum::routing::get(page)).with_state(Arc::clone(&pages));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut jobs = String::from("scrape_configs:\n");
    for target in 0..TARGETS {
        let _ = write!(
            jobs,
            "- job_name: bench{target}\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  metrics_path: /{target}\n  \
             static_configs:\n  - targets: ['{address}']\n"
        );
    }
    let (ours, lost) = {
        let server = Server::quarterdeck(&[("scrape/bench.yml", &jobs)], Cores::All).await;
        let measured = measure(&server, &pages).await;
        let (server, at) = server.killed().await;
        // As of then, so that what is scraped since does not count.
        let newest = server.number(&format!("max(timestamp({ONE_OF_EACH}))"), at).await;
        assert!(newest > 0.0, "nothing is left of what was scraped");
        (measured, at - newest)
    };
    let theirs = match Server::prometheus(&[("prometheus.yml", &jobs)], Cores::All).await {
        Some(server) => Some(measure(&server, &pages).await),
        None => None,
    };
    let other = |of: &dyn Fn(&Measured) -> String| theirs.as_ref().map_or_else(String::new, of);
    row(
        &format!("samples per CPU second by scrapes, {} series", TARGETS * SERIES),
        &format!("{:.2} M{}", ours.rate / 1e6, times(ours.rate, theirs.as_ref().map(|m| m.rate))),
        "twice Prometheus's",
        &other(&|m| format!("Prometheus: {:.2} M", m.rate / 1e6)),
    );
    row(
        &format!("resident memory, {} scraped series", TARGETS * SERIES),
        &format!("{:.0} MB{}", ours.resident / 1e6, times(ours.resident, theirs.as_ref().map(|m| m.resident))),
        "half of Prometheus's",
        &other(&|m| format!("Prometheus: {:.0} MB", m.resident / 1e6)),
    );
    row("newest scraped sample that is there after kill -9", &format!("{lost:.2} s before it"), "1 s", "");
}

async fn measure(server: &Server, pages: &AtomicU64) -> Measured {
    // Asked of a fiftieth of them only: what a query over all takes in memory is not measured here.
    until("every series is known", async || {
        let known = server.number("count(node_bench_0_seconds_total)", now()).await;
        known as usize == TARGETS * OF_A_METRIC
    })
    .await;
    tokio::time::sleep(WARM_UP).await;
    let (before, (_, cpu)) = (pages.load(Ordering::Relaxed), server.usage());
    tokio::time::sleep(WINDOW).await;
    let ((resident, cpu_after), end) = (server.usage(), now());
    let served = pages.load(Ordering::Relaxed) - before;
    // A page that was served and not taken is no sample. At both ends of the window a scrape of each target is under way, or about to be.
    let stored = server.number(&format!("sum(count_over_time({ONE_OF_EACH}[{}s]))", WINDOW.as_secs()), end).await;
    assert!(
        (served as f64 - stored).abs() <= 2.0 * TARGETS as f64,
        "{served} pages were served and {stored} taken: the figure would be of something else"
    );
    let expected = TARGETS as f64 * WINDOW.as_secs_f64() / 2.0;
    assert!(stored >= 0.9 * expected, "only {stored} of {expected} scrapes were made");
    Measured { rate: stored * SERIES as f64 / (cpu_after - cpu), resident }
}

/// In the style of node exporter: counters and gauges with a few labels, half of which move.
async fn page(State(pages): State<Arc<AtomicU64>>, Path(target): Path<usize>) -> String {
    let turn = pages.fetch_add(1, Ordering::Relaxed);
    let mut page = String::with_capacity(SERIES * 90);
    for metric in 0..SERIES / OF_A_METRIC {
        let _ = writeln!(page, "# HELP node_bench_{metric}_seconds_total Seconds spent in each mode.");
        let _ = writeln!(page, "# TYPE node_bench_{metric}_seconds_total counter");
        for cpu in 0..OF_A_METRIC as u64 {
            let value =
                if cpu % 2 == 0 { 1e6 + (turn * 20 + cpu) as f64 * 0.01 } else { (target * 7919 + metric) as f64 };
            let _ = writeln!(page, "node_bench_{metric}_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} {value}");
        }
    }
    page
}
