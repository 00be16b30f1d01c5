"""Facts about the machine that the host runs on."""

from dataclasses import dataclass, field, replace

from quarterdeck_sdk.host import Door

_DOOR = Door("system")


@dataclass
class Cpu:
    """One processor."""

    name: str
    usage_percent: float = 0.0
    frequency_mhz: int = 0


@dataclass
class Memory:
    """Of the whole machine."""

    total_bytes: int = 0
    used_bytes: int = 0
    available_bytes: int = 0
    swap_total_bytes: int = 0
    swap_used_bytes: int = 0


@dataclass
class Load:
    """Means over minutes."""

    one: float = 0.0
    five: float = 0.0
    fifteen: float = 0.0


@dataclass
class Disk:
    """One mounted file system."""

    name: str
    mount: str
    filesystem: str = ""
    total_bytes: int = 0
    available_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


@dataclass
class Network:
    """Counters since the interface came up."""

    name: str
    received_bytes: int = 0
    transmitted_bytes: int = 0
    received_packets: int = 0
    transmitted_packets: int = 0
    receive_errors: int = 0
    transmit_errors: int = 0


@dataclass
class Temperature:
    """One sensor."""

    name: str
    celsius: float
    critical_celsius: float | None = None


@dataclass
class Process:
    """One process."""

    pid: int
    name: str
    cpu_percent: float = 0.0
    memory_bytes: int = 0


@dataclass
class Vitals:
    """The host itself."""

    cpu_percent: float = 0.0
    memory_bytes: int = 0
    uptime_seconds: int = 0
    instances: int = 0
    calls: int = 0
    call_failures: int = 0
    log_offset: int = 0
    outbox_depth: int = 0


@dataclass
class Snapshot:
    """Everything at once, so that figures belong together."""

    cpus: list[Cpu] = field(default_factory=list)
    cpu_usage_percent: float = 0.0
    memory: Memory = field(default_factory=Memory)
    load: Load = field(default_factory=Load)
    disks: list[Disk] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    temperatures: list[Temperature] = field(default_factory=list)
    process_count: int = 0
    #: By CPU, as many as were asked for.
    top_processes: list[Process] = field(default_factory=list)
    #: Seconds since 1970.
    boot_time_s: int = 0
    host: Vitals = field(default_factory=Vitals)


@dataclass
class Space:
    """What a file system holds."""

    total_bytes: int = 0
    #: All free blocks.
    free_bytes: int = 0
    #: Those of them that are not kept for root.
    available_bytes: int = 0
    #: Zero where their number is not fixed.
    inodes_total: int = 0
    inodes_free: int = 0


@dataclass
class FileSystem:
    """One that is mounted."""

    #: `/dev/sda1`, `server:/export`.
    device: str
    mount: str
    #: `ext4`, `nfs4`.
    filesystem: str = ""
    read_only: bool = False
    #: `None`: it does not answer, as a network file system whose server is gone. It is not waited for.
    space: Space | None = None


_snapshot = _DOOR.inward("take", Snapshot)


def take(top: int) -> Snapshot:
    """The machine as it is. `top` bounds the processes, by CPU."""
    return _DOOR(
        lambda wit: _snapshot(wit.take(top)),
        lambda host: replace(host.machine(), top_processes=host.machine().top_processes[:top]),
    )


_file_systems = _DOOR.inward("file_systems", list[FileSystem])


def file_systems() -> list[FileSystem]:
    """Those that are mounted and hold something, network ones too, by mount."""
    return _DOOR(
        lambda wit: _file_systems(wit.file_systems()),
        lambda host: list(host.mounted()),
    )
