//! Components for tests: variants of bundled ones, and guests that are built from `tests/guests`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The bytes of a bundled plugin.
pub(crate) fn bundled(name: &str) -> Vec<u8> {
    let component = quarterdeck_bundle::COMPONENTS.iter().find(|component| component.name == name);
    component.unwrap_or_else(|| panic!("no bundled plugin {name}")).bytes.to_vec()
}

/// The same component with a custom section more: it does the same under another digest.
pub(crate) fn variant(component: &[u8], number: u32) -> Vec<u8> {
    let name = b"test-variant";
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name);
    section.extend_from_slice(&number.to_le_bytes());
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.push(u8::try_from(section.len()).unwrap());
    bytes.extend_from_slice(&section);
    bytes
}

/// The bundled `threshold`, under another digest, and saying its reasons in other letters: another version that decides otherwise.
pub(crate) fn louder_threshold() -> Vec<u8> {
    let mut bytes = variant(&bundled("threshold"), 7);
    let places: Vec<usize> = (0..bytes.len() - 5).filter(|at| bytes[*at..].starts_with(b"above")).collect();
    assert!(!places.is_empty(), "the detector says `above` no more");
    for at in places {
        bytes[at..at + 5].copy_from_slice(b"ABOVE");
    }
    bytes
}

/// What the plugin is known by.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    quarterdeck_runtime::Bundled::new("test", bytes.to_vec()).digest.0
}

/// The same component under another version of five characters, which it tells others too. The version's text is replaced where it
/// stands in the data; in the names of interfaces it follows an `@`.
pub(crate) fn renumbered(component: &[u8], version: &str) -> Vec<u8> {
    let current = env!("CARGO_PKG_VERSION").as_bytes();
    assert_eq!(current.len(), version.len());
    let mut bytes = component.to_vec();
    let places: Vec<usize> = (1..bytes.len() - current.len())
        .filter(|at| bytes[at - 1] != b'@' && bytes[*at..].starts_with(current))
        .collect();
    assert!(!places.is_empty(), "the component does not hold its version");
    for at in places {
        bytes[at..at + version.len()].copy_from_slice(version.as_bytes());
    }
    bytes
}

/// Writes a file the way that package managers do: beside its place, then a rename.
pub(crate) fn install(folder: &Path, file: &str, bytes: &[u8]) {
    let temporary = folder.join(format!(".{file}.new"));
    std::fs::write(&temporary, bytes).unwrap();
    std::fs::rename(temporary, folder.join(file)).unwrap();
}

/// Builds a crate of `tests/guests` for wasm32-wasip2, once per run, and gives its component.
pub(crate) fn build(name: &str) -> Vec<u8> {
    static ONE_AT_A_TIME: OnceLock<Mutex<()>> = OnceLock::new();
    let _guard = ONE_AT_A_TIME.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("tests/guests").join(name);
    let target = PathBuf::from(super::daemon::BINARY).parent().unwrap().join("guests");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
    for variable in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"]
    {
        command.env_remove(variable);
    }
    let output = command.current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let built = target.join("wasm32-wasip2/release");
    let file = std::fs::read_dir(&built).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        path.file_stem().is_some_and(|stem| stem.to_str().unwrap().replace('_', "-").ends_with(name))
            && path.extension().is_some_and(|e| e == "wasm")
    });
    std::fs::read(file.unwrap_or_else(|| panic!("no component of {name} in {}", built.display()))).unwrap()
}
