use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::testing::FakeHost;

const LOG: &str = "/var/log/app.log";
const OLD: &str = "/var/log/app.log.1";

/// A host that lives from call to call, as the real one does: what a call that fails wrote is dropped.
struct Bench {
    host: FakeHost,
    config: Config,
    now_ms: i64,
}

impl Bench {
    fn new(more: &str) -> Self {
        let text = format!(r#"{{"paths":["{LOG}"]{more}}}"#);
        Bench { host: FakeHost::default(), config: serde_json::from_str(&text).unwrap(), now_ms: 1_000_000 }
    }

    fn errors() -> Self {
        Bench::new(
            r#","from":"start","patterns":[{"name":"error","pattern":"(?i)\\berror\\b","excluding":"ignored","state":"degraded"}]"#,
        )
    }

    fn write(&mut self, path: &str, identity: u64, text: &str) {
        self.host.files.insert(path.into(), (identity, text.into()));
    }

    fn append(&mut self, path: &str, text: &str) {
        self.host.files.get_mut(path).unwrap().1.extend(text.as_bytes());
    }

    fn rename(&mut self) {
        let file = self.host.files.remove(LOG).unwrap();
        self.host.files.insert(OLD.into(), file);
    }

    fn collect(&mut self) -> Collection {
        self.now_ms += 10_000;
        let (config, now_ms) = (self.config.clone(), self.now_ms);
        let (collected, host) = std::mem::take(&mut self.host).run(|| LogTail::collect(&config, now_ms));
        self.host = host;
        collected.unwrap()
    }

    /// Lines and errors so far.
    fn counts(&mut self) -> (f64, f64) {
        let collected = self.collect();
        let labels = Labels::new().with("path", LOG);
        let lines = collected.value("log_lines_total", &labels).unwrap();
        (lines, collected.value("log_matches_total", &labels.with("pattern", "error")).unwrap_or(0.0))
    }
}

#[test]
fn lines_and_matches_are_counted_once_and_only_whole_lines() {
    let mut bench = Bench::errors();
    bench.write(LOG, 7, "start\nan ERROR\nerrors\nan ignored error\nhalf an er");
    assert_eq!(bench.counts(), (4.0, 1.0));
    assert_eq!(bench.counts(), (4.0, 1.0));
    bench.append(LOG, "ror\n");
    assert_eq!(bench.counts(), (5.0, 2.0));
    let collected = bench.collect();
    let labels = Labels::new().with("path", LOG);
    assert_eq!(collected.value("log_unread_bytes", &labels), Some(0.0));
    assert_eq!(collected.value("log_bytes_total", &labels), collected.value("log_size_bytes", &labels));
}

#[test]
fn what_was_there_before_counts_only_if_that_is_said() {
    let mut bench = Bench::new("");
    bench.write(LOG, 7, "old\nold\n");
    assert_eq!(bench.counts().0, 0.0);
    bench.append(LOG, "new\n");
    assert_eq!(bench.counts().0, 1.0);
}

#[test]
fn a_file_that_is_renamed_is_read_to_its_end_before_the_new_one_is_begun() {
    let mut bench = Bench::errors();
    bench.write(LOG, 7, "1\n");
    assert_eq!(bench.counts().0, 1.0);
    bench.append(LOG, "2\n3 error\n");
    bench.rename();
    // Its successor is yet to come.
    let collected = bench.collect();
    assert_eq!(collected.value("log_present", &Labels::new().with("path", LOG)), Some(0.0));
    assert_eq!(collected.health.state, State::Degraded);
    bench.append(OLD, "4\n");
    bench.write(LOG, 8, "5\n");
    assert_eq!(bench.counts(), (5.0, 1.0));
    // And again, with a third one in between that nobody saw.
    bench.write(OLD, 9, "never seen\n");
    bench.write(LOG, 10, "6\n");
    assert_eq!(bench.counts().0, 6.0);
}

#[test]
fn a_file_that_is_cut_off_or_written_anew_in_place_is_begun_again() {
    let mut bench = Bench::errors();
    bench.write(LOG, 7, "one\ntwo\nthree\n");
    assert_eq!(bench.counts().0, 3.0);
    bench.write(LOG, 7, "four\n");
    assert_eq!(bench.counts().0, 4.0);
    bench.write(LOG, 7, "another beginning, and longer\nsix\n");
    assert_eq!(bench.counts().0, 6.0);
}

#[test]
fn a_call_reads_no_more_than_it_may_and_the_next_goes_on() {
    let mut bench = Bench::new(r#","from":"start","max-bytes":10"#);
    bench.write(LOG, 7, &"1234567\n".repeat(4));
    assert_eq!((bench.counts().0, bench.counts().0), (1.0, 2.0));
    let collected = bench.collect();
    assert_eq!(collected.value("log_unread_bytes", &Labels::new().with("path", LOG)), Some(8.0));
    bench.write(LOG, 8, &"x".repeat(25));
    // A line that is longer than all that is read at once, in pieces.
    assert_eq!((bench.counts().0, bench.counts().0, bench.counts().0), (4.0, 5.0, 5.0));
}

#[test]
fn a_recent_match_makes_the_health_and_is_shown() {
    let mut bench = Bench::errors();
    bench.write(LOG, 7, "fine\n");
    assert_eq!(bench.collect().health, Health::ok("1 lines so far"));
    bench.append(LOG, "error: disk\u{7} full\n");
    assert_eq!(bench.collect().health, Health::degraded("`error` in `/var/log/app.log`: error: disk full"));
    bench.now_ms += 290_000;
    assert_eq!(bench.collect().health.state, State::Degraded);
    assert_eq!(bench.collect().health.state, State::Ok);
}

#[test]
fn a_file_that_is_not_there_yet_is_read_from_its_beginning_once_it_is() {
    let mut bench = Bench::new("");
    assert_eq!(bench.collect().health, Health::degraded("there is no `/var/log/app.log`"));
    bench.write(LOG, 7, "first\n");
    assert_eq!(bench.counts().0, 1.0);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let text = r#"{"paths":["/a","/a","b"],"patterns":[{"name":"","pattern":"("},{"name":"x","pattern":"x","excluding":"["}],"max-bytes":0}"#;
    let found = LogTail::validate(&serde_json::from_str(text).unwrap());
    let places: Vec<&str> = found.iter().map(|problem| problem.pointer.as_str()).collect();
    let expected =
        ["/paths/1", "/paths/2", "/patterns/0/name", "/patterns/0/pattern", "/patterns/1/excluding", "/max-bytes"];
    assert_eq!(places, expected);
    let none = LogTail::validate(&serde_json::from_str(r#"{"paths":[]}"#).unwrap());
    assert_eq!(none.len(), 1);
}
