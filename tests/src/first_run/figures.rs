//! What there is to see after a start with no set-up. The benchmark of the daemon waits for the same.

/// Figures of the machine, of the host and of the probe.
pub(crate) const FIGURES: [&str; 23] = [
    "cpu_usage_percent",
    "cpu_core_usage_percent",
    "memory_used_percent",
    "memory_total_bytes",
    "swap_total_bytes",
    "load1",
    "load5",
    "load15",
    "disk_used_percent",
    "disk_total_bytes",
    "disk_free_bytes",
    "disk_unreachable",
    "network_received_bytes_total",
    "network_transmitted_bytes_total",
    "process_count",
    "process_cpu_percent",
    "process_memory_bytes",
    "quarterdeck_memory_bytes",
    "quarterdeck_cpu_percent",
    "probe_success",
    "probe_duration_seconds",
    "probe_http_status_code",
    "probe_body_matches",
];
