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
}
