//! The build script of the bundle, where the WebAssembly target is missing: `plugins/bundle/build.rs` itself, over a rustc, a rustup
//! and a cargo that only pretend.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const TARGET: &str = "wasm32-wasip2";

/// Stands in for the crate, whose digests are not asked for here.
const SHA2: &str = "pub trait Digest {}\npub struct Sha256;\npub struct Sum;\n\
    impl Sha256 { pub fn digest(_: impl AsRef<[u8]>) -> Sum { Sum } }\n\
    impl std::fmt::LowerHex for Sum { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }\n";

/// Compiled once for all tests.
fn script() -> &'static Path {
    static SCRIPT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, script) = SCRIPT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/bundle/build.rs");
        let (sha2, library) = (folder.path().join("sha2.rs"), folder.path().join("libsha2.rlib"));
        std::fs::write(&sha2, SHA2).unwrap();
        let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
        let compile = |arguments: &[&Path]| {
            let mut command = Command::new(&rustc);
            command.args(["--edition", "2024", "--cap-lints", "allow"]).args(arguments);
            let output = command.current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        compile(&[Path::new("--crate-type=rlib"), Path::new("-o"), &library, &sha2]);
        let script = folder.path().join("build-script");
        let external = format!("sha2={}", library.display());
        compile(&[Path::new("--extern"), Path::new(&external), Path::new("-o"), &script, &source]);
        (folder, script)
    });
    script
}

/// A repository without plugins, and tools that note what they are asked.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        for path in ["plugins/bundle", "out", "bin", "toolchains/1.0-fake/lib/rustlib"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let machine = Machine { folder };
        machine.tool("rustc", "echo \"$FOLDER/toolchains/1.0-fake\"");
        machine.tool("cargo", "echo \"$@\" >> \"$FOLDER/asked-cargo\"");
        machine
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("toolchains/1.0-fake/lib/rustlib").join(TARGET).join("lib")
    }

    fn asked(&self, tool: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("asked-{tool}"))).unwrap_or_default()
    }

    fn build(&self, variables: &[(&str, &str)]) -> Output {
        let at = |path: &str| self.folder.path().join(path);
        let mut command = Command::new(script());
        // Of the surrounding environment only what a shell needs: a real rustup must not be found.
        command
            .env_clear()
            .env("PATH", std::env::join_paths([at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap())
            .env("FOLDER", self.folder.path())
            .env("CARGO_MANIFEST_DIR", at("plugins/bundle"))
            .env("OUT_DIR", at("out"))
            .env("RUSTC", at("bin/rustc"))
            .env("CARGO", at("bin/cargo"))
            .envs(variables.iter().copied());
        command.output().unwrap()
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_target_that_is_installed_is_not_asked_for() {
    let machine = Machine::new();
    machine.tool("rustup", "echo \"$@\" >> \"$FOLDER/asked-rustup\"");
    std::fs::create_dir_all(machine.library()).unwrap();
    let output = machine.build(&[]);
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(machine.asked("rustup"), "");
    let cargo = machine.asked("cargo");
    assert!(cargo.starts_with("build --profile plugin --target wasm32-wasip2 --locked --lib"), "{cargo}");
    assert!(machine.folder.path().join("out/components.rs").is_file());
}

#[test]
fn a_missing_target_is_added_through_rustup_to_the_toolchain_in_use() {
    for (variables, toolchain) in [(vec![], "1.0-fake"), (vec![("RUSTUP_TOOLCHAIN", "named")], "named")] {
        let machine = Machine::new();
        machine.tool(
            "rustup",
            &format!("echo \"$@\" >> \"$FOLDER/asked-rustup\"; mkdir -p {}", machine.library().display()),
        );
        let output = machine.build(&variables);
        assert!(output.status.success(), "{}", words(&output));
        assert_eq!(machine.asked("rustup"), format!("target add --toolchain {toolchain} {TARGET}\n"));
        assert!(words(&output).contains("cargo::warning=adding the target"), "{}", words(&output));
        assert!(!machine.asked("cargo").is_empty(), "the plugins are built afterwards");
    }
}

#[test]
fn the_variable_turns_that_into_a_message_with_the_command() {
    let machine = Machine::new();
    machine.tool("rustup", "echo \"$@\" >> \"$FOLDER/asked-rustup\"");
    let output = machine.build(&[("QUARTERDECK_NO_RUSTUP", "1")]);
    assert!(!output.status.success());
    let told = words(&output);
    assert!(told.contains("the target wasm32-wasip2 is not installed"), "{told}");
    assert!(told.contains("hint: rustup target add --toolchain 1.0-fake wasm32-wasip2"), "{told}");
    assert_eq!((machine.asked("rustup").as_str(), machine.asked("cargo").as_str()), ("", ""));
}

#[test]
fn a_rustup_that_fails_or_is_missing_leaves_the_command_to_the_user() {
    for (rustup, reason) in
        [(Some("exit 3"), "ended with exit status: 3"), (None, "rustup can't be run"), (Some(":"), "ended with")]
    {
        let machine = Machine::new();
        if let Some(rustup) = rustup {
            machine.tool("rustup", rustup);
        }
        let output = machine.build(&[]);
        assert!(!output.status.success());
        let told = words(&output);
        assert!(
            told.contains(reason) && told.contains("rustup target add --toolchain 1.0-fake wasm32-wasip2"),
            "{told}"
        );
        assert_eq!(machine.asked("cargo"), "");
    }
}
