//! What a call costs through the whole path: queue, grants, limits, epoch, metering.
//!
//! `cargo run --release -p quarterdeck-runtime --example call-bench -- [plugin.wasm]`
//!
//! Without a component, the smallest possible one. Else it is a detector (called with ten samples) or a collector. `BENCH_CONFIG` is its configuration, as JSON.
//! With `BENCH_LANGUAGE` (a name for the table) only what an author in another language asks: compiled, from the cache, and a call.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::allow_attributes,
    unreachable_pub,
    reason = "a benchmark may panic"
)]

#[path = "../../../tests/bench/report.rs"]
mod report;

#[path = "../src/testing/guests.rs"]
#[expect(dead_code, reason = "the benchmark needs one of the guests")]
mod guests;
#[path = "../tests/support/ports.rs"]
mod ports;

use quarterdeck_model::decisions::{Decisions, ReplayOptions};
use quarterdeck_model::kind::collector::Collector;
use quarterdeck_model::kind::detector::{Detector, Window};
use quarterdeck_model::plugin::{
    CallFailed, GrantedTo, Grants, InstanceName, InstanceSpec, JournalSpec, Kind, PluginState, PluginStatus, Registry,
};
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Labels, Span, Timestamp};
use quarterdeck_runtime::Runtime;
use report::{percentile, row};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const ROUND: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(quarterdeck_runtime::prefer_short_turns)
        .enable_all()
        .build()?
        .block_on(bench())
}

async fn bench() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir()?;
    let path = match arguments.next() {
        Some(path) => path,
        None => {
            let path = folder.path().join("guest.wasm");
            std::fs::write(&path, guests::collector("guest", "1.0.0", guests::Does::Well))?;
            path.display().to_string()
        }
    };
    let plugins = folder.path().join("plugins");
    std::fs::create_dir_all(&plugins)?;

    let mut options = ports::options(folder.path());
    options.plugins_dir = Some(plugins.clone());
    // The loops are to go on all the time.
    options.quarantine_after = u32::MAX;
    let store = quarterdeck_storage::Options::new(folder.path().join("store"), Arc::clone(&options.clock));
    let store = quarterdeck_storage::Database::open(store)?;
    options.journals = Some(store.clone());
    let runtime = Runtime::start(options).await?;
    let compiled = take_up(&runtime, &plugins, &path, "a.wasm").await?;
    std::fs::remove_file(plugins.join("a.wasm"))?;
    runtime.reload().await;
    let cached = take_up(&runtime, &plugins, &path, "b.wasm").await?;
    let millis = |took: Duration| format!("{:.0} ms", took.as_secs_f64() * 1e3);
    let size = std::fs::metadata(&path)?.len() / 1000;
    row(&format!("rename of a {size} KB component until it is usable, compiled"), &millis(compiled), "", "");
    row("the same, from the cache", &millis(cached), "", "");

    let plugin = Registry::plugins(&*runtime).first().map(|status| status.name.clone()).ok_or("nothing was loaded")?;
    let probe = InstanceName(format!("{plugin}/probe"));
    let mut specs = BTreeMap::from([(probe.clone(), spec(&plugin, 10_000))]);
    std::fs::write(plugins.join("looper.wasm"), guests::collector("looper", "1.0.0", guests::Does::Loop))?;
    runtime.reload().await;
    let loopers = ["looper/one", "looper/two"].map(InstanceName::from);
    specs.extend(loopers.iter().map(|name| (name.clone(), spec("looper", 50))));
    runtime.configure(specs.into_iter().map(|(name, spec)| (name, spec.into())).collect()).await;
    ask(&runtime, &probe).await?;

    if let Ok(language) = std::env::var("BENCH_LANGUAGE") {
        let mut latencies = round(&runtime, &probe, 1).await?;
        report(&format!("calls of a collector in {language}, 1 caller"), &mut latencies, "p50 1 ms", "");
        runtime.shutdown(Duration::from_secs(5)).await;
        return Ok(());
    }
    bare(&path)?;
    for callers in [1, 2, 4, 16] {
        let mut latencies = round(&runtime, &probe, callers).await?;
        let bound = if callers == 2 { "60,000 /s, p50 20 us" } else { "" };
        let peer = if callers == 1 { "Extism's Go host, no-op: 7.4 us" } else { "" };
        report(&format!("calls through the whole path, {callers} callers"), &mut latencies, bound, peer);
    }
    beside_loops(&runtime, &probe, loopers).await?;
    decisions(&runtime, &plugins, &path).await?;
    runtime.shutdown(Duration::from_secs(5)).await;
    store.close().await;
    Ok(())
}

/// A paced probe alone and beside two loops, in turns, so that what else the machine does falls on both.
async fn beside_loops(
    runtime: &Arc<Runtime>,
    probe: &InstanceName,
    loopers: [InstanceName; 2],
) -> Result<(), Box<dyn Error>> {
    let (mut alone, mut beside, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.extend(paced(runtime, probe).await?);
        let tasks = loopers.clone().map(|name| tokio::spawn(run_away(Arc::clone(runtime), name)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        beside.extend(paced(runtime, probe).await?);
        for task in tasks {
            ends.extend(task.await?.into_iter().map(|took| took.as_secs_f64() * 1e3));
        }
    }
    let micros = |latencies: Vec<Duration>| {
        let mut micros: Vec<f64> = latencies.into_iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        percentile(&mut micros, 0.99)
    };
    let (alone, beside) = (micros(alone), micros(beside));
    row(
        "p99 of a paced probe beside two loops, to its p99 alone",
        &format!("{:.2} ({beside:.0} us to {alone:.0} us)", beside / alone),
        "2",
        "",
    );
    let (median, worst) = (percentile(&mut ends, 0.5), percentile(&mut ends, 1.0));
    row(
        "end of a runaway with a budget of 50 ms",
        &format!("p50 {median:.1} ms, worst of {} {worst:.1} ms", ends.len()),
        "57.5 ms",
        "wasmtime alone: p50 50.2 ms, worst 57 ms",
    );
    Ok(())
}

/// One call, of the kind that the plugin is.
async fn ask(runtime: &Runtime, probe: &InstanceName) -> Result<(), CallFailed> {
    static WINDOW: LazyLock<Window> = LazyLock::new(|| Window {
        now: NOW,
        from: NOW.minus(Span::from_secs(150)),
        series: vec![SeriesData {
            name: "load".to_owned(),
            labels: Labels::new().with("host", "one").with("job", "bench"),
            at: (0..10).map(|sample| NOW.minus(Span::from_secs(15 * sample))).rev().collect(),
            values: (0..10).map(f64::from).collect(),
        }],
    });
    // Asked once: it is no part of a call.
    static DETECTORS: Mutex<BTreeMap<InstanceName, bool>> = Mutex::new(BTreeMap::new());
    let is_detector = *DETECTORS
        .lock()
        .unwrap()
        .entry(probe.clone())
        .or_insert_with(|| runtime.instance(probe).is_some_and(|status| status.kinds.contains(&Kind::Detector)));
    if is_detector {
        runtime.evaluate(probe, &serde_json::Map::new(), &WINDOW, None).await?;
    } else {
        runtime.collect(probe, NOW).await?;
    }
    Ok(())
}

/// What a journal costs, and how fast the past is asked again: of the component, if it is a detector, else of the smallest one.
async fn decisions(runtime: &Arc<Runtime>, plugins: &Path, path: &str) -> Result<(), Box<dyn Error>> {
    let given = std::fs::read(path)?;
    std::fs::write(plugins.join("judge.wasm"), guests::Judge::default().build())?;
    runtime.reload().await;
    let is_detector = |status: &PluginStatus| status.kinds.contains(&Kind::Detector) && status.name != "judge";
    let (plugin, component) = match Registry::plugins(&**runtime).into_iter().find(is_detector) {
        Some(status) => (status.name, given),
        None => ("judge".to_owned(), guests::Judge::default().build()),
    };
    let [without, with] = ["without", "with"].map(|name| InstanceName(format!("{plugin}/{name}")));
    let mut kept = spec(&plugin, 10_000);
    kept.journal = Some(JournalSpec::default());
    let specs = [(without.clone(), spec(&plugin, 10_000)), (with.clone(), kept)];
    runtime.configure(specs.into_iter().map(|(name, spec)| (name, spec.into())).collect()).await;
    // In turns, so that what else the machine does falls on both.
    let (mut plain, mut journalled) = (0, 0);
    for _ in 0..4 {
        plain += round(runtime, &without, 2).await?.len();
        journalled += round(runtime, &with, 2).await?.len();
        // What waits is written on the journal's own time.
        runtime.journals(None).await?;
    }
    let status = runtime.journals(Some(&plugin)).await?.into_iter().next().ok_or("no journal")?;
    let percent = |part: f64, whole: f64| part / whole * 100.0;
    let (fast, slow) = (plain as f64, journalled as f64);
    row(
        "call rate with a journal, less than without one, 2 callers",
        &format!(
            "{:.1} % ({:.1} % of the calls were left out)",
            percent(fast - slow, fast),
            percent(status.left_out as f64, slow)
        ),
        "10 %",
        "",
    );
    let started = Instant::now();
    let replay = runtime.replay(&plugin, component, ReplayOptions { since: None, limit: 400_000, samples: 3 }).await?;
    let (asked, took) = (replay.comparison.decisions, started.elapsed());
    if replay.comparison.differ > 0 || replay.stopped.is_some() {
        return Err(format!("the past is not as it was: {replay:?}").into());
    }
    row(
        &format!("replay of {asked} decisions through the same component"),
        &format!("{:.0} /s", asked as f64 / took.as_secs_f64()),
        "20,000 /s",
        "",
    );
    Ok(())
}

/// The floor: wasmtime alone, a fresh store and instance for each call of `describe`, on one thread and on two.
fn bare(path: &str) -> Result<(), Box<dyn Error>> {
    use wasmtime::component::{Component, Linker};
    use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(4 << 20).table_keep_resident(64 << 10).async_stack_keep_resident(256 << 10);
    pool.pagemap_scan(Enabled::Auto).total_memories(100).total_component_instances(100).max_memory_size(64 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, path)?;
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component)?;
    let pre = linker.instantiate_pre(&component)?;
    let plugin = component.get_export_index(None, "quarterdeck:plugin/plugin@0.1.0").ok_or("no plugin export")?;
    let describe = component.get_export_index(Some(&plugin), "describe").ok_or("no describe")?;
    for threads in [1, 2] {
        let until = Instant::now() + ROUND;
        let calls: Vec<Vec<Duration>> = std::thread::scope(|scope| {
            let run = || {
                let mut latencies = Vec::with_capacity(1 << 18);
                while Instant::now() < until {
                    let started = Instant::now();
                    let mut store = Store::new(&engine, ());
                    let Ok(instance) = pre.instantiate(&mut store) else { break };
                    let Some(function) = instance.get_func(&mut store, describe) else { break };
                    let mut results = [wasmtime::component::Val::Bool(false)];
                    if function.call(&mut store, &[], &mut results).is_err() {
                        break;
                    }
                    drop(store);
                    latencies.push(started.elapsed());
                }
                latencies
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        report(
            &format!("wasmtime alone, {threads} threads"),
            &mut calls.concat(),
            "",
            "with a 100 KB guest: 98,000 /s, p50 10 us",
        );
    }
    Ok(())
}

async fn take_up(runtime: &Runtime, plugins: &Path, from: &str, to: &str) -> Result<Duration, Box<dyn Error>> {
    let temporary = plugins.join("on-its-way");
    std::fs::copy(from, &temporary)?;
    let started = Instant::now();
    std::fs::rename(temporary, plugins.join(to))?;
    let in_use = |status: &PluginStatus| status.source == to && status.state == PluginState::Active;
    while !Registry::plugins(runtime).iter().any(in_use) {
        tokio::time::sleep(Duration::from_micros(200)).await;
        if started.elapsed() > Duration::from_secs(60) {
            return Err("it was not taken up".into());
        }
    }
    Ok(started.elapsed())
}

fn spec(plugin: &str, deadline_millis: u64) -> InstanceSpec {
    let mut spec = InstanceSpec {
        plugin: plugin.to_owned(),
        config: serde_json::Map::new(),
        grants: Grants { system: true, kv: true, ..Grants::default() },
        limits: quarterdeck_model::plugin::Limits::default(),
        granted_to: ["a.wasm", "b.wasm", "looper.wasm", "judge.wasm"]
            .map(|file| GrantedTo::File(file.to_owned()))
            .to_vec(),
        every: None,
        journal: None,
        check: None,
        delivery: None,
        enabled: true,
    };
    spec.limits.deadline = Span::from_millis(deadline_millis);
    spec.limits.concurrency = 64;
    if let Ok(config) = std::env::var("BENCH_CONFIG") {
        spec.config =
            serde_json::from_str(&config).unwrap_or_else(|_| json!({}).as_object().cloned().unwrap_or_default());
    }
    spec
}

async fn round(runtime: &Arc<Runtime>, probe: &InstanceName, callers: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let until = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (runtime, probe) = (Arc::clone(runtime), probe.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 18);
                loop {
                    let started = Instant::now();
                    if started >= until {
                        return latencies;
                    }
                    if ask(&runtime, &probe).await.is_ok() {
                        latencies.push(started.elapsed());
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await?);
    }
    Ok(all)
}

/// A call every two milliseconds.
async fn paced(runtime: &Runtime, probe: &InstanceName) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut latencies = Vec::new();
    let until = Instant::now() + ROUND;
    let mut interval = tokio::time::interval(Duration::from_millis(2));
    while Instant::now() < until {
        interval.tick().await;
        let started = Instant::now();
        ask(runtime, probe).await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

async fn run_away(runtime: Arc<Runtime>, name: InstanceName) -> Vec<Duration> {
    let until = Instant::now() + ROUND + Duration::from_millis(300);
    let mut took = Vec::new();
    while Instant::now() < until {
        let usage = runtime.instance(&name).map(|status| status.usage.calls);
        let started = Instant::now();
        let result = runtime.collect(&name, NOW).await;
        if usage != runtime.instance(&name).map(|status| status.usage.calls) {
            took.push(started.elapsed());
        } else if result.is_err() {
            // Quarantined: the next trial comes.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    took
}

fn report(what: &str, latencies: &mut [Duration], bound: &str, peer: &str) {
    let per_second = latencies.len() as f64 / ROUND.as_secs_f64();
    let mut micros: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
    let (median, tail) = (percentile(&mut micros, 0.5), percentile(&mut micros, 0.99));
    row(what, &format!("{per_second:.0} /s, p50 {median:.1} us, p99 {tail:.0} us"), bound, peer);
}
