//! What a process prints: one file, bounded. The process writes to the file itself and not into a pipe, since a pipe would
//! break with the host.

use quarterdeck_model::plugin::InstanceName;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Past this size, the content moves to `<name>.log.1`. A process may write on between two looks.
const MAX_BYTES: u64 = 2 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(crate) fn path(log_dir: &Path, owner: &InstanceName, name: &str) -> PathBuf {
    log_dir.join(owner.as_str()).join(format!("{name}.log"))
}

pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Appending, so that writes go on at the new end after the file was cut.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Begins the line between what one occupant of a name printed, and the next one.
const STARTED: &str = "-- ";
const STARTED_END: &str = " started --";

/// Said in front of what a process prints: a name may have had others before it.
pub(crate) fn started(who: &str, at: &str) -> String {
    let who: String = who.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{STARTED}{at} {who}{STARTED_END}\n")
}

/// What was printed by the one that was started last.
pub(crate) fn since_start(text: &str) -> &str {
    let is_start = |line: &str| line.starts_with(STARTED) && line.ends_with(STARTED_END);
    let mut rest = text;
    let mut since = text;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if is_start(line) {
            since = after;
        }
    }
    if is_start(rest) { "" } else { since }
}

/// Looks at the file from time to time, until it is dropped.
pub(crate) async fn keep_bounded(path: PathBuf) {
    loop {
        let file = path.clone();
        match tokio::task::spawn_blocking(move || rotate(&file, MAX_BYTES)).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::warn!(file = %path.display(), %error, "a log file can't be rotated"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Copies and cuts: the process keeps the file open, so that renaming it would change nothing.
fn rotate(path: &Path, max: u64) -> io::Result<()> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if size <= max {
        return Ok(());
    }
    let mut source = File::open(path)?;
    // Only the end is worth keeping of a file that grew past all bounds.
    io::Seek::seek(&mut source, io::SeekFrom::Start(size.saturating_sub(max)))?;
    let mut kept =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path.with_extension("log.1"))?;
    io::copy(&mut io::Read::take(source, max), &mut kept)?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// The last lines of what was printed, and whether there is more. `None`: nothing was ever printed.
pub(crate) fn tail(path: &Path, lines: usize, max_bytes: u64) -> io::Result<Option<(String, bool)>> {
    let Some((mut bytes, mut cut)) = end(path, max_bytes)? else { return Ok(None) };
    if !cut {
        // It was rotated a moment ago: what the reader wants stands mostly in the file before.
        let room = max_bytes.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some((mut before, more)) = end(&path.with_extension("log.1"), room)? {
            before.append(&mut bytes);
            (bytes, cut) = (before, more);
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches('\n');
    let mut starts = text.rmatch_indices('\n').map(|(at, _)| at + 1);
    Ok(Some(match lines.checked_sub(1).map(|before| starts.nth(before)) {
        None => (String::new(), !text.is_empty()),
        Some(None) => (text.to_owned(), cut),
        Some(Some(start)) => (text.get(start..).unwrap_or_default().to_owned(), true),
    }))
}

/// The last bytes of a plain file, and whether there are more.
fn end(path: &Path, max: u64) -> io::Result<Option<(Vec<u8>, bool)>> {
    match std::fs::symlink_metadata(path) {
        // Whatever else a process has put there is not what it printed.
        Ok(metadata) if !metadata.is_file() => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    io::Seek::seek(&mut file, io::SeekFrom::Start(size.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, max), &mut bytes)?;
    Ok(Some((bytes, size > max)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn output_past_the_bound_keeps_its_end_and_the_writer_goes_on() {
        let folder = std::env::temp_dir().join(format!("qd-output-{}", std::process::id()));
        let file = path(&folder, &InstanceName::from("a/b"), "web");
        let mut writer = open(&file).unwrap();
        writer.write_all(b"0123456789").unwrap();
        rotate(&file, 4).unwrap();
        writer.write_all(b"on").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"on");
        assert_eq!(std::fs::read(file.with_extension("log.1")).unwrap(), b"6789");
        std::fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn the_words_of_those_before_are_not_those_of_the_one_that_was_started_last() {
        let line = started("web-crash-1 /bin/web v1.4.2", "2026-01-01T00:00:00.000Z");
        assert_eq!(line, "-- 2026-01-01T00:00:00.000Z web-crash-1 /bin/web v1.4.2 started --\n");
        assert_eq!(since_start(&format!("old\n{line}new\nwords")), "new\nwords");
        assert_eq!(since_start("all\nof it"), "all\nof it");
        assert_eq!(since_start(&format!("old\n{}", line.trim_end())), "");
        assert_eq!(started("a\nb", "t").lines().count(), 1);
    }

    #[test]
    fn the_last_lines_are_read_over_a_rotation_and_it_is_said_whether_there_are_more() {
        let folder = std::env::temp_dir().join(format!("qd-tail-{}", std::process::id()));
        let file = path(&folder, &InstanceName::from("a/b"), "web");
        assert_eq!(tail(&file, 5, 100).unwrap(), None);
        open(&file).unwrap().write_all(b"three\nfour\xff\n").unwrap();
        let some = |text: &str, cut| Some((text.to_owned(), cut));
        assert_eq!(tail(&file, 5, 100).unwrap(), some("three\nfour\u{fffd}", false));
        assert_eq!(tail(&file, 1, 100).unwrap(), some("four\u{fffd}", true));
        assert_eq!(tail(&file, 0, 100).unwrap(), some("", true));
        std::fs::write(file.with_extension("log.1"), "one\ntwo\n").unwrap();
        assert_eq!(tail(&file, 3, 100).unwrap(), some("two\nthree\nfour\u{fffd}", true));
        assert_eq!(tail(&file, 9, 100).unwrap(), some("one\ntwo\nthree\nfour\u{fffd}", false));
        assert_eq!(tail(&file, 9, 6).unwrap(), some("four\u{fffd}", true));
        let link = file.with_file_name("link.log");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(tail(&link, 9, 100).unwrap(), None, "a link is nothing that was printed");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
