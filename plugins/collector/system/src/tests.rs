use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::host::system::{Cpu, Disk, Memory, Network, Process, Temperature};
use quarterdeck_sdk::testing::FakeHost;

fn config() -> Config {
    quarterdeck_sdk::serde_json::from_str("{}").unwrap()
}

fn machine() -> Snapshot {
    Snapshot {
        cpus: vec![Cpu { name: "cpu0".into(), usage_percent: 25.0, frequency_mhz: 0 }],
        cpu_usage_percent: 12.5,
        memory: Memory { total_bytes: 1000, used_bytes: 700, available_bytes: 600, ..Memory::default() },
        disks: vec![
            disk("/dev/a", "/", "ext4"),
            disk("/dev/a", "/home", "ext4"),
            disk("/dev/loop0", "/snap", "squashfs"),
        ],
        networks: vec![Network { name: "eth0".into(), received_bytes: 7, ..Network::default() }],
        top_processes: vec![Process { pid: 3, name: "a".into(), cpu_percent: 150.0, memory_bytes: 9 }],
        process_count: 42,
        boot_time_s: 1_000,
        ..Snapshot::default()
    }
}

fn disk(name: &str, mount: &str, filesystem: &str) -> Disk {
    Disk {
        name: name.into(),
        mount: mount.into(),
        filesystem: filesystem.into(),
        total_bytes: 100,
        available_bytes: 50,
        read_bytes: 1,
        written_bytes: 2,
    }
}

/// Of 100 bytes: what is free, and what of it a user can have.
fn mounted(mount: &str, filesystem: &str, free_bytes: u64, available_bytes: u64) -> FileSystem {
    FileSystem {
        device: "/dev/a".into(),
        mount: mount.into(),
        filesystem: filesystem.into(),
        read_only: false,
        space: Some(Space { total_bytes: 100, free_bytes, available_bytes, inodes_total: 10, inodes_free: 4 }),
    }
}

fn on(mount: &str) -> Labels {
    Labels::new().with("mount", mount).with("filesystem", "ext4").with("device", "/dev/a")
}

#[test]
fn every_figure_of_the_snapshot_is_reported() {
    let collected = describe(&config(), &machine(), &[], 61_000_000);
    let value = |name: &str, labels: Labels| collected.value(name, &labels);
    assert_eq!(value("cpu_usage_percent", Labels::new()), Some(12.5));
    assert_eq!(value("cpu_core_usage_percent", Labels::new().with("core", "cpu0")), Some(25.0));
    assert_eq!(value("memory_used_percent", Labels::new()), Some(40.0));
    assert_eq!(value("network_received_bytes_total", Labels::new().with("interface", "eth0")), Some(7.0));
    assert_eq!(value("process_cpu_percent", Labels::new().with("process", "a")), Some(150.0));
    assert_eq!(value("host_uptime_seconds", Labels::new()), Some(60_000.0));
    assert_eq!(value("swap_used_percent", Labels::new()), Some(0.0));
    assert_eq!(collected.health.state, State::Ok);
}

#[test]
fn a_device_that_is_mounted_twice_has_one_pair_of_counters_and_pseudo_file_systems_are_left_out() {
    let file_systems =
        [mounted("/", "ext4", 50, 50), mounted("/home", "ext4", 50, 50), mounted("/snap", "squashfs", 0, 0)];
    let collected = describe(&config(), &machine(), &file_systems, 0);
    let count = |name: &str| collected.families.iter().find(|f| f.name == name).map_or(0, |f| f.values.len());
    assert_eq!(count("disk_used_percent"), 2);
    assert_eq!(count("disk_read_bytes_total"), 1);
}

#[test]
fn full_memory_and_a_full_disk_degrade_the_machine_and_are_named() {
    let mut snapshot = machine();
    snapshot.memory.available_bytes = 10;
    let file_systems = [mounted("/", "ext4", 50, 50), mounted("/var", "ext4", 1, 1)];
    let health = describe(&config(), &snapshot, &file_systems, 0).health;
    assert_eq!(health.state, State::Degraded);
    assert_eq!(health.message, "memory is 99.0 % used, /var is 99.0 % full");
}

#[test]
fn what_is_kept_for_root_is_neither_used_nor_free_as_df_has_it() {
    // 20 used, 60 kept for root, 20 for users.
    let collected = describe(&config(), &machine(), &[mounted("/", "ext4", 80, 20)], 0);
    let value = |name: &str| collected.value(name, &on("/"));
    assert_eq!(value("disk_used_percent"), Some(50.0));
    assert_eq!((value("disk_free_bytes"), value("disk_available_bytes")), (Some(80.0), Some(20.0)));
    assert_eq!((value("disk_inodes_used_percent"), value("disk_inodes_free")), (Some(60.0), Some(4.0)));
    assert_eq!((value("disk_read_only"), value("disk_unreachable")), (Some(0.0), Some(0.0)));
    assert_eq!(collected.health.state, State::Ok);
}

#[test]
fn a_mount_that_does_not_answer_is_named_and_takes_no_other_figure_along() {
    let hung = FileSystem { space: None, ..mounted("/mnt/nas", "ext4", 0, 0) };
    let endless = FileSystem {
        space: Some(Space { inodes_total: 0, ..mounted("/", "ext4", 50, 50).space.unwrap() }),
        ..mounted("/", "ext4", 50, 50)
    };
    let collected = describe(&config(), &machine(), &[endless, hung], 0);
    assert_eq!(collected.value("disk_unreachable", &on("/mnt/nas")), Some(1.0));
    assert_eq!(collected.value("disk_used_percent", &on("/mnt/nas")), None);
    assert_eq!(collected.value("disk_used_percent", &on("/")), Some(50.0));
    assert_eq!(collected.value("disk_inodes_total", &on("/")), None, "it has no fixed number");
    assert_eq!(collected.health.state, State::Degraded);
    assert_eq!(collected.health.message, "/mnt/nas does not answer");
}

#[test]
fn sensors_of_one_name_stay_apart() {
    let mut snapshot = machine();
    let sensor = |celsius| Temperature { name: "core".into(), celsius, critical_celsius: None };
    snapshot.temperatures = vec![sensor(40.0), sensor(50.0), sensor(f64::NAN)];
    let collected = describe(&config(), &snapshot, &[], 0);
    assert_eq!(collected.value("temperature_celsius", &Labels::new().with("sensor", "core 2")), Some(50.0));
}

#[test]
fn the_snapshot_comes_from_the_host_and_its_refusal_is_a_failure() {
    let host = FakeHost { system: Some(machine()), file_systems: Some(Vec::new()), ..FakeHost::default() };
    let (collected, _) = host.run(|| System::collect(&config(), 0));
    assert!(collected.is_ok());
    assert!(System::collect(&config(), 0).is_err());
}

#[test]
fn processes_of_one_name_are_one_series_however_many_come_and_go() {
    let process =
        |pid, name: &str, cpu_percent, memory_bytes| Process { pid, name: name.into(), cpu_percent, memory_bytes };
    let mut snapshot = machine();
    snapshot.top_processes = vec![
        process(1, "worker", 40.0, 10),
        process(2, "busy", 50.0, 1),
        process(3, "worker", 30.0, 20),
        process(4, "kworker/0:1-events", 3.0, 0),
        process(5, "kworker/u8:2", 2.0, 0),
        process(6, "idle", 0.0, 5),
    ];
    let three: Config = quarterdeck_sdk::serde_json::from_str(r#"{"top-processes":3}"#).unwrap();
    let collected = describe(&three, &snapshot, &[], 0);
    let value = |name: &str, process: &str| collected.value(name, &Labels::new().with("process", process));
    assert_eq!(value("process_cpu_percent", "worker"), Some(70.0));
    assert_eq!(value("process_memory_bytes", "worker"), Some(30.0));
    assert_eq!(value("process_instances", "worker"), Some(2.0));
    assert_eq!(value("process_cpu_percent", "kworker"), Some(5.0));
    assert_eq!(value("process_cpu_percent", "idle"), None, "only the busiest");
    let family = collected.families.iter().find(|family| family.name == "process_cpu_percent").unwrap();
    assert_eq!(family.labels[0].get("process"), Some("worker"), "the busiest in front");
}
