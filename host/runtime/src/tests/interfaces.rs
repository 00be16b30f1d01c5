//! The packages of `wit/`: everything in them is documented, and none changes by accident.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wit_parser::{InterfaceId, Resolve, Type, TypeDefKind, TypeOwner};

/// In the order in which they need each other.
const PACKAGES: [&str; 13] = [
    "types",
    "host",
    "plugin",
    "collector",
    "correlator",
    "deployment-strategy",
    "deployment-target",
    "detector",
    "notifier",
    "runbook-action",
    "scanner-rule",
    "sla-calculator",
    "worlds",
];

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir() && !path.ends_with("compat")).collect()
}

/// Of every package, those of older versions too: its name with the version, and what its files say. Comments and blanks don't count, so
/// that words may be mended.
fn packages() -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for folder in folders(&wit()).into_iter().chain(folders(&wit().join("compat"))) {
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let words = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let name = words.strip_prefix("package quarterdeck:").and_then(|rest| rest.split_once(';')).unwrap().0;
        let hash = Sha256::digest(&words).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(packages.insert(name.to_owned(), hash), None, "two folders hold {name}");
    }
    packages
}

#[test]
fn every_package_is_what_was_written_down_for_its_version() {
    let written = std::fs::read_to_string(wit().join("versions.txt")).unwrap();
    let written: BTreeMap<String, String> = written
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
        .collect();
    let there = packages();
    let changed: Vec<String> = there
        .iter()
        .filter(|(name, hash)| written.get(*name) != Some(*hash))
        .map(|(name, hash)| format!("{name} {hash}"))
        .collect();
    assert!(
        changed.is_empty(),
        "these packages are not what wit/versions.txt says of their version. The rule (wit/README.md): once it was released, a version never \
         changes, so give the package a new one, and keep the old one in wit/compat. Until the first release a package may change \
         at its version: then say in wit/CHANGELOG.md what did, and put these lines into wit/versions.txt:\n{}",
        changed.join("\n")
    );
    let gone: Vec<_> = written.keys().filter(|name| !there.contains_key(*name)).collect();
    assert!(
        gone.is_empty(),
        "wit/versions.txt knows versions that no folder holds: {gone:?}; keep the one before the newest in wit/compat, and take out the line \
         of one that no host speaks any more"
    );
}

#[test]
fn everything_in_the_interfaces_says_what_it_is() {
    let mut resolve = Resolve::default();
    for package in PACKAGES {
        resolve.push_dir(wit().join(package)).unwrap();
    }
    assert_eq!(folders(&wit()).len(), PACKAGES.len(), "a package is missing above");
    let mut mute = Vec::new();
    for (id, interface) in resolve.interfaces.iter() {
        let name = resolve.id_of(id).unwrap();
        let mut look = |path: String, docs: &Option<String>| {
            if docs.as_ref().is_none_or(|docs| docs.trim().is_empty()) {
                mute.push(path);
            }
        };
        look(name.clone(), &interface.docs.contents);
        for function in interface.functions.values() {
            look(format!("{name} {}", function.name), &function.docs.contents);
        }
        for (own, definition) in &interface.types {
            let definition = &resolve.types[*definition];
            if is_used(&resolve, id, &definition.kind) {
                continue;
            }
            look(format!("{name} {own}"), &definition.docs.contents);
            let members: Vec<_> = match &definition.kind {
                TypeDefKind::Record(record) => record.fields.iter().map(|field| (&field.name, &field.docs)).collect(),
                TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| (&case.name, &case.docs)).collect(),
                TypeDefKind::Enum(of) => of.cases.iter().map(|case| (&case.name, &case.docs)).collect(),
                TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| (&flag.name, &flag.docs)).collect(),
                _ => Vec::new(),
            };
            for (member, docs) in members {
                look(format!("{name} {own}.{member}"), &docs.contents);
            }
        }
    }
    for (_, world) in resolve.worlds.iter() {
        if world.docs.contents.is_none() {
            mute.push(format!("world {}", world.name));
        }
    }
    assert!(mute.is_empty(), "these have no `///`:\n{}", mute.join("\n"));
}

/// Whether it is the name of another interface's type (`use`), which is documented there.
fn is_used(resolve: &Resolve, own: InterfaceId, kind: &TypeDefKind) -> bool {
    match kind {
        TypeDefKind::Type(Type::Id(other)) => resolve.types[*other].owner != TypeOwner::Interface(own),
        _ => false,
    }
}
