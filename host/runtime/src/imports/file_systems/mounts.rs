//! `/proc/self/mountinfo` and `/proc/diskstats`. Neither asks a file system. Elsewhere than on Linux there is nothing.

use std::collections::{BTreeMap, HashMap};

const MOST: usize = 256;
/// The kernel's own, images that are always full, and what mounts others when it is looked at.
const OWN: [&str; 15] = [
    "rootfs",
    "sysfs",
    "proc",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "pstore",
    "mqueue",
    "debugfs",
    "tracefs",
    "rpc_pipefs",
    "squashfs",
    "iso9660",
    "autofs",
];
const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// No two mounts have it at one time.
    pub(crate) id: u64,
    /// `8:1`
    pub(crate) numbers: String,
    pub(crate) path: String,
    pub(crate) device: String,
    pub(crate) filesystem: String,
    pub(crate) read_only: bool,
}

/// In the order of their paths.
pub(super) fn mounted() -> Vec<Mount> {
    std::fs::read("/proc/self/mountinfo").map(|text| shown(&String::from_utf8_lossy(&text))).unwrap_or_default()
}

fn shown(text: &str) -> Vec<Mount> {
    // One that is mounted over another in its place hides it: the last counts.
    let places: BTreeMap<String, Mount> =
        text.lines().filter_map(read).map(|mount| (mount.path.clone(), mount)).collect();
    places.into_values().filter(holds_something).take(MOST).collect()
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw`
fn read(line: &str) -> Option<Mount> {
    let (own, of_it) = line.split_once(" - ")?;
    let mut own = own.split(' ');
    let id = own.next()?.parse().ok()?;
    let numbers = own.nth(1)?.to_owned();
    let path = unescaped(own.nth(1)?);
    let options = own.next()?;
    let mut of_it = of_it.split(' ');
    let filesystem = of_it.next()?.to_owned();
    let device = unescaped(of_it.next().unwrap_or_default());
    let is_set = |options: &str| options.split(',').any(|option| option == "ro");
    let read_only = is_set(options) || of_it.next().is_some_and(is_set);
    Some(Mount { id, numbers, path, device, filesystem, read_only })
}

fn holds_something(mount: &Mount) -> bool {
    let below =
        |folder: &str| mount.path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_run = below("/run") && !below("/run/media");
    !OWN.contains(&&*mount.filesystem) && !below("/sys") && !below("/proc") && !is_run
}

/// Spaces, tabs, line ends and backslashes stand there in octal.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes that were read from and written to each device, by its name and its numbers.
#[derive(Default)]
pub(crate) struct Traffic(HashMap<String, (u64, u64)>);

impl Traffic {
    pub(crate) fn read() -> Self {
        Traffic::of(&std::fs::read_to_string("/proc/diskstats").unwrap_or_default())
    }

    /// `8 1 sda1 reads merged sectors ms writes merged sectors ...`
    fn of(text: &str) -> Self {
        let mut known = HashMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let bytes = |at: usize| fields.get(at)?.parse::<u64>().ok()?.checked_mul(SECTOR_BYTES);
            if let ([major, minor, name, ..], Some(read), Some(written)) = (fields.as_slice(), bytes(5), bytes(9)) {
                known.insert(format!("{major}:{minor}"), (read, written));
                known.insert((*name).to_owned(), (read, written));
            }
        }
        Traffic(known)
    }

    /// A mount's device is named by a path that may be a link (`/dev/mapper/data`).
    pub(crate) fn on(&self, mount: &Mount) -> (u64, u64) {
        let real = mount.device.starts_with("/dev/").then(|| std::fs::canonicalize(&mount.device).ok()).flatten();
        let name = real.as_ref().and_then(|path| path.strip_prefix("/dev").ok()).and_then(|name| name.to_str());
        let found = name.and_then(|name| self.0.get(name)).or_else(|| self.0.get(&mount.numbers));
        found.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_shown_and_the_kernels_own_and_automounters_are_not() {
        let text = "\
            21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n\
            22 21 0:5 / /proc rw - proc proc rw\n\
            23 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n\
            24 21 0:31 / /home rw - autofs auto.home rw\n\
            25 24 0:40 / /home rw - nfs4 nas:/home rw\n\
            26 21 0:41 / /mnt/a\\040b ro - cifs //nas/share rw\n\
            27 21 0:42 / /srv/ssh rw - fuse.sshfs user@host: ro\n\
            28 21 0:43 / /run/user/0 rw - tmpfs tmpfs rw\n\
            29 21 0:44 / /run/media/me/stick rw - vfat /dev/sdb1 rw\n\
            30 21 0:45 / /net rw - autofs -hosts rw\n\
            odd line\n";
        let found = shown(text);
        let of = |mount: &Mount| (mount.path.clone(), mount.filesystem.clone(), mount.read_only);
        let expected = [
            ("/", "ext4", false),
            ("/home", "nfs4", false),
            ("/mnt/a b", "cifs", true),
            ("/run/media/me/stick", "vfat", false),
            ("/srv/ssh", "fuse.sshfs", true),
        ];
        let expected = expected.map(|(path, filesystem, ro)| (path.to_owned(), filesystem.to_owned(), ro));
        assert_eq!(found.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!((found[1].id, found[1].device.as_str(), found[1].numbers.as_str()), (25, "nas:/home", "0:40"));
    }

    #[test]
    fn a_devices_counters_are_found_by_its_numbers_where_its_name_says_nothing() {
        let traffic = Traffic::of(" 254 0 vda 10 0 4 1 20 0 6 2 0 0 0\n");
        let mount = shown("21 1 254:0 / / rw - ext4 /dev/no/such/link rw\n").remove(0);
        assert_eq!(traffic.on(&mount), (2048, 3072));
        let other = Mount { numbers: "0:7".to_owned(), ..mount };
        assert_eq!(traffic.on(&other), (0, 0));
    }
}
