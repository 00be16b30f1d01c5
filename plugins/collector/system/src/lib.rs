//! Figures of the machine that the host runs on, and of the host itself. It measures nothing: the host's `system` import
//! takes one snapshot, and this names what is in it.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::system::{self, FileSystem, Snapshot, Space};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem};
use std::collections::{BTreeMap, BTreeSet};

quarterdeck_sdk::config! {
    /// Configuration of `system`.
    pub struct Config {
        /// How many processes to report, by CPU: those of one name are reported as one.
        #[serde(default = "five")]
        pub top_processes: u32,
        /// Memory in use above which the machine counts as degraded, in percent.
        #[serde(default = "ninety_five")]
        pub memory_percent: f64,
        /// Disk in use above which the machine counts as degraded, in percent.
        #[serde(default = "ninety_five")]
        pub disk_percent: f64,
        /// File systems that are left out.
        #[serde(default = "pseudo_filesystems")]
        pub ignore_filesystems: Vec<String>,
    }
}

fn five() -> u32 {
    5
}

/// As many as the host gives: the sums of a name are of all that bear it.
const ALL_PROCESSES: u32 = 2048;

fn ninety_five() -> f64 {
    95.0
}

/// What is always full, or holds no data of anybody.
fn pseudo_filesystems() -> Vec<String> {
    ["squashfs", "iso9660", "devtmpfs", "proc", "sysfs", "cgroup2", "autofs", "ramfs"].map(str::to_owned).to_vec()
}

/// The plugin.
pub struct System;

impl Plugin for System {
    type Config = Config;
    const NAME: &'static str = "system";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "CPU, memory, disks, network, temperatures and processes of this machine";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("system", "reads the figures of this machine")]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let percent = |name: &str, value: f64| {
            (!(0.0..=100.0).contains(&value))
                .then(|| Problem::at(format!("/{name}"), format!("is {value}, expected 0 to 100")))
        };
        [percent("memory-percent", config.memory_percent), percent("disk-percent", config.disk_percent)]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Collector for System {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        Ok(describe(config, &system::take(ALL_PROCESSES)?, &system::file_systems()?, now_ms))
    }
}

/// The snapshot, and what is mounted, as families.
pub fn describe(config: &Config, snapshot: &Snapshot, mounted: &[FileSystem], now_ms: i64) -> Collection {
    let mut families = Vec::new();
    processors(snapshot, &mut families);
    memory(snapshot, &mut families);
    let disks = disks(config, mounted, &mut families);
    traffic(config, snapshot, &mut families);
    networks(snapshot, &mut families);
    processes(config, snapshot, &mut families);
    vitals(snapshot, now_ms, &mut families);
    families.retain(|family| !family.values.is_empty());
    Collection { families, health: health(config, snapshot, &disks) }
}

fn processors(snapshot: &Snapshot, families: &mut Vec<Family>) {
    families.push(Family::gauge("cpu_usage_percent", "Of all cores together").value(snapshot.cpu_usage_percent));
    let mut cores = Family::gauge("cpu_core_usage_percent", "Per core");
    let mut frequencies = Family::gauge("cpu_core_frequency_mhz", "Per core");
    for cpu in &snapshot.cpus {
        let labels = Labels::new().with("core", &*cpu.name);
        if cpu.frequency_mhz > 0 {
            frequencies.push(labels.clone(), float(cpu.frequency_mhz));
        }
        cores.push(labels, cpu.usage_percent);
    }
    families.extend([cores, frequencies]);
    let load = &snapshot.load;
    families.push(Family::gauge("load1", "Load average over a minute").value(load.one));
    families.push(Family::gauge("load5", "Load average over five minutes").value(load.five));
    families.push(Family::gauge("load15", "Load average over fifteen minutes").value(load.fifteen));
    let mut temperatures = Family::gauge("temperature_celsius", "Per sensor");
    for sensor in snapshot.temperatures.iter().filter(|sensor| sensor.celsius.is_finite()) {
        // Two sensors of one name would be one series with two values at a time.
        let labels = unique(&temperatures, "sensor", &sensor.name);
        temperatures.push(labels, sensor.celsius);
    }
    families.push(temperatures);
}

fn unique(family: &Family, label: &str, name: &str) -> Labels {
    let plain = Labels::new().with(label, name);
    if !family.labels.contains(&plain) {
        return plain;
    }
    let mut number = 2;
    loop {
        let numbered = Labels::new().with(label, format!("{name} {number}"));
        if !family.labels.contains(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

fn memory(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let memory = &snapshot.memory;
    let mut gauge = |name: &str, help: &str, value: f64| families.push(Family::gauge(name, help).value(value));
    gauge("memory_total_bytes", "Installed", float(memory.total_bytes));
    gauge("memory_used_bytes", "In use", float(memory.used_bytes));
    gauge("memory_available_bytes", "What programs could still have", float(memory.available_bytes));
    gauge("memory_used_percent", "Of what is installed", memory_percent(snapshot));
    gauge("swap_total_bytes", "Swap in all", float(memory.swap_total_bytes));
    gauge("swap_used_bytes", "Swap in use", float(memory.swap_used_bytes));
    gauge("swap_used_percent", "Of the swap", percent(memory.swap_used_bytes, memory.swap_total_bytes));
}

/// What can't be had any more counts as used: caches that would be given back don't.
fn memory_percent(snapshot: &Snapshot) -> f64 {
    let memory = &snapshot.memory;
    percent(memory.total_bytes.saturating_sub(memory.available_bytes), memory.total_bytes)
}

/// What the machine's health rests on.
#[derive(Default)]
struct Disks {
    /// The mount that is fullest, and how full it is, in percent.
    fullest: Option<(String, f64)>,
    unreachable: Vec<String>,
}

fn disks(config: &Config, mounted: &[FileSystem], families: &mut Vec<Family>) -> Disks {
    let mut total = Family::gauge("disk_total_bytes", "Size of the file system");
    let mut free = Family::gauge("disk_free_bytes", "What is free, with what is kept for root");
    let mut available = Family::gauge("disk_available_bytes", "What a user could still have");
    let mut used = Family::gauge("disk_used_percent", "Of what a user can have, as `df` counts");
    let mut inodes = Family::gauge("disk_inodes_total", "Files that the file system has room for");
    let mut inodes_free = Family::gauge("disk_inodes_free", "Files that could still be made");
    let mut inodes_used = Family::gauge("disk_inodes_used_percent", "Of the files that there is room for");
    let mut read_only = Family::gauge("disk_read_only", "1: nothing can be written to it");
    let mut unreachable = Family::gauge("disk_unreachable", "1: the file system does not answer");
    let mut disks = Disks::default();
    for mounted in mounted.iter().filter(|mounted| !config.ignore_filesystems.contains(&mounted.filesystem)) {
        let labels = Labels::new()
            .with("mount", &*mounted.mount)
            .with("filesystem", &*mounted.filesystem)
            .with("device", &*mounted.device);
        unreachable.push(labels.clone(), if mounted.space.is_none() { 1.0 } else { 0.0 });
        let Some(space) = &mounted.space else {
            disks.unreachable.push(mounted.mount.clone());
            continue;
        };
        let full = used_percent(space);
        read_only.push(labels.clone(), if mounted.read_only { 1.0 } else { 0.0 });
        total.push(labels.clone(), float(space.total_bytes));
        free.push(labels.clone(), float(space.free_bytes));
        available.push(labels.clone(), float(space.available_bytes));
        used.push(labels.clone(), full);
        // Some have no fixed number of them.
        if space.inodes_total > 0 {
            inodes.push(labels.clone(), float(space.inodes_total));
            inodes_free.push(labels.clone(), float(space.inodes_free));
            let used = space.inodes_total.saturating_sub(space.inodes_free);
            inodes_used.push(labels, percent(used, space.inodes_total));
        }
        if disks.fullest.as_ref().is_none_or(|(_, other)| full > *other) {
            disks.fullest = Some((mounted.mount.clone(), full));
        }
    }
    families.extend([total, free, available, used, inodes, inodes_free, inodes_used, read_only, unreachable]);
    disks
}

/// As `df` has it: what is kept for root is neither used nor there for anybody.
fn used_percent(space: &Space) -> f64 {
    let used = space.total_bytes.saturating_sub(space.free_bytes);
    percent(used, used.saturating_add(space.available_bytes))
}

/// A device has one pair of counters, however often it is mounted.
fn traffic(config: &Config, snapshot: &Snapshot, families: &mut Vec<Family>) {
    let mut read = Family::counter("disk_read_bytes_total", "Read from the device");
    let mut written = Family::counter("disk_written_bytes_total", "Written to the device");
    let mut devices = BTreeSet::new();
    for disk in snapshot.disks.iter().filter(|disk| !config.ignore_filesystems.contains(&disk.filesystem)) {
        if devices.insert(disk.name.as_str()) {
            let labels = Labels::new().with("device", &*disk.name);
            read.push(labels.clone(), float(disk.read_bytes));
            written.push(labels, float(disk.written_bytes));
        }
    }
    families.extend([read, written]);
}

/// Name, help, and which figure it is.
type NetworkColumn = (&'static str, &'static str, fn(&system::Network) -> u64);

fn networks(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let columns: [NetworkColumn; 6] = [
        ("network_received_bytes_total", "Bytes in", |network| network.received_bytes),
        ("network_transmitted_bytes_total", "Bytes out", |network| network.transmitted_bytes),
        ("network_received_packets_total", "Packets in", |network| network.received_packets),
        ("network_transmitted_packets_total", "Packets out", |network| network.transmitted_packets),
        ("network_receive_errors_total", "Packets that came in damaged", |network| network.receive_errors),
        ("network_transmit_errors_total", "Packets that could not be sent", |network| network.transmit_errors),
    ];
    for (name, help, value) in columns {
        let mut family = Family::counter(name, help);
        for network in &snapshot.networks {
            family.push(Labels::new().with("interface", &*network.name), float(value(network)));
        }
        families.push(family);
    }
}

/// What the processes of one name use together. Without their numbers: each would be a series of its own, for as long as it lives.
#[derive(Default)]
struct Processes {
    count: u32,
    cpu_percent: f64,
    memory_bytes: u64,
}

fn processes(config: &Config, snapshot: &Snapshot, families: &mut Vec<Family>) {
    families.push(Family::gauge("process_count", "Processes in all").value(f64::from(snapshot.process_count)));
    let mut named: BTreeMap<&str, Processes> = BTreeMap::new();
    for process in &snapshot.top_processes {
        let all = named.entry(common_name(&process.name)).or_default();
        all.count = all.count.saturating_add(1);
        all.cpu_percent += process.cpu_percent;
        all.memory_bytes = all.memory_bytes.saturating_add(process.memory_bytes);
    }
    let mut busiest: Vec<_> = named.into_iter().collect();
    busiest.sort_by(|(_, a), (_, b)| b.cpu_percent.total_cmp(&a.cpu_percent).then(b.memory_bytes.cmp(&a.memory_bytes)));
    let mut cpu = Family::gauge("process_cpu_percent", "Of one core, of the busiest processes, summed by name");
    let mut resident = Family::gauge("process_memory_bytes", "Resident, of the busiest processes, summed by name");
    let mut count = Family::gauge("process_instances", "How many of the busiest processes bear the name");
    for (name, all) in busiest.into_iter().take(usize::try_from(config.top_processes).unwrap_or(usize::MAX)) {
        let labels = Labels::new().with("process", name);
        cpu.push(labels.clone(), all.cpu_percent);
        resident.push(labels.clone(), float(all.memory_bytes));
        count.push(labels, f64::from(all.count));
    }
    families.extend([cpu, resident, count]);
}

/// Threads of the kernel have numbers in their names: `kworker/0:1-events`, `ksoftirqd/3`.
fn common_name(name: &str) -> &str {
    match name.split_once('/') {
        Some((stem, rest)) if rest.starts_with(|c: char| c.is_ascii_digit() || c == 'u') => stem,
        _ => name,
    }
}

fn vitals(snapshot: &Snapshot, now_ms: i64, families: &mut Vec<Family>) {
    let now_s = u64::try_from(now_ms / 1000).unwrap_or(0);
    let up = if snapshot.boot_time_s == 0 { 0 } else { now_s.saturating_sub(snapshot.boot_time_s) };
    families.push(Family::gauge("host_uptime_seconds", "Since the machine came up").value(float(up)));
    let host = &snapshot.host;
    let mut gauge = |name: &str, help: &str, value: f64| families.push(Family::gauge(name, help).value(value));
    gauge("quarterdeck_cpu_percent", "Of one core, used by the host", host.cpu_percent);
    gauge("quarterdeck_memory_bytes", "Resident, of the host", float(host.memory_bytes));
    gauge("quarterdeck_uptime_seconds", "Since the host's start", float(host.uptime_seconds));
    gauge("quarterdeck_instances", "Instances of plugins", f64::from(host.instances));
    gauge("quarterdeck_outbox_depth", "Effects that wait for their delivery", float(host.outbox_depth));
    let mut counter =
        |name: &str, help: &str, value: u64| families.push(Family::counter(name, help).value(float(value)));
    counter("quarterdeck_calls_total", "Calls of plugins", host.calls);
    counter("quarterdeck_call_failures_total", "Calls of plugins that failed", host.call_failures);
    counter("quarterdeck_events_total", "Events in the log", host.log_offset);
}

fn health(config: &Config, snapshot: &Snapshot, disks: &Disks) -> Health {
    let mut troubles = Vec::new();
    let memory = memory_percent(snapshot);
    if memory > config.memory_percent {
        troubles.push(format!("memory is {memory:.1} % used"));
    }
    if let Some((mount, full)) = disks.fullest.as_ref().filter(|(_, full)| *full > config.disk_percent) {
        troubles.push(format!("{mount} is {full:.1} % full"));
    }
    if !disks.unreachable.is_empty() {
        let verb = if disks.unreachable.len() == 1 { "does" } else { "do" };
        troubles.push(format!("{} {verb} not answer", disks.unreachable.join(", ")));
    }
    if !troubles.is_empty() {
        return Health::degraded(troubles.join(", "));
    }
    Health::ok(format!("CPU {:.1} %, memory {memory:.1} %", snapshot.cpu_usage_percent))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) * 100.0 }
}

/// Exact below 2^53, which is eight pebibytes.
fn float(value: u64) -> f64 {
    value as f64
}

quarterdeck_sdk::export!(System: collector);

#[cfg(test)]
mod tests;
