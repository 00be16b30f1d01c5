//! Killed with SIGKILL again and again under the load of every flow that writes.

use crate::harness::at_rest::AtRest;
use crate::harness::receiver::Receiver;
use crate::harness::{Answers, Daemon, Setup, eventually};
use quarterdeck_model::event::StoredEvent;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const ROUNDS: usize = 50;
const PUBLISHERS: usize = 3;
const SERIES: usize = 4;
const SOON: Duration = Duration::from_secs(30);
/// Each of them is told to the one recipient.
const TOLD: [&str; 4] = ["alert.firing", "alert.resolved", "incident.opened", "incident.resolved"];

/// Alerts that come and go, an incident for each, messages of both, and runs of a step that may be repeated and of one that must not.
fn setup(target: &Receiver) -> Setup {
    let url = target.url();
    let step = |path: &str, idempotent: bool| {
        format!(
            "steps = [{{ name = \"only\", action = \"http/step\", idempotent = {idempotent}, \
             with = {{ url = \"{url}{path}\", method = \"POST\" }} }}]\n"
        )
    };
    Setup::new().config(&format!(
        "built-ins = false\n\
         [events]\nproducer-rate = 0\n\
         [instances.\"threshold/load\"]\nplugin = \"threshold\"\nconfig = {{ raise = 10.0, severity = \"high\" }}\n\
         [instances.\"by-labels/default\"]\nplugin = \"by-labels\"\nconfig = {{ group-by = [\"series\"] }}\n\
         [instances.\"webhook/test\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/hook\" }}\ngrants = {{ http = [\"{url}\"] }}\n\
         [instances.\"http/step\"]\nplugin = \"http\"\ngrants = {{ http = [\"{url}\"] }}\n\
         [rules.load]\ndetector = \"threshold/load\"\nselect = {{ metric = \"load_test\" }}\nevery = \"20ms\"\nfor = \"0s\"\n\
         [routes.test]\nevents = {TOLD:?}\nnotify = [\"webhook/test\"]\n\
         [runbooks.repeated]\ntitle = \"Repeated\"\n{}\
         [runbooks.once]\ntitle = \"Once\"\n{}",
        step("/repeated", true),
        step("/once", false),
    ))
}

/// What was acknowledged, over all rounds.
#[derive(Clone, Default)]
struct Acknowledged {
    events: Arc<Mutex<BTreeSet<String>>>,
    runs: Arc<Mutex<BTreeSet<String>>>,
}

impl Acknowledged {
    fn count(&self) -> (usize, usize) {
        (self.events.lock().unwrap().len(), self.runs.lock().unwrap().len())
    }
}

/// Sends one request after another until the daemon is gone; hands on what was acknowledged.
async fn on_and_on(
    request: RequestBuilder,
    answers: Answers,
    stop: Arc<AtomicBool>,
    body: impl Fn(usize) -> Value,
    keep: impl Fn(usize, Value),
) {
    for n in 0.. {
        let Ok(answer) = request.try_clone().unwrap().json(&body(n)).send().await else { return };
        assert!(answer.status().is_success(), "{}", answer.status());
        // Cut off within the body, the status has said it already; only what it holds is not known.
        let Ok(body) = answers.read(&Method::POST, answer).await else { return };
        keep(n, serde_json::from_slice(&body).unwrap());
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Everything that writes, at once.
fn load(daemon: &Daemon, round: usize, acknowledged: &Acknowledged, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let to = |path: &str| daemon.http().post(format!("{}{path}", daemon.url)).bearer_auth(&daemon.token);
    let mut tasks = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let subject = move |n: usize| format!("{round}-{publisher}-{n}");
        let body = move |n: usize| json!({"type": "custom.test", "subject": subject(n), "data": {"n": n}});
        let kept = acknowledged.events.clone();
        let keep = move |n: usize, _| {
            kept.lock().unwrap().insert(subject(n));
        };
        tasks.spawn(on_and_on(to("/api/v1/events"), daemon.answers(), stop.clone(), body, keep));
    }
    for runbook in ["repeated", "once"] {
        let kept = acknowledged.runs.clone();
        let keep = move |_, run: Value| {
            kept.lock().unwrap().insert(run["id"].as_str().unwrap().to_owned());
        };
        tasks.spawn(on_and_on(
            to("/api/v1/runs"),
            daemon.answers(),
            stop.clone(),
            move |_| json!({"runbook": runbook}),
            keep,
        ));
    }
    // Each series goes up and down at a pace of its own.
    let (samples, answers) = (to("/api/v1/metrics"), daemon.answers());
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(15));
        for n in 0.. {
            tick.tick().await;
            let sample = |series: usize| {
                let value = if (n / (series + 2)).is_multiple_of(2) { 20.0 } else { 1.0 };
                json!({"name": "load_test", "labels": {"series": series.to_string()}, "value": value})
            };
            let batch: Vec<Value> = (0..SERIES).map(sample).collect();
            let Ok(answer) = samples.try_clone().unwrap().json(&batch).send().await else { return };
            if answers.read(&Method::POST, answer).await.is_err() {
                return;
            }
        }
    });
    tasks
}

/// Fifty rounds: everything writes until the daemon is killed, at another moment each time. What it left is looked at each time,
/// before it starts anew: all that was acknowledged is there, once, and no transition is half applied. After the last start
/// everything ends, and nothing was done twice that must not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_fifty_kills_under_load_every_acknowledged_event_is_there_and_nothing_is_half_applied() {
    let target = Receiver::start().await;
    let mut setup = setup(&target);
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let daemon = setup.start().await;
        let (before, received) = (acknowledged.count(), target.received().len());
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = load(&daemon, round, &acknowledged, &stop);
        // Every round has acknowledged something and told somebody; how much, and so the moment of the kill, differs.
        let (events, runs, messages) = (10 + 13 * (round % 9), 1 + round % 5, 1 + round % 7);
        eventually("a round's work", SOON, async || {
            let now = acknowledged.count();
            let told = target.received().len() - received;
            (now.0 >= before.0 + events && now.1 >= before.1 + runs && told >= messages).then_some(())
        })
        .await;
        setup = daemon.kill();
        stop.store(true, Ordering::SeqCst);
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        look(&setup, &acknowledged, round);
    }
    let daemon = setup.start().await;
    let (notifications, runs) = everything_ends(&daemon).await;
    let setup = daemon.kill();
    let at_rest = look(&setup, &acknowledged, ROUNDS);
    let count = |event_type: &str| at_rest.of_types(&[event_type]).count();
    let counts = ["alert.firing", "alert.resolved", "incident.opened", "incident.resolved", "run.started"].map(count);
    assert!(counts.iter().all(|count| *count >= ROUNDS), "that was no load: {counts:?}");
    done_as_often_as_it_may_be(&target, &notifications, &runs);
}

/// The store as the kill has left it.
fn look(setup: &Setup, acknowledged: &Acknowledged, round: usize) -> AtRest {
    let at_rest = AtRest::of(setup);
    at_rest.check(&TOLD);
    // What they are grouped by.
    let has_series = |stored: &StoredEvent| stored.event.data["labels"]["series"].is_string();
    assert!(at_rest.of_types(&["incident."]).all(has_series), "round {round}: an incident of no series");
    let mut seen = BTreeSet::new();
    for stored in at_rest.of_types(&["custom.test"]) {
        assert!(seen.insert(stored.event.subject.clone()), "round {round}: {} is there twice", stored.event.subject);
    }
    let lost: Vec<_> = acknowledged.events.lock().unwrap().difference(&seen).take(5).cloned().collect();
    assert!(lost.is_empty(), "round {round}: lost {lost:?}");
    let lost: Vec<_> = acknowledged.runs.lock().unwrap().difference(&at_rest.run_ids()).take(5).cloned().collect();
    assert!(lost.is_empty(), "round {round}: lost {lost:?}");
    at_rest
}

/// Waits until no message and no run is under way.
async fn everything_ends(daemon: &Daemon) -> (Vec<Value>, Vec<Value>) {
    // Nothing goes up or down any more: alerts keep as they are.
    let pending = AtomicUsize::new(usize::MAX);
    eventually("the end of everything", Duration::from_secs(60), async || {
        let open = daemon.items("/api/v1/notifications?state=pending").await.len()
            + daemon.items("/api/v1/runs?state=running").await.len();
        // Twice in a row: the end of one may be the begin of another.
        (pending.swap(open, Ordering::SeqCst) == 0 && open == 0).then_some(())
    })
    .await;
    (daemon.all("/api/v1/notifications").await, daemon.all("/api/v1/runs").await)
}

/// At least once, or at most once.
fn done_as_often_as_it_may_be(target: &Receiver, notifications: &[Value], runs: &[Value]) {
    let mut asked: BTreeMap<(String, String), u32> = BTreeMap::new();
    for received in target.received() {
        *asked.entry((received.path.clone(), received.header("idempotency-key").to_owned())).or_default() += 1;
    }
    for notification in notifications {
        assert_eq!(notification["state"], "delivered", "{notification:#}");
        let key = ("/hook".to_owned(), notification["id"].as_str().unwrap().to_owned());
        assert!(asked.contains_key(&key), "it never arrived: {notification:#}");
    }
    let hooks = asked.keys().filter(|(path, _)| path == "/hook").count();
    assert_eq!(hooks, notifications.len(), "messages that nobody knows of arrived");
    // Seen from the receiver, whatever the runs know: no request that must not be made twice was, and each is some run's.
    let once: Vec<_> = asked.iter().filter(|((path, _), _)| path == "/once").collect();
    let of_once: Vec<&Value> = runs.iter().filter(|run| run["runbook"] == "once").collect();
    // A key is what a run holds of it, or is made of the run's own id.
    let own = |run: &Value, key: &str| run["steps"][0]["effect"] == key || key.contains(run["id"].as_str().unwrap());
    for ((_, key), times) in &once {
        assert!(of_once.iter().any(|run| own(run, key)), "no run knows of {key}");
        assert_eq!(**times, 1, "{key} was asked for {times} times");
    }
    assert!(once.len() <= of_once.len(), "{} requests of {} runs", once.len(), of_once.len());
    for run in runs {
        let step = &run["steps"][0];
        let path = format!("/{}", run["runbook"].as_str().unwrap());
        let times: u32 =
            asked.iter().filter(|((to, key), _)| *to == path && own(run, key)).map(|(_, times)| times).sum();
        match (run["runbook"].as_str().unwrap(), run["state"].as_str().unwrap()) {
            ("repeated", "succeeded") => assert!(times >= 1, "{run:#}"),
            ("once", "succeeded") => assert_eq!(times, 1, "{run:#}"),
            ("once", "failed") => {
                assert_eq!(step["state"], "unknown", "{run:#}");
                assert!(times <= 1, "it was done {times} times: {run:#}");
            }
            (_, state) => panic!("{state}: {run:#}"),
        }
    }
    let succeeded = runs.iter().filter(|run| run["state"] == "succeeded").count();
    assert!(succeeded * 2 > runs.len(), "most runs succeed: {succeeded} of {}", runs.len());
}
