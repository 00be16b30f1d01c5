//! Facts about the machine that the host runs on.

use crate::host::Error;

/// Everything at once, so that figures belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// One per core.
    pub cpus: Vec<Cpu>,
    /// Of all cores together, 0 to 100.
    pub cpu_usage_percent: f64,
    /// Memory and swap.
    pub memory: Memory,
    /// Load averages.
    pub load: Load,
    /// One per mounted file system.
    pub disks: Vec<Disk>,
    /// One per interface.
    pub networks: Vec<Network>,
    /// One per sensor; a virtual machine has none.
    pub temperatures: Vec<Temperature>,
    /// Processes in all.
    pub process_count: u32,
    /// Those that use the CPU most, first.
    pub top_processes: Vec<Process>,
    /// When the machine came up, seconds since 1970.
    pub boot_time_s: u64,
    /// The host itself.
    pub host: Vitals,
}

/// A core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// `cpu0`.
    pub name: String,
    /// 0 to 100.
    pub usage_percent: f64,
    /// Now.
    pub frequency_mhz: u64,
}

/// Memory and swap, in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Installed.
    pub total_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// What programs could still have.
    pub available_bytes: u64,
    /// Zero without swap.
    pub swap_total_bytes: u64,
    /// In use.
    pub swap_used_bytes: u64,
}

/// Load averages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Over a minute.
    pub one: f64,
    /// Over five.
    pub five: f64,
    /// Over fifteen.
    pub fifteen: f64,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// The device.
    pub name: String,
    /// Where it is mounted.
    pub mount: String,
    /// `ext4`.
    pub filesystem: String,
    /// Size.
    pub total_bytes: u64,
    /// What a user could still have.
    pub available_bytes: u64,
    /// Counter.
    pub read_bytes: u64,
    /// Counter.
    pub written_bytes: u64,
}

/// A network interface; counters since it came up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// `eth0`.
    pub name: String,
    /// Counter.
    pub received_bytes: u64,
    /// Counter.
    pub transmitted_bytes: u64,
    /// Counter.
    pub received_packets: u64,
    /// Counter.
    pub transmitted_packets: u64,
    /// Counter.
    pub receive_errors: u64,
    /// Counter.
    pub transmit_errors: u64,
}

/// A sensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Temperature {
    /// As the machine names it.
    pub name: String,
    /// Now.
    pub celsius: f64,
    /// Where the machine would switch itself off.
    pub critical_celsius: Option<f64>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program's name.
    pub name: String,
    /// Of one core: may be above 100.
    pub cpu_percent: f64,
    /// Resident.
    pub memory_bytes: u64,
}

/// The host itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Of one core: may be above 100.
    pub cpu_percent: f64,
    /// Resident.
    pub memory_bytes: u64,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Instances of plugins.
    pub instances: u32,
    /// Calls of plugins since the start.
    pub calls: u64,
    /// Those of them that failed.
    pub call_failures: u64,
    /// Of the newest event.
    pub log_offset: u64,
    /// Effects that wait for their delivery.
    pub outbox_depth: u64,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// `/dev/sda1`, `server:/export`.
    pub device: String,
    /// Where it is mounted.
    pub mount: String,
    /// `ext4`, `nfs4`.
    pub filesystem: String,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// `None`: it does not answer, as a network file system whose server is gone. It is not waited for.
    pub space: Option<Space>,
}

/// What a file system holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Size.
    pub total_bytes: u64,
    /// All free blocks.
    pub free_bytes: u64,
    /// Those of them that are not kept for root.
    pub available_bytes: u64,
    /// Zero where their number is not fixed.
    pub inodes_total: u64,
    /// Of those.
    pub inodes_free: u64,
}

/// Those that are mounted and hold something, network ones too, by mount.
pub fn file_systems() -> Result<Vec<FileSystem>, Error> {
    #[cfg(target_family = "wasm")]
    {
        use crate::mirror::Mirror;
        wit::file_systems().map(Mirror::mirror).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| host.file_systems.clone().ok_or_else(Error::no_host))
}

/// Everything at once. `top` bounds the processes, by CPU.
pub fn take(top: u32) -> Result<Snapshot, Error> {
    #[cfg(target_family = "wasm")]
    {
        use crate::mirror::Mirror;
        wit::take(top).map(Mirror::mirror).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let mut snapshot = host.system.clone().ok_or_else(Error::no_host)?;
        snapshot.top_processes.truncate(usize::try_from(top).unwrap_or(usize::MAX));
        Ok(snapshot)
    })
}

#[cfg(target_family = "wasm")]
use crate::bindings::imports::quarterdeck::host::system as wit;

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct wit::Cpu => Cpu { name, usage_percent, frequency_mhz }
    struct wit::Memory => Memory { total_bytes, used_bytes, available_bytes, swap_total_bytes, swap_used_bytes }
    struct wit::Load => Load { one, five, fifteen }
    struct wit::Disk => Disk { name, mount, filesystem, total_bytes, available_bytes, read_bytes, written_bytes }
    struct wit::Network => Network {
        name, received_bytes, transmitted_bytes, received_packets, transmitted_packets, receive_errors, transmit_errors,
    }
    struct wit::Temperature => Temperature { name, celsius, critical_celsius }
    struct wit::Space => Space { total_bytes, free_bytes, available_bytes, inodes_total, inodes_free }
    struct wit::FileSystem => FileSystem { device, mount, filesystem, read_only, space }
    struct wit::Process => Process { pid, name, cpu_percent, memory_bytes }
    struct wit::Vitals => Vitals {
        cpu_percent, memory_bytes, uptime_seconds, instances, calls, call_failures, log_offset, outbox_depth,
    }
    struct wit::Snapshot => Snapshot {
        cpus, cpu_usage_percent, memory, load, disks, networks, temperatures, process_count, top_processes, boot_time_s,
        host,
    }
}
