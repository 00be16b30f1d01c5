//! The pages of the console on which something is done: runbooks, deployments, scans, jobs, dead letters; and those of what follows from it.

use crate::console::{HOSTILE, crawl, page, page_as, post, seen, sign_in};
use crate::support::{Deck, START, deck_with};
use crate::world::{letter, like, world};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::domain::scan::{Finding, Scan};
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::effect::{DEAD_LETTERS, OUTBOX};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Sends the form without a session, without its secret, and as it should be; gives the last answer's status and where it leads.
async fn change(deck: &Deck, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let (cookie, csrf) = sign_in(deck).await;
    assert_eq!(post(deck, path, "", fields).await.status, 401, "{path}");
    assert_eq!(post(deck, path, &cookie, fields).await.status, 403, "{path}");
    let with: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
    let answer = post(deck, path, &cookie, &with).await;
    let to = answer.headers.get("location").map(|to| to.to_str().unwrap().to_owned());
    (answer.status.as_u16(), to.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned()))
}

/// A page as somebody sees it who is signed in.
async fn signed_in(deck: &Deck, path: &str) -> String {
    let (cookie, _) = sign_in(deck).await;
    let (status, shown) = page_as(deck, path, &cookie).await;
    assert_eq!(status, 200, "{path}: {shown}");
    shown
}

#[track_caller]
fn has(shown: &str, expected: &[&str]) {
    for expected in expected {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

fn with_runbook() -> Catalog {
    let mut catalog = Catalog::default();
    let runbook = json!({
        "title": "Restart the web server", "description": "Drains it first.",
        "inputs": {"depth": 2, "host": {"required": true}, "list": ["a"], "loud": false, "note": "first\nsecond", "why": "asked for"},
        "steps": [
            {"name": "look", "action": "http/local", "with": {"url": "http://{{inputs.host}}"}, "attempts": 3, "idempotent": true, "on-failure": "continue"},
            {"name": "restart", "action": "command/local", "on-failure": {"goto": "look"}}
        ],
        "on": ["incident.opened", {"event": "alert.firing", "where": {"labels.job": ["web", ""]}, "inputs": {"host": "{{data.labels.instance}}"}}]
    });
    catalog.runbooks.insert("restart".to_owned(), serde_json::from_value(runbook).unwrap());
    catalog
}

#[tokio::test]
async fn a_runbook_is_told_in_words() {
    let deck = deck_with(with_runbook(), |_| {}).await;
    let (_, list) = page(&deck, "/console/runbooks").await;
    has(&list, &["Restart the web server", "href=\"/console/runbooks/restart\"", "incident.opened"]);
    let (_, shown) = page(&deck, "/console/runbooks/restart").await;
    has(
        &shown,
        &[
            "Drains it first.",
            "up to 3 times",
            "goes on with the next step",
            "goes on at",
            "labels.job",
            "needed; JSON, or else a text",
            "quarterdeck runbook run restart",
            "quarterdeck console",
        ],
    );
    assert!(!shown.contains("method=\"post\""), "nobody is signed in");
    assert_eq!(page(&deck, "/console/runbooks/none").await.0, 404);
}

#[tokio::test]
async fn the_form_of_a_runbook_takes_what_its_inputs_are_and_says_what_is_wrong_with_which() {
    let deck = deck_with(with_runbook(), |_| {}).await;
    let form = signed_in(&deck, "/console/runbooks/restart?input.host=web-1&cause=inc_1").await;
    has(
        &form,
        &[
            "name=\"input.depth\" value=\"2\"",
            "name=\"input.host\" value=\"web-1\"",
            "name=\"cause\" value=\"inc_1\"",
            "<select name=\"input.loud\"",
            "<textarea name=\"input.list\"",
        ],
    );
    let (status, wrong) = change(
        &deck,
        "/console/runbooks/restart",
        &[("input.depth", "two"), ("input.host", " "), ("input.list", "{"), ("input.why", "<b>"), ("cause", "inc_1")],
    )
    .await;
    assert_eq!(status, 422);
    has(
        &wrong,
        &[
            "It was not started: 3",
            "`two` is not a number",
            "it has no default, so it must be given",
            "it is not JSON",
            "value=\"two\"",
            "value=\"&lt;b&gt;\"",
            "aria-invalid=\"true\"",
        ],
    );
    assert_eq!(deck.get("/api/v1/runs").await.json()["items"], json!([]), "nothing was begun");
    let (status, to) = change(
        &deck,
        "/console/runbooks/restart",
        &[
            ("input.depth", "3"),
            ("input.host", "web-1"),
            ("input.list", "[\"a\", \"b\"]"),
            ("input.loud", "true"),
            ("input.note", "first\r\nsecond"),
            ("cause", "inc_1"),
        ],
    )
    .await;
    assert_eq!(status, 303, "{to}");
    let run = deck.get("/api/v1/runs").await.json()["items"][0].clone();
    assert_eq!(to, format!("/console/runs/{}", run["id"].as_str().unwrap()));
    assert_eq!(
        run["inputs"],
        json!({"depth": 3, "host": "web-1", "list": ["a", "b"], "loud": true, "note": "first\nsecond", "why": "asked for"})
    );
    assert_eq!(
        (&run["principal"], &run["cause"], &run["dry_run"]),
        (&json!("console"), &json!("inc_1"), &json!(false))
    );
    let shown = signed_in(&deck, &to).await;
    has(&shown, &["Run it again", "input.host=web-1", "cause=inc_1", "href=\"/console/incidents/inc_1\""]);
}

#[tokio::test]
async fn a_dry_run_says_what_each_step_would_do() {
    let deck = deck_with(with_runbook(), |_| {}).await;
    let (status, to) =
        change(&deck, "/console/runbooks/restart", &[("input.host", "web-1"), ("dry_run", "true")]).await;
    assert_eq!(status, 303, "{to}");
    has(&page(&deck, &to).await.1, &["dry run", "Nothing was done"]);
}

#[tokio::test]
async fn a_run_is_shown_with_its_steps_and_cancelled_while_it_goes_on() {
    let deck = world().await;
    let steps = json!([
        {"name": "look", "action": "http/local", "state": "succeeded", "effect": "eff_1", "started_at": START, "finished_at": START.plus(Span::from_secs(3)),
            "attempts": 2, "inputs": {"url": "http://a"}, "outputs": {"stdout": "one\n<two>\n", "exit_code": 0}, "error": null, "plugin": null},
        {"name": "wait", "action": "http/local", "state": "running", "effect": "eff_2", "started_at": START, "finished_at": null,
            "attempts": 1, "inputs": {}, "outputs": null, "error": null, "plugin": null},
    ]);
    let changes = json!({"state": "running", "finished_at": null, "error": null, "steps": steps, "cause": "inc_1"});
    deck.put(Run::COLLECTION, "run_1", &like(Run::COLLECTION, "run_1", &changes)).await;
    deck.put(OUTBOX, "eff_2", &pending("eff_2", "run_1")).await;
    let (_, list) = page(&deck, "/console/runs?state=running").await;
    has(&list, &["/console/runs/run_1", "1 of 2", "at <bdi"]);
    assert!(!list.contains("/console/runs/one\""), "{list}");
    let shown = signed_in(&deck, "/console/runs/run_1").await;
    has(
        &shown,
        &[
            "one\n&lt;two&gt;",
            "exit_code",
            "took 3 s",
            "attempt 2",
            "refused: try later",
            "data-live=\"run. effect. audit.\"",
            "/console/runs/run_1/cancel",
        ],
    );
    let (status, to) = change(&deck, "/console/runs/run_1/cancel", &[]).await;
    assert_eq!((status, to.as_str()), (303, "/console/runs/run_1"));
    assert_eq!(deck.get("/api/v1/runs/run_1").await.json()["state"], "cancelled");
    let over = signed_in(&deck, "/console/runs/run_1").await;
    assert!(!over.contains("/cancel\"") && over.contains("Run it again"), "{over}");
    assert_eq!(change(&deck, "/console/runs/run_1/cancel", &[]).await.0, 409);
}

fn pending(id: &str, owner: &str) -> Value {
    let mut effect = letter()["effect"].clone();
    effect["id"] = json!(id);
    effect["owner"] = json!(owner);
    json!({"effect": effect, "attempts": 2, "due": START.plus(Span::from_secs(3600)), "last_error": "refused: try later"})
}

#[tokio::test]
async fn an_incident_leads_to_its_runbooks_with_itself_as_the_cause() {
    let deck = world().await;
    has(&page(&deck, "/console/incidents/one").await.1, &["/console/runbooks/health?cause=one"]);
}

#[tokio::test]
async fn a_deployment_is_started_watched_promoted_and_taken_back() {
    let deck = world().await;
    has(&signed_in(&deck, "/console/services").await, &["/console/services/shop", "not seen of late"]);
    has(
        &signed_in(&deck, "/console/services/shop").await,
        &["Deploy", "name=\"revision\"", "r2", "Replicas that are up"],
    );
    let (status, wrong) = change(&deck, "/console/deployments", &[("service", "shop"), ("revision", "no good")]).await;
    assert_eq!(status, 422);
    has(&wrong, &["is not a revision"]);
    let (status, to) = change(&deck, "/console/deployments", &[("service", "shop"), ("revision", "r3")]).await;
    assert_eq!(status, 303, "{to}");
    let id = to.strip_prefix("/console/deployments/").unwrap().to_owned();
    let deployment = deck.get(&format!("/api/v1/deployments/{id}")).await.json();
    assert_eq!((&deployment["candidate"], &deployment["principal"]), (&json!("r3"), &json!("console")));
    has(&page(&deck, "/console/services/shop").await.1, &["is under way", &to]);
    assert_eq!(change(&deck, "/console/deployments", &[("service", "shop"), ("revision", "r4")]).await.0, 409);
    has(&signed_in(&deck, &to).await, &["Promote in full", "Abort and roll back", "r2 gets all of the traffic again"]);
    let now = seen(&signed_in(&deck, &to).await);
    assert_eq!(change(&deck, &format!("{to}/promote"), &[]).await.0, 422, "what was seen is needed");
    assert_eq!(change(&deck, &format!("{to}/promote"), &[("seen", "paused 50 2")]).await.0, 412);
    assert_eq!(change(&deck, &format!("{to}/promote"), &[("seen", &now)]).await.0, 409, "it waits for nobody");
    let in_full = [("full", "true"), ("seen", now.as_str())];
    assert_eq!(change(&deck, &format!("{to}/promote"), &in_full).await, (303, to.clone()));
    assert_eq!(deck.get(&format!("/api/v1/deployments/{id}")).await.json()["in_full"], true);
    assert_eq!(change(&deck, &format!("{to}/abort"), &[("reason", "too <slow>")]).await, (303, to.clone()));
    let shown = signed_in(&deck, &to).await;
    has(&shown, &["too &lt;slow&gt;"]);
    assert!(!shown.contains("/abort\""), "{shown}");
}

#[tokio::test]
async fn a_deployment_tells_what_was_decided_and_on_what_figures() {
    let deck = world().await;
    let moves = json!([
        {"at": START, "decided": {"move": "weight", "percent": 10}, "reason": "first", "plugin": null,
            "analysis": {"since": START, "responses": 200, "failures": 3, "stable_responses": 10, "stable_failures": 0}},
        {"at": START.plus(Span::from_secs(60)), "decided": {"move": "pause", "reason": "asks <you>"}, "reason": "second", "plugin": null,
            "analysis": {"since": START, "responses": 0, "failures": 0, "stable_responses": 0, "stable_failures": 0}},
    ]);
    let changes = json!({"state": "paused", "finished_at": null, "moves": moves, "weight": 10, "deadline": START.plus(Span::from_secs(86_400)),
        "next_look": START.plus(Span::from_secs(86_400)), "in_flight": [{"effect": "eff_9", "step": {"step": "weight", "replica": "shop-1", "weight": 26}, "done": true}]});
    deck.put(Deployment::COLLECTION, "dep_1", &like(Deployment::COLLECTION, "dep_1", &changes)).await;
    let shown = signed_in(&deck, "/console/deployments/dep_1").await;
    has(
        &shown,
        &[
            "give it 10 % of the traffic",
            "3 of 200 (1.5 %)",
            "waits for a person",
            "asks &lt;you&gt;",
            "a weight of 26 of 256",
            "<svg",
            "value=\"10\"",
            ">Promote…",
            "weight of the new revision",
        ],
    );
    let now = seen(&shown);
    assert_eq!(change(&deck, "/console/deployments/dep_1/promote", &[("seen", &now)]).await.0, 303);
    assert_eq!(deck.get("/api/v1/deployments/dep_1").await.json()["state"], "progressing");
    let again = change(&deck, "/console/deployments/dep_1/promote", &[("seen", &now)]).await;
    assert_eq!(again.0, 412, "who pressed it at the same time takes it through no other pause");
    let list = page(&deck, "/console/deployments?service=shop&state=progressing").await.1;
    assert!(list.contains("dep_1") && !list.contains("deployments/one"), "{list}");
}

#[tokio::test]
async fn findings_come_worst_first_and_say_what_to_do() {
    let deck = world().await;
    for (id, severity, state, subject) in [
        ("default/a/low", "low", "open", "low.txt"),
        ("default/a/critical", "critical", "open", "critical.txt"),
        ("default/a/fixed", "critical", "fixed", "fixed.txt"),
    ] {
        let finding = like(
            Finding::COLLECTION,
            id,
            &json!({"severity": severity, "state": state, "subject": subject, "rule": severity}),
        );
        deck.put(Finding::COLLECTION, id, &finding).await;
    }
    let (_, list) = page(&deck, "/console/findings").await;
    let at = |name: &str| list.find(name).unwrap_or_else(|| panic!("{name}: {list}"));
    assert!(at(">critical.txt") < at(">low.txt") && at(">a.pem") < at(">low.txt"));
    assert!(!list.contains("fixed.txt") && list.contains("3 findings"), "{list}");
    for (query, expected) in [
        ("state=any", 4),
        ("state=fixed", 1),
        ("severity=critical", 2),
        ("rule=low", 1),
        ("scan=default", 3),
        ("scan=other", 0),
        ("target=CRITICAL", 1),
    ] {
        let (_, list) = page(&deck, &format!("/console/findings?{query}")).await;
        assert_eq!(list.matches("href=\"/console/findings/default").count(), expected, "{query}: {list}");
    }
    assert_eq!(page(&deck, "/console/findings?state=loud").await.0, 400);
    let (_, shown) = page(&deck, "/console/findings/default%2Fsecrets%2Ffiles%2Fone").await;
    has(
        &shown,
        &[
            "What to do",
            "a.pem",
            "line 1, column 1",
            "CWE-798",
            "private-key",
            "href=\"/console/scans/one\"",
            "quarterdeck scan default",
        ],
    );
}

#[tokio::test]
async fn a_long_list_of_findings_has_parts() {
    let deck = world().await;
    for number in 0..130 {
        let id = format!("default/a/{number}");
        deck.put(Finding::COLLECTION, &id, &like(Finding::COLLECTION, &id, &json!({}))).await;
    }
    let (_, first) = page(&deck, "/console/findings").await;
    has(&first, &["131 findings", "cursor=1"]);
    let (_, second) = page(&deck, "/console/findings?cursor=1").await;
    assert_eq!(
        (first.matches("/console/findings/default").count(), second.matches("/console/findings/default").count()),
        (100, 31)
    );
    has(&second, &["href=\"/console/findings?severity="]);
    assert!(
        !second.contains("severity=high&amp;cursor") && !second.contains("cursor=1&amp;severity"),
        "a filter begins anew"
    );
}

#[tokio::test]
async fn a_scan_is_started_and_says_what_failed() {
    let deck = world().await;
    has(&signed_in(&deck, "/console/scans").await, &["Scan now", "secrets/files", "/console/scans/one"]);
    let (status, to) = change(&deck, "/console/scans", &[("name", "default")]).await;
    assert_eq!(status, 303, "{to}");
    assert!(to.starts_with("/console/scans/scan_"), "{to}");
    assert_eq!(deck.get(&to.replace("/console", "/api/v1")).await.json()["principal"], "console");
    assert_eq!(change(&deck, "/console/scans", &[("name", "none")]).await.0, 404);
    let changes = json!({"failed_rules": [{"instance": "secrets/files", "plugin": null, "error": "ran <out>"}], "errors": ["can't read <a>"],
        "pages": [{"url": "http://a/<b>", "score": 40, "grade": "F"}], "skipped_because": {"too large": 1}});
    deck.put(Scan::COLLECTION, "scan_1", &like(Scan::COLLECTION, "scan_1", &changes)).await;
    has(
        &page(&deck, "/console/scans/scan_1").await.1,
        &[
            "ran &lt;out&gt;",
            "can't read &lt;a&gt;",
            "http://a/&lt;b&gt;",
            "40 of 100",
            "1 <bdi class=\"clip\">too large",
            "partial",
            "scan=scan_1",
        ],
    );
}

#[tokio::test]
async fn objectives_are_told_in_figures_words_and_charts() {
    let deck = world().await;
    let status = json!({"name": "shop", "state": "breached", "error": "no <calculator>", "attainment": {"adjusted": {"good": 990.0, "total": 1000.0, "attained": 0.99},
        "raw": {"good": 990.0, "total": 1000.0, "attained": 0.99}, "met": false, "budget_left": -9.0},
        "spec": {"calculator": "availability/default", "select": {"metric": "up"}, "config": {"target": 0.999}, "description": "of <all>",
            "exclusions": [{"from": START, "to": START.plus(Span::from_secs(60)), "author": "ann", "reason": "moved <it>"}]}});
    let mut slo = like(SloStatus::COLLECTION, "shop", &status);
    slo.as_object_mut().unwrap().remove("id");
    deck.put(SloStatus::COLLECTION, "shop", &slo).await;
    let sample = |back: u64, value: f64| json!({"name": "slo_error_budget_left_ratio", "labels": {"slo": "shop"}, "value": value, "at": at(back).to_string()});
    let pushed = json!([sample(3600, 0.5), sample(60, 0.25)]);
    assert_eq!(deck.post("/api/v1/metrics", &pushed).await.status, 202);
    let (_, list) = page(&deck, "/console/slos").await;
    has(&list, &["breached", "99.00 %", "99.9 %", "-900 %", "<meter", "no data", "of &lt;all&gt;"]);
    assert!(!page(&deck, "/console/slos?state=met").await.1.contains("/console/slos/shop"));
    let (_, shown) = page(&deck, "/console/slos/shop").await;
    has(
        &shown,
        &[
            "no &lt;calculator&gt;",
            "-25 % in the last hour",
            "moved &lt;it&gt;",
            "<svg",
            "aria-current=\"page\">1 day",
            "range=7days",
        ],
    );
    has(&page(&deck, "/console/slos/shop?range=1h").await.1, &["aria-current=\"page\">1 hour"]);
    assert_eq!(page(&deck, "/console/slos/shop?range=x").await.0, 400);
}

fn at(back: u64) -> Timestamp {
    START.minus(Span::from_secs(back))
}

#[tokio::test]
async fn jobs_are_listed_and_run() {
    struct Idle;
    #[async_trait::async_trait]
    impl quarterdeck_scheduler::Job for Idle {
        async fn run(&self, _: Timestamp) -> Result<(), String> {
            Err("no <answer>".to_owned())
        }
    }
    let deck = deck_with(Catalog::default(), |options| {
        let spec = JobSpec { at_start: false, ..JobSpec::every("collect/http-probe/api", Span::from_secs(3600)) };
        options.scheduler.set(spec, Arc::new(Idle)).unwrap();
    })
    .await;
    let name = "/console/jobs/collect%2Fhttp-probe%2Fapi";
    let (_, list) = page(&deck, "/console/jobs?kind=collect").await;
    has(&list, &[name, "every 1 h"]);
    assert!(!list.contains("/console/jobs/dead-letters"), "{list}");
    assert_eq!(page(&deck, "/console/jobs?state=odd").await.0, 400);
    has(&signed_in(&deck, name).await, &["Run now", "is left out, and counted"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let has_run = async |times: u64| loop {
        let job = deck.get("/api/v1/jobs/collect%2Fhttp-probe%2Fapi").await.json();
        if job["runs"].as_u64() >= Some(times) && job["running"] == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{times}: {job}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(change(&deck, name, &[]).await, (303, name.to_owned()));
    has_run(1).await;
    has(&page(&deck, name).await.1, &["The last run failed", "no &lt;answer&gt;", "1 failed"]);
    has(&page(&deck, "/console/jobs?state=failed").await.1, &[name]);
    assert_eq!(change(&deck, "/console/jobs/none", &[]).await.0, 404);
}

#[tokio::test]
async fn dead_letters_are_read_and_taken_up_again_where_that_can_be() {
    let deck = world().await;
    deck.put(DEAD_LETTERS, "eff_1", &letter()).await;
    let mut step = letter();
    step["effect"]["action"] = json!({"do": "run-step", "inputs": {}});
    deck.put(DEAD_LETTERS, "eff_2", &step).await;
    deck.put(DEAD_LETTERS, "evt_1.runs", &json!({"kind": "event", "at": START, "reason": "odd <shape>", "consumer": "runs", "event": {"offset": 1, "event": {"type": "custom.a"}}})).await;
    let (_, list) = page(&deck, "/console/dead-letters").await;
    has(
        &list,
        &["tell: ", "an event that could not be handled", "odd &lt;shape&gt;", "custom.a", "/console/dead-letters/one"],
    );
    assert!(!page(&deck, "/console/dead-letters?kind=event").await.1.contains("/dead-letters/eff_1"));
    has(&signed_in(&deck, "/console/dead-letters/eff_1").await, &["Retry", "webhook/gone"]);
    has(&signed_in(&deck, "/console/dead-letters/eff_2").await, &["Do it all the same", "may do harm"]);
    has(&signed_in(&deck, "/console/dead-letters/evt_1.runs").await, &["can't be retried here"]);
    assert_eq!(change(&deck, "/console/dead-letters/eff_2", &[]).await.0, 409, "it needs to be said");
    assert_eq!(change(&deck, "/console/dead-letters/eff_1", &[]).await, (303, "/console/dead-letters".to_owned()));
    assert_eq!(deck.get("/api/v1/dead-letters/eff_1").await.status, 404);
    has(&page(&deck, "/console/outbox").await.1, &["/console/outbox/eff_1", "tell: "]);
    has(&page(&deck, "/console/outbox/eff_1").await.1, &["webhook/gone", "it is done again, with the same key"]);
    let (status, gone) = page(&deck, "/console/outbox/eff_3").await;
    assert_eq!(status, 404);
    has(&gone, &["does not wait any more"]);
}

#[tokio::test]
async fn whatever_is_in_the_names_of_these_it_is_shown_as_text() {
    let deck = world().await;
    let spec = json!({"title": HOSTILE, "description": HOSTILE, "inputs": {HOSTILE: HOSTILE}, "steps": [{"name": HOSTILE, "action": HOSTILE, "with": {HOSTILE: HOSTILE}}]});
    let mut run = like(
        Run::COLLECTION,
        "run_1",
        &json!({"spec": spec, "runbook": HOSTILE, "cause": HOSTILE, "principal": HOSTILE, "inputs": {HOSTILE: HOSTILE}, "error": HOSTILE}),
    );
    for name in ["name", "action", "error"] {
        run["steps"][0][name] = json!(HOSTILE);
    }
    run["steps"][0]["outputs"] = json!({HOSTILE: format!("{HOSTILE}\n{HOSTILE}")});
    deck.put(Run::COLLECTION, "run_1", &run).await;
    let mut deployment = like(
        Deployment::COLLECTION,
        "dep_1",
        &json!({"candidate": HOSTILE, "stable": HOSTILE, "principal": HOSTILE, "error": HOSTILE}),
    );
    for name in ["name", "message"] {
        deployment["replicas"][0][name] = json!(HOSTILE);
    }
    deployment["moves"][0]["reason"] = json!(HOSTILE);
    deck.put(Deployment::COLLECTION, "dep_1", &deployment).await;
    let finding = json!({"title": HOSTILE, "message": HOSTILE, "remediation": HOSTILE, "subject": HOSTILE, "rule": HOSTILE, "scan_name": HOSTILE});
    deck.put(Finding::COLLECTION, "hostile", &like(Finding::COLLECTION, "hostile", &finding)).await;
    deck.put(
        Scan::COLLECTION,
        "scan_1",
        &like(Scan::COLLECTION, "scan_1", &json!({"name": HOSTILE, "errors": [HOSTILE]})),
    )
    .await;
    deck.put(DEAD_LETTERS, "eff_1", &json!({"kind": HOSTILE, "reason": HOSTILE})).await;
    let (cookie, _) = sign_in(&deck).await;
    let found = crawl(&deck, &cookie).await;
    for expected in [
        "/console/runs/run_1",
        "/console/deployments/dep_1",
        "/console/findings/hostile",
        "/console/scans/scan_1",
        "/console/dead-letters/eff_1",
        "/console/services/shop",
        "/console/runbooks/health",
        "/console/slos/one",
        "/console/jobs/dead-letters",
    ] {
        assert!(found.iter().any(|(path, _)| path == expected), "{expected} is not led to");
    }
    let mut shown_as_text = 0;
    for (path, shown) in &found {
        for unwanted in ["<script>alert", "<img", "onerror=alert(1)>"] {
            assert!(!shown.contains(unwanted), "{path}: {unwanted}");
        }
        shown_as_text += usize::from(shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
    assert!(shown_as_text >= 10, "{shown_as_text}");
}

#[tokio::test]
async fn fields_that_are_needed_say_so_to_the_browser_and_times_how_they_are_written() {
    let deck = world().await;
    for (path, expected) in [
        ("services/shop", "name=\"revision\" value=\"\" required"),
        ("deployments", "name=\"revision\" value=\"\" required"),
        ("configuration/new?section=rules", "name=\"name\" value=\"\" required"),
        ("silences/new", "name=\"comment\" value=\"\" required"),
        ("silences/new", "name=\"starts\" value=\"\" pattern=\""),
        ("metrics?from=2026-09-21&to=2026-09-22", "name=\"from\" value=\"2026-09-21T00:00:00.000Z\" pattern=\""),
    ] {
        has(&signed_in(&deck, &format!("/console/{path}")).await, &[expected]);
    }
}
