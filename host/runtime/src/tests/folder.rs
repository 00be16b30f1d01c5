//! What lies in the plugins folder and is not what is in use: it is said why.

use crate::testing::guests::{Does, collector};
use crate::testing::{Bench, eventually};
use quarterdeck_model::plugin::files::{FileError, Install, PluginFiles, Seen};
use quarterdeck_model::plugin::{PluginState, Registry};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

async fn refused(bench: &Bench, plugin: &str) -> String {
    let look = || bench.status(plugin).filter(|status| status.state == PluginState::Refused);
    eventually(plugin, look).await.reason.unwrap()
}

fn of(file: &str, bytes: Vec<u8>) -> Install {
    Install {
        file: file.to_owned(),
        bytes,
        digest: None,
        origin: None,
        seen: Seen::default(),
        serving: Seen::default(),
        replace: true,
        principal: "ann".to_owned(),
    }
}

fn reason(bench: &Bench, file: &str) -> Option<String> {
    PluginFiles::files(&***bench).into_iter().find(|one| one.file == file).unwrap().reason
}

#[tokio::test]
async fn a_file_that_stands_behind_a_newer_one_of_its_plugin_says_so() {
    let bench = Bench::with(Vec::new()).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    bench.drop_in("b.wasm", &first);
    eventually("the first", || bench.status("guest")).await;
    assert_eq!((bench.status("guest").unwrap().reason, reason(&bench, "b.wasm")), (None, None));
    // As it comes with `mv` or `cp -p`: with the time that it had.
    let old = bench.folder.path().join("old");
    fs::write(&old, &second).unwrap();
    let before = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(&old).unwrap().set_modified(before).unwrap();
    fs::rename(old, bench.plugins_dir().join("c.wasm")).unwrap();
    let said = eventually("the reason", || bench.status("guest")?.reason).await;
    assert!(said.starts_with("`c.wasm` is not used: `b.wasm` is newer; hint: "), "{said}");
    assert_eq!(bench.status("guest").unwrap().version, "1.0.0");
    assert_eq!(reason(&bench, "c.wasm"), Some(said));
    assert_eq!(reason(&bench, "b.wasm"), None);
    // Another name for the same content takes nothing from anybody.
    bench.drop_in("d.wasm", &second);
    eventually("the second", || bench.status("guest").filter(|status| status.version == "2.0.0")).await;
    assert_eq!(reason(&bench, "c.wasm"), None);
}

#[tokio::test]
async fn a_version_is_told_from_the_file_that_held_it_last_when_that_is_broken() {
    let bench = Bench::with(Vec::new()).await;
    let content = collector("guest", "1.0.0", Does::Well);
    let source = |file: &'static str| {
        let bench = &bench;
        async move { eventually(file, || bench.status("guest").filter(|status| status.source == file)).await }
    };
    bench.drop_in("a.wasm", &content);
    source("a.wasm").await;
    bench.drop_in("b.wasm", &content);
    source("b.wasm").await;
    fs::remove_file(bench.plugins_dir().join("a.wasm")).unwrap();
    bench.drop_in("b.wasm", b"broken");
    let said = eventually("the reason", || bench.status("guest")?.reason).await;
    assert!(said.contains("b.wasm"), "{said}");
    assert_eq!(source("b.wasm").await.state, PluginState::Active);
}

#[tokio::test]
async fn what_is_named_like_a_plugin_and_is_no_file_is_refused_unopened() {
    let bench = Bench::with(Vec::new()).await;
    let folder = bench.plugins_dir();
    fs::create_dir(folder.join("dir.wasm")).unwrap();
    symlink(bench.folder.path(), folder.join("dir-link.wasm")).unwrap();
    symlink("nowhere", folder.join("dangling.wasm")).unwrap();
    symlink("/dev/zero", folder.join("device.wasm")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket.wasm")).unwrap();
    let pipe = std::ffi::CString::new(folder.join("pipe.wasm").into_os_string().into_encoded_bytes()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    bench.drop_in("LOUD.WASM", &collector("loud", "1.0.0", Does::Well));
    for (plugin, why) in [
        ("dir", "it is a folder"),
        ("dir-link", "it is a folder"),
        ("dangling", "it is a link that leads nowhere"),
        ("device", "it is a device"),
        ("socket", "it is a socket"),
        ("pipe", "it is a pipe"),
        ("LOUD", "a plugin's name ends in `.wasm`; hint: rename it to `LOUD.wasm`"),
    ] {
        let reason = refused(&bench, plugin).await;
        assert!(reason.contains(why) && reason.contains("hint: "), "{plugin}: {reason}");
    }
    for _ in 0..3 {
        bench.reload().await;
    }
    eventually("what was said", || (bench.events("plugin.refused").len() >= 7).then_some(())).await;
    assert_eq!(bench.events("plugin.refused").len(), 7, "each is said once");
    for file in ["pipe.wasm", "dir.wasm"] {
        for error in [
            bench.install(of(file, collector("guest", "1.0.0", Does::Well))).await.unwrap_err(),
            bench.remove(file, &Seen::default(), "ann").await.unwrap_err(),
        ] {
            assert!(matches!(&error, FileError::Conflict(why) if why.contains("by hand")), "{error}");
        }
    }
    bench.remove("LOUD.WASM", &Seen::default(), "ann").await.unwrap();
}

#[tokio::test]
async fn a_link_whose_target_comes_and_goes_is_followed() {
    let bench = Bench::with(Vec::new()).await;
    let target = bench.folder.path().join("target");
    symlink(&target, bench.plugins_dir().join("guest.wasm")).unwrap();
    refused(&bench, "guest").await;
    let error = bench.remove("guest.wasm", &Seen::default(), "ann").await.unwrap_err();
    assert!(matches!(&error, FileError::Conflict(why) if why.contains("by hand")), "{error}");
    fs::write(&target, collector("guest", "1.0.0", Does::Well)).unwrap();
    let active = || bench.status("guest").filter(|status| status.state == PluginState::Active);
    eventually("the target", active).await;
    fs::remove_file(&target).unwrap();
    let reason = refused(&bench, "guest").await;
    assert!(reason.contains("leads nowhere"), "what it led to is gone for good, and not used any more: {reason}");
    bench.install(of("guest.wasm", collector("guest", "2.0.0", Does::Well))).await.unwrap();
    eventually("the file in its place", active).await;
}
