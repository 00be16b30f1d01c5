//! Components on their way to a host: out of a file, from a URL, out of an OCI registry.
//!
//! The command line fetches them, and hands the host the bytes. So the host needs no way out, nobody can make it ask addresses of its own
//! network, and what is fetched is verified in the one place where uploads are; proxies and credentials are those of the person who asks.

mod oci;
mod web;

use crate::client::is_loopback;
use anyhow::{Context, Result, anyhow, bail};
use quarterdeck_model::plugin::Digest;
use quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::path::Path;

/// A component that was fetched.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    /// What it is called where it comes from. Empty: nothing that could be a file's name.
    pub(crate) file: String,
    /// Where that is, as exactly as can be said: what the same bytes can be fetched from again.
    pub(crate) origin: String,
}

/// # Errors
/// It can't be had, or is another content than `digest` says.
pub(crate) async fn fetch(source: &str, digest: Option<&str>) -> Result<Component> {
    let component = match source.split_once("://") {
        Some(("http" | "https", _)) => web::fetch(source, digest).await?,
        Some(("oci", _)) => oci::fetch(source).await?,
        Some((scheme, _)) => {
            bail!("`{scheme}://` is nothing that can be installed from\nhint: a file, https:// or oci://")
        }
        None => from_file(source)?,
    };
    if let Some(wanted) = digest.filter(|wanted| *wanted != component.digest.0) {
        bail!("the content of {source} is {}, not {wanted}: nothing was installed", component.digest);
    }
    Ok(component)
}

fn from_file(source: &str) -> Result<Component> {
    let path = Path::new(source);
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().with_context(|| format!("failed to read {source}"))?;
    check_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX), source)?;
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let digest = digest(&bytes);
    Ok(Component { bytes, digest, origin: format!("file:{file}"), file })
}

fn check_size(bytes: u64, source: &str) -> Result<()> {
    if bytes > MAX_COMPONENT_BYTES {
        return Err(anyhow!("{source} has more than the {MAX_COMPONENT_BYTES} bytes that a component may have"));
    }
    Ok(())
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Digest(format!("sha256:{hex}"))
}
