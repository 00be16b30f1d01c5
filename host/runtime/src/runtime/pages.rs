//! Gives back the pages of compiled components that nobody runs: loading one reads through all of it. What is run again comes back from
//! the system's cache of the file.

use super::Runtime;
use crate::plugin::Version;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use wasmtime::component::Component;

impl Runtime {
    /// Of every version there is. Blocks for some milliseconds where there are many.
    pub fn give_back_pages(&self) {
        let versions = self.versions();
        let components = versions.iter().map(|version| version.exports.plugin.instance_pre().component());
        give_back(&components.collect::<Vec<_>>());
    }

    fn versions(&self) -> Vec<Arc<Version>> {
        let catalog = self.catalog();
        let named = catalog
            .names
            .values()
            .flat_map(|named| [&named.bundled, &named.current, &named.previous, &named.fallback].into_iter().flatten());
        named.cloned().collect()
    }
}

#[cfg(target_os = "linux")]
fn give_back(components: &[&Component]) {
    let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    let untouched = untouched(&maps);
    for component in components {
        let image = component.image_range();
        let image = image.start as usize..image.end as usize;
        for mapping in untouched.range(..image.end).map(|(start, end)| *start..*end).filter(|m| m.end > image.start) {
            // Ends of the image share no page with anything else.
            let range = mapping.start.max(image.start)..mapping.end.min(image.end);
            #[expect(
                unsafe_code,
                reason = "the component holds the mapping, which is of a file, not writable and as it was read: \
                          its pages come back as they were when they are next used"
            )]
            // SAFETY: see the reason.
            let refused = unsafe {
                libc::madvise(range.start as *mut libc::c_void, range.end - range.start, libc::MADV_DONTNEED)
            };
            if refused != 0 {
                tracing::debug!(error = %std::io::Error::last_os_error(), "pages of a component stay in memory");
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn give_back(_: &[&Component]) {}

/// Starts and ends of the mappings of files that can't be written to and were not changed since they were read.
#[cfg(target_os = "linux")]
fn untouched(smaps: &str) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    let mut of_file: Option<Range<usize>> = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            of_file = mapping;
        } else if let Some(changed) = line.strip_prefix("Anonymous:")
            && let Some(range) = of_file.take()
            && changed.trim() == "0 kB"
        {
            found.insert(range.start, range.end);
        }
    }
    found
}

/// The line that begins a mapping; `Some(None)` if it is of no file or can be written to.
#[cfg(target_os = "linux")]
fn mapping(line: &str) -> Option<Option<Range<usize>>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let mode = words.next()?;
    let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some((is_of_file && mode.ends_with('p') && !mode.contains('w')).then_some(range))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_of_files_that_nobody_changed_are_given_back() {
        let smaps = "\
1000-3000 r-xp 00000000 fe:00 12   /cache/a.cwasm
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
3000-4000 r--p 00002000 fe:00 12   /cache/a.cwasm
Anonymous:             4 kB
4000-5000 rw-p 00003000 fe:00 12   /cache/a.cwasm
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0
Anonymous:             0 kB
6000-7000 r--s 00000000 fe:00 12   /cache/b.cwasm
Anonymous:             0 kB
7000-8000 r--p 00000000 fe:00 12   /cache/c.cwasm
Anonymous:             0 kB
";
        assert_eq!(untouched(smaps), BTreeMap::from([(0x1000, 0x3000), (0x7000, 0x8000)]));
    }
}
