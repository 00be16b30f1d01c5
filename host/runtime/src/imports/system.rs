//! `system`: facts about the machine. One reading serves all plugins, and is made at most once a second.

use crate::bindings::host::errors::Error;
use crate::bindings::host::system as wit;
use crate::imports::file_systems::{Mount, Reading, Traffic};
use crate::imports::{Vitals, policy};
use crate::sandbox::{Capability, Sandbox};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sysinfo::{Components, CpuRefreshKind, MemoryRefreshKind, Networks, ProcessRefreshKind, ProcessesToUpdate, System};

const FRESH_FOR: Duration = Duration::from_secs(1);
/// Processes that a reading keeps, by CPU.
const TOP: usize = 2048;

/// The machine, as last read. Its file systems are read beside it (`file_systems`): they may hang.
#[derive(Default)]
pub(super) struct Machine(Mutex<State>);

#[derive(Default)]
struct State {
    tools: Option<Tools>,
    last: Option<(Instant, Arc<Facts>)>,
}

struct Tools {
    system: System,
    networks: Networks,
    components: Components,
}

/// Everything but the host's own figures, which are asked for anew.
struct Facts {
    cpus: Vec<wit::Cpu>,
    cpu_usage_percent: f64,
    memory: wit::Memory,
    load: wit::Load,
    networks: Vec<wit::Network>,
    temperatures: Vec<wit::Temperature>,
    process_count: u32,
    top: Vec<wit::Process>,
    boot_time_s: u64,
}

impl Machine {
    /// Blocks for some milliseconds, the first time for a quarter of a second: usage is a difference of two readings.
    fn read(&self) -> Arc<Facts> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, facts)) = &state.last
            && at.elapsed() < FRESH_FOR
        {
            return facts.clone();
        }
        let tools = state.tools.get_or_insert_with(Tools::new);
        let facts = Arc::new(tools.read());
        state.last = Some((Instant::now(), facts.clone()));
        facts
    }
}

impl Tools {
    fn new() -> Self {
        // Else a descriptor per process of the machine stays open.
        sysinfo::set_open_files_limit(0);
        let mut tools = Tools {
            system: System::new(),
            networks: Networks::new_with_refreshed_list(),
            components: Components::new_with_refreshed_list(),
        };
        tools.refresh_usage();
        std::thread::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL + Duration::from_millis(50));
        tools
    }

    fn refresh_usage(&mut self) {
        self.system.refresh_cpu_specifics(CpuRefreshKind::everything());
        let kind = ProcessRefreshKind::nothing().without_tasks().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    }

    fn read(&mut self) -> Facts {
        self.refresh_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::everything());
        self.networks.refresh(true);
        self.components.refresh(true);
        let load = System::load_average();
        Facts {
            cpus: self
                .system
                .cpus()
                .iter()
                .map(|cpu| wit::Cpu {
                    name: cpu.name().to_owned(),
                    usage_percent: finite(cpu.cpu_usage()),
                    frequency_mhz: cpu.frequency(),
                })
                .collect(),
            cpu_usage_percent: finite(self.system.global_cpu_usage()),
            memory: wit::Memory {
                total_bytes: self.system.total_memory(),
                used_bytes: self.system.used_memory(),
                available_bytes: self.system.available_memory(),
                swap_total_bytes: self.system.total_swap(),
                swap_used_bytes: self.system.used_swap(),
            },
            load: wit::Load { one: load.one, five: load.five, fifteen: load.fifteen },
            networks: self.networks(),
            temperatures: self
                .components
                .iter()
                .filter_map(|component| {
                    Some(wit::Temperature {
                        name: component.label().to_owned(),
                        celsius: component.temperature().filter(|degrees| degrees.is_finite()).map(f64::from)?,
                        critical_celsius: component.critical().filter(|degrees| degrees.is_finite()).map(f64::from),
                    })
                })
                .collect(),
            process_count: u32::try_from(self.system.processes().len()).unwrap_or(u32::MAX),
            top: self.top(),
            boot_time_s: System::boot_time(),
        }
    }

    fn networks(&self) -> Vec<wit::Network> {
        let mut networks: Vec<wit::Network> = self
            .networks
            .iter()
            .map(|(name, data)| wit::Network {
                name: name.clone(),
                received_bytes: data.total_received(),
                transmitted_bytes: data.total_transmitted(),
                received_packets: data.total_packets_received(),
                transmitted_packets: data.total_packets_transmitted(),
                receive_errors: data.total_errors_on_received(),
                transmit_errors: data.total_errors_on_transmitted(),
            })
            .collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        networks
    }

    fn top(&self) -> Vec<wit::Process> {
        let mut all: Vec<_> = self.system.processes().values().collect();
        all.sort_by(|a, b| b.cpu_usage().total_cmp(&a.cpu_usage()).then(b.memory().cmp(&a.memory())));
        all.into_iter()
            .take(TOP)
            .map(|process| wit::Process {
                pid: process.pid().as_u32(),
                name: process.name().to_string_lossy().into_owned(),
                cpu_percent: finite(process.cpu_usage()),
                memory_bytes: process.memory(),
            })
            .collect()
    }
}

fn finite(value: f32) -> f64 {
    if value.is_finite() { f64::from(value) } else { 0.0 }
}

/// A disk that is mounted twice is listed twice, under either path. One that does not answer is left out.
fn disks(reading: &Reading) -> Vec<wit::Disk> {
    let traffic = Traffic::read();
    let disk = |(mount, space): &(Mount, Option<wit::Space>)| {
        let space = (*space)?;
        let (read_bytes, written_bytes) = traffic.on(mount);
        Some(wit::Disk {
            name: mount.device.clone(),
            mount: mount.path.clone(),
            filesystem: mount.filesystem.clone(),
            total_bytes: space.total_bytes,
            available_bytes: space.available_bytes,
            read_bytes,
            written_bytes,
        })
    };
    reading.iter().filter_map(disk).collect()
}

fn file_system((mount, space): &(Mount, Option<wit::Space>)) -> wit::FileSystem {
    wit::FileSystem {
        device: mount.device.clone(),
        mount: mount.path.clone(),
        filesystem: mount.filesystem.clone(),
        read_only: mount.read_only,
        space: *space,
    }
}

fn snapshot(facts: &Facts, disks: Vec<wit::Disk>, top: u32, vitals: Vitals) -> wit::Snapshot {
    wit::Snapshot {
        cpus: facts.cpus.clone(),
        cpu_usage_percent: facts.cpu_usage_percent,
        memory: facts.memory,
        load: facts.load,
        disks,
        networks: facts.networks.clone(),
        temperatures: facts.temperatures.clone(),
        process_count: facts.process_count,
        top_processes: facts.top.iter().take(usize::try_from(top).unwrap_or(TOP)).cloned().collect(),
        boot_time_s: facts.boot_time_s,
        host: wit::Vitals {
            cpu_percent: vitals.cpu_percent,
            memory_bytes: vitals.memory_bytes,
            uptime_seconds: vitals.uptime_seconds,
            instances: vitals.instances,
            calls: vitals.calls,
            call_failures: vitals.call_failures,
            log_offset: vitals.log_offset,
            outbox_depth: vitals.outbox_depth,
        },
    }
}

impl wit::Host for Sandbox {
    async fn take(&mut self, top: u32) -> wasmtime::Result<Result<wit::Snapshot, Error>> {
        let (machine, vitals) = (self.doors.machine.clone(), self.doors.vitals.clone());
        let file_systems = self.doors.file_systems.clone();
        Ok(read_within(self, move || {
            let disks = disks(&file_systems.read()?);
            Ok(snapshot(&machine.read(), disks, top, vitals()))
        })
        .await)
    }

    async fn file_systems(&mut self) -> wasmtime::Result<Result<Vec<wit::FileSystem>, Error>> {
        let file_systems = self.doors.file_systems.clone();
        Ok(read_within(self, move || Ok(file_systems.read()?.iter().map(file_system).collect())).await)
    }
}

async fn read_within<T: Send + 'static>(
    sandbox: &mut Sandbox,
    read: impl FnOnce() -> Result<T, std::io::Error> + Send + 'static,
) -> Result<T, Error> {
    sandbox.ask(Capability::System, String::new, |grants| policy::flag(grants.system, Capability::System))?;
    let reading = sandbox.doors.runtime.spawn_blocking(read);
    let read = tokio::time::timeout_at(sandbox.patience.into(), reading).await;
    let read = read.map_err(|_| Error::Failed("not read within the time of the call".to_owned()))?;
    read.map_err(|error| Error::Failed(error.to_string()))?.map_err(|error| Error::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::host::system::Host;
    use crate::imports::testing::{Fixture, grants};

    #[tokio::test]
    async fn a_snapshot_shows_this_machine() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.system = true));
        let snapshot = sandbox.take(3).await.unwrap().unwrap();
        assert!(!snapshot.cpus.is_empty());
        assert!(snapshot.memory.total_bytes >= snapshot.memory.available_bytes);
        assert!(snapshot.memory.total_bytes > 0);
        assert!(snapshot.top_processes.len() <= 3 && !snapshot.top_processes.is_empty());
        assert!(snapshot.process_count > 0);
        let root = snapshot.disks.iter().find(|disk| disk.mount == "/").unwrap();
        let mounted = sandbox.file_systems().await.unwrap().unwrap();
        let mounted = mounted.into_iter().find(|mounted| mounted.mount == "/").unwrap();
        assert_eq!((&mounted.device, mounted.space.unwrap().total_bytes), (&root.name, root.total_bytes));
        assert_eq!(snapshot.host.instances, 7);
        let began = Instant::now();
        sandbox.take(1).await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_millis(200), "the second one comes from memory");
        let mut other = fixture.sandbox(grants(|_| ()));
        assert!(matches!(other.take(1).await.unwrap(), Err(Error::Denied(_))));
        assert!(matches!(other.file_systems().await.unwrap(), Err(Error::Denied(_))));
    }
}
