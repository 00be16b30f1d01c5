use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn mount(id: u64, path: &str) -> Mount {
    let (path, device, filesystem) = (path.to_owned(), format!("server:{path}"), "nfs4".to_owned());
    Mount { id, numbers: format!("0:{id}"), path, device, filesystem, read_only: false }
}

fn of(total_bytes: u64) -> Found {
    Found::Space(wit::Space { total_bytes, free_bytes: 5, available_bytes: 4, inodes_total: 0, inodes_free: 0 })
}

/// Mounts that hang while the switch is on, and how often one that does was asked.
struct Hanging {
    hangs: Arc<(Mutex<bool>, Condvar)>,
    asked: Arc<AtomicUsize>,
    file_systems: FileSystems,
}

fn hanging(mounts: Vec<Mount>, patience: Duration, hang: fn(&Mount) -> bool) -> Hanging {
    let hangs = Arc::new((Mutex::new(true), Condvar::new()));
    let asked = Arc::new(AtomicUsize::new(0));
    let (gate, count) = (hangs.clone(), asked.clone());
    let space = move |mount: &Mount| {
        if hang(mount) {
            count.fetch_add(1, Ordering::SeqCst);
            let mut on = gate.0.lock().unwrap();
            while *on {
                on = gate.1.wait(on).unwrap();
            }
        }
        of(mount.id)
    };
    let source = Source {
        mounts: Box::new(move || mounts.clone()),
        space: Box::new(space),
        patience,
        fresh_for: Duration::ZERO,
    };
    Hanging { hangs, asked, file_systems: FileSystems::over(source) }
}

fn shown(reading: &Reading) -> Vec<(&str, Option<u64>)> {
    reading.iter().map(|(mount, space)| (mount.path.as_str(), space.map(|space| space.total_bytes))).collect()
}

#[test]
fn a_mount_that_hangs_is_named_and_the_others_are_read_anew_while_one_thread_waits_for_it() {
    let mounts = vec![mount(1, "/a"), mount(2, "/hung"), mount(3, "/z")];
    let Hanging { hangs, asked, file_systems } = hanging(mounts, Duration::from_millis(500), |mount| mount.id == 2);
    for _ in 0..5 {
        let began = Instant::now();
        let reading = file_systems.read().unwrap();
        assert_eq!(shown(&reading), [("/a", Some(1)), ("/hung", None), ("/z", Some(3))]);
        assert!(began.elapsed() < LONGEST_WAIT, "{:?}", began.elapsed());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody else waits for it");
    *hangs.0.lock().unwrap() = false;
    hangs.1.notify_all();
    let deadline = Instant::now() + Duration::from_secs(20);
    while file_systems.read().unwrap()[1].1.is_none() {
        assert!(Instant::now() < deadline, "it answers again, and is not read");
        std::thread::yield_now();
    }
}

#[test]
fn no_more_threads_are_left_behind_than_may_be() {
    let mounts = (0..40).map(|id| mount(id, &format!("/{id:02}"))).collect();
    let Hanging { hangs, asked, file_systems } = hanging(mounts, Duration::from_millis(50), |_| true);
    for _ in 0..10 {
        let reading = file_systems.read().unwrap();
        assert!(reading.iter().all(|(_, space)| space.is_none()));
    }
    assert!(asked.load(Ordering::SeqCst) <= MOST_STUCK, "{asked:?}");
    *hangs.0.lock().unwrap() = false;
    hangs.1.notify_all();
}

#[test]
fn readers_at_one_time_share_a_reading() {
    let readings = Arc::new(AtomicUsize::new(0));
    let is_open = Arc::new(AtomicBool::new(false));
    let (count, open) = (readings.clone(), is_open.clone());
    let source = Source {
        mounts: Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            while !open.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            vec![mount(1, "/a")]
        }),
        space: Box::new(|_| of(7)),
        patience: Duration::from_secs(60),
        fresh_for: Duration::from_secs(60),
    };
    let file_systems = FileSystems::over(source);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let file_systems = file_systems.clone();
            std::thread::spawn(move || file_systems.read().unwrap().len())
        })
        .collect();
    is_open.store(true, Ordering::SeqCst);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 1);
    }
    assert_eq!(readings.load(Ordering::SeqCst), 1);
}

#[test]
fn what_holds_nothing_is_left_out_and_what_does_not_answer_is_not() {
    let source = Source {
        mounts: Box::new(|| vec![mount(1, "/a"), mount(2, "/b"), mount(3, "/c")]),
        space: Box::new(|mount| match mount.id {
            1 => Found::Nothing,
            2 => Found::Silent,
            _ => of(3),
        }),
        patience: PATIENCE,
        fresh_for: FRESH_FOR,
    };
    let reading = FileSystems::over(source).read().unwrap();
    assert_eq!(shown(&reading), [("/b", None), ("/c", Some(3))]);
}

#[test]
fn the_root_of_this_machine_is_read() {
    let reading = FileSystems::default().read().unwrap();
    let (_, space) = reading.iter().find(|(mount, _)| mount.path == "/").unwrap();
    let space = space.unwrap();
    assert!(space.total_bytes > 0 && space.free_bytes >= space.available_bytes);
}
