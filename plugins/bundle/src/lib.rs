//! The bundled plugins, as components, compiled by this crate's build script from `plugins/<kind>/<name>`. No code of theirs
//! is linked: the host gets bytes, as from a file in its plugins folder.
//!
//! To bundle one more plugin, put its folder under `plugins/<kind>/`: the build script finds it by its manifest.
//!
//! Variables of the build: `QUARTERDECK_SKIP_PLUGINS=1` makes an empty bundle (for rust-analyzer and clippy);
//! `QUARTERDECK_NO_RUSTUP=1` keeps it from adding the `wasm32-wasip2` target where that is missing.

/// A bundled plugin.
#[derive(Clone, Copy)]
pub struct Component {
    /// As in its manifest and its folder: `http-probe`.
    pub name: &'static str,
    /// `collector`, as its folder says: what it is shipped for.
    pub kind: &'static str,
    /// SHA-256 of the bytes, `sha256:<64 hex>`.
    pub digest: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/components.rs"));

#[cfg(test)]
mod tests {
    use super::COMPONENTS;

    #[test]
    fn what_is_bundled_is_components_of_reasonable_size() {
        for component in COMPONENTS {
            // The preamble of a component: the magic number, version 13, layer 1.
            assert!(component.bytes.starts_with(b"\0asm\x0d\0\x01\0"), "{} is no component", component.name);
            assert!(component.bytes.len() < 1 << 20, "{} has {} bytes", component.name, component.bytes.len());
        }
    }

    #[test]
    fn digests_are_those_of_the_bytes() {
        use sha2::Digest as _;
        for component in COMPONENTS {
            let digest = format!("sha256:{:x}", sha2::Sha256::digest(component.bytes));
            assert_eq!(component.digest, digest, "{}", component.name);
        }
    }

    #[test]
    fn no_two_bundled_plugins_share_a_name() {
        let mut names: Vec<&str> = COMPONENTS.iter().map(|component| component.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMPONENTS.len());
    }
}
