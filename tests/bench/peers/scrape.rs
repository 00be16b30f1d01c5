//! 100,000 series on 100 targets, scraped every two seconds.

use crate::report::row;
use crate::server::Server;
use axum::Router;
use axum::extract::{Path, State};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TARGETS: usize = 100;
const SERIES: usize = 1000;
/// Until every series is known.
const WARM_UP: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(40);

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
    let ours = {
        let server = Server::quarterdeck(&[("scrape/bench.yml", &jobs)]).await;
        measure(&server, &pages).await
    };
    let theirs = match Server::prometheus(&jobs).await {
        Some(server) => Some(measure(&server, &pages).await),
        None => None,
    };
    let other = |of: &dyn Fn(&Measured) -> String| theirs.as_ref().map_or_else(String::new, of);
    row(
        &format!("samples per CPU second by scrapes, {} series", TARGETS * SERIES),
        &format!("{:.2} M", ours.rate / 1e6),
        "twice Prometheus's",
        &other(&|m| format!("Prometheus: {:.2} M", m.rate / 1e6)),
    );
    row(
        &format!("resident memory, {} scraped series", TARGETS * SERIES),
        &format!("{:.0} MB", ours.resident / 1e6),
        "half of Prometheus's",
        &other(&|m| format!("Prometheus: {:.0} MB", m.resident / 1e6)),
    );
}

async fn measure(server: &Server, pages: &AtomicU64) -> Measured {
    tokio::time::sleep(WARM_UP).await;
    let (before, (_, cpu)) = (pages.load(Ordering::Relaxed), server.usage());
    tokio::time::sleep(WINDOW).await;
    let (resident, cpu_after) = server.usage();
    let samples = (pages.load(Ordering::Relaxed) - before) * SERIES as u64;
    assert!(samples > 0, "nothing was scraped");
    Measured { rate: samples as f64 / (cpu_after - cpu), resident }
}

/// In the style of node exporter: counters and gauges with a few labels, half of which move.
async fn page(State(pages): State<Arc<AtomicU64>>, Path(target): Path<usize>) -> String {
    let turn = pages.fetch_add(1, Ordering::Relaxed);
    let mut page = String::with_capacity(SERIES * 90);
    for metric in 0..SERIES / 20 {
        let _ = writeln!(page, "# HELP node_bench_{metric}_seconds_total Seconds spent in each mode.");
        let _ = writeln!(page, "# TYPE node_bench_{metric}_seconds_total counter");
        for cpu in 0..20 {
            let value =
                if cpu % 2 == 0 { 1e6 + (turn * 20 + cpu) as f64 * 0.01 } else { (target * 7919 + metric) as f64 };
            let _ = writeln!(page, "node_bench_{metric}_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} {value}");
        }
    }
    page
}
