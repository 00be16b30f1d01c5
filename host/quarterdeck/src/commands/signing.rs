//! What a publisher does: a key, and signatures by it. Without a daemon.

use crate::arguments::{Key, Sign};
use crate::output::{Output, print_line};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_runtime::signature::SigningKey;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const COLUMNS: usize = 64;

pub(super) fn key(output: Output, command: &Key) -> Result<ExitCode> {
    match command {
        Key::New { file } => {
            let pkcs8 = SigningKey::generate().map_err(|error| anyhow!(error))?;
            let public = SigningKey::from_pkcs8(&pkcs8).map_err(|error| anyhow!(error))?.public();
            // Never over one that is there: what it has signed could not be followed any more.
            let made = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file);
            let mut made = made.with_context(|| format!("failed to make {}", file.display()))?;
            made.write_all(pem(&pkcs8).as_bytes()).and_then(|()| made.sync_all())?;
            output.say(&public.to_string(), &json!({"key": public, "file": file}));
            output.progress(&format!("keep {} to yourself; the key above is for those who trust you", file.display()));
        }
        Key::Show { file } => {
            let public = read_key(file)?.public();
            output.say(&public.to_string(), &json!({"key": public}));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sign(output: Output, sign: &Sign) -> Result<ExitCode> {
    let component = std::fs::read(&sign.component);
    let component = component.with_context(|| format!("failed to read {}", sign.component.display()))?;
    if !component.starts_with(b"\0asm\x0d\0\x01\0") {
        bail!("{} is no component", sign.component.display());
    }
    let key = read_key(&sign.key)?;
    let signed = key.sign(&component);
    let to = sign.out.as_ref().unwrap_or(&sign.component);
    // Whoever watches the folder sees the old file or the new one.
    let beside = to.with_extension("signing");
    std::fs::write(&beside, &signed)
        .and_then(|()| std::fs::rename(&beside, to))
        .with_context(|| format!("failed to write {}", to.display()))?;
    let digest = crate::fetch::digest(&signed);
    if output.json {
        output.one(&json!({"file": to, "digest": digest, "publisher": key.public()}));
    } else {
        print_line(&format!("{} is signed by {}", to.display(), key.public()));
        print_line(&format!("  {digest}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn read_key(file: &Path) -> Result<SigningKey> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let wrong = |why: &str| anyhow!("{} can't be used: {why}\nhint: quarterdeck plugin key new {0}", file.display());
    let inner = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(inner, _)| inner);
    let inner = inner.ok_or_else(|| wrong("it holds no private key in PEM"))?;
    let base64: String = inner.split_whitespace().collect();
    let pkcs8 = STANDARD.decode(base64).map_err(|error| wrong(&error.to_string()))?;
    SigningKey::from_pkcs8(&pkcs8).map_err(|error| wrong(&error))
}

fn pem(pkcs8: &[u8]) -> String {
    let base64 = STANDARD.encode(pkcs8);
    let mut text = format!("{BEGIN}\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(COLUMNS.min(rest.len()));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text + END + "\n"
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("publisher.pem");
        let output = Output { json: true };
        key(output, &Key::New { file: file.clone() }).unwrap();
        let public = read_key(&file).unwrap().public();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(key(output, &Key::New { file: file.clone() }).is_err(), "there is one");
        assert_eq!(read_key(&file).unwrap().public(), public);
        std::fs::write(&file, "nothing").unwrap();
        assert!(read_key(&file).err().unwrap().to_string().contains("holds no private key"));
    }
}
