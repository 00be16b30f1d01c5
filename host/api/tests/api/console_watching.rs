//! The console's pages about alerts, silences, rules and metrics: what they show, what they do, and for whom.

use crate::console::{HOSTILE, crawl, page, page_as, post, seen, sign_in};
use crate::support::{Deck, START, deck};
use crate::world::{like, world};
use quarterdeck_model::Span;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::scan::Finding;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::time::{Duration, Instant};

/// The page of an alert.
const ALERT: &str = "/console/alerts/one";

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn shows(deck: &Deck, path: &str, expected: &[&str]) -> String {
    let (status, shown) = page(deck, path).await;
    assert_eq!(status, 200, "{path}: {shown}");
    for text in expected {
        assert!(shown.contains(text), "{path} lacks {text}: {shown}");
    }
    shown
}

/// An alert of another program, with these labels.
async fn alert_posted(deck: &Deck, labels: serde_json::Value) {
    let answer = deck
        .post("/alertmanager/api/v2/alerts", &json!([{"labels": labels, "annotations": {"summary": "sent"}}]))
        .await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn alerts_are_listed_by_state_severity_and_labels() {
    let deck = world().await;
    alert_posted(&deck, json!({"alertname": "DiskFull", "team": "db", "severity": "critical"})).await;
    let all = shows(&deck, "/console/alerts", &["DiskFull", "cpu", "critical", "high", "sent here"]).await;
    assert!(all.find("DiskFull") < all.find("/console/alerts/one"), "the worst comes first");
    let has = async |pairs: &[(&str, &str)], name: &str| {
        let list = shows(&deck, &format!("/console/alerts?{}", query(pairs)), &[]).await;
        list.split("<table>").nth(1).is_some_and(|table| table.contains(name))
    };
    for (pairs, disk, cpu) in [
        (vec![("state", "firing")], true, true),
        (vec![("state", "pending")], false, false),
        (vec![("state", "resolved")], false, false),
        (vec![("state", "all")], true, true),
        (vec![("severity", "critical")], true, false),
        (vec![("filter", "team=\"db\"")], true, false),
        (vec![("filter", "{team!~\"d.*\"}")], false, true),
        (vec![("filter", "team=db\r\nalertname=cpu")], false, false),
        // The silence that is there takes the team.
        (vec![("muted", "no")], false, true),
        (vec![("muted", "yes")], true, false),
    ] {
        assert_eq!((has(&pairs, "DiskFull").await, has(&pairs, ">cpu<").await), (disk, cpu), "{pairs:?}");
    }
    shows(&deck, "/console/alerts?filter=team", &["can't be read", "severity=~"]).await;
    assert_eq!(page(&deck, "/console/alerts?state=loud").await.0, 400);
}

#[tokio::test]
async fn an_alert_says_what_is_known_and_why_somebody_was_told() {
    let deck = world().await;
    let page =
        shows(&deck, ALERT, &["97 &gt; 90", "Why was somebody told", "receiver ops", "Runbook", "All events about it"])
            .await;
    assert!(page.contains("quarterdeck console") && !page.contains("method=\"post\""), "nobody is signed in: {page}");
    let silence = format!("/console/silences/new?{}", query(&[("matchers", "alertname=\"cpu\"")]));
    assert!(page.contains(&format!("href=\"{silence}\"")), "{page}");
    shows(&deck, &silence, &["1 of 1 alerts that fire now"]).await;
    assert_eq!(crate::console::page(&deck, "/console/alerts/none").await.0, 404);
}

#[tokio::test]
async fn an_alert_is_acknowledged_and_resolved_by_who_is_signed_in() {
    let deck = world().await;
    alert_posted(&deck, json!({"alertname": "DiskFull"})).await;
    let alerts = deck.get("/api/v1/alerts").await.json();
    let all = alerts["items"].as_array().unwrap();
    let posted =
        all.iter().find(|alert| alert["labels"]["alertname"] == "DiskFull").unwrap()["fingerprint"].as_str().unwrap();
    let (cookie, csrf) = sign_in(&deck).await;
    for id in ["one", posted] {
        let at = format!("/console/alerts/{id}");
        for order in ["acknowledge", "resolve"] {
            let path = format!("{at}/{order}");
            assert_eq!(post(&deck, &path, "", &[("csrf", &csrf)]).await.status, 401);
            assert_eq!(post(&deck, &path, &cookie, &[]).await.status, 403);
        }
        let state = async || deck.get(&format!("/api/v1/alerts/{id}")).await.json();
        assert!(state().await["acknowledged_by"].is_null());
        let bad = post(&deck, &format!("{at}/acknowledge"), &cookie, &[("csrf", &csrf), ("for", "long")]).await;
        assert_eq!(bad.status, 422);
        let done = post(&deck, &format!("{at}/acknowledge"), &cookie, &[("csrf", &csrf), ("for", "1h")]).await;
        assert_eq!((done.status.as_u16(), done.header("location")), (303, at.as_str()));
        assert_eq!(state().await["acknowledged_by"], "console");
        let (_, shown) = page_as(&deck, &at, &cookie).await;
        assert!(shown.contains("acknowledged by console") && !shown.contains("/acknowledge\""), "{shown}");
        assert_eq!(post(&deck, &format!("{at}/resolve"), &cookie, &[("csrf", &csrf)]).await.status, 303);
        assert_eq!(state().await["state"], "resolved");
        let (_, shown) = page_as(&deck, &at, &cookie).await;
        assert!(!shown.contains("/resolve\""), "nothing is offered any more");
    }
}

#[tokio::test]
async fn groups_are_shown_as_receivers_are_told_of_them() {
    let deck = world().await;
    alert_posted(&deck, json!({"alertname": "DiskFull"})).await;
    shows(&deck, "/console/alerts/groups", &["DiskFull", "ops", "looked at again"]).await;
    let other = shows(&deck, "/console/alerts/groups?filter=alertname%3Dother", &[]).await;
    assert!(other.contains("class=\"empty\"") && !other.contains("DiskFull"), "{other}");
}

#[tokio::test]
async fn a_silence_is_previewed_made_changed_and_expired() {
    let deck = world().await;
    alert_posted(&deck, json!({"alertname": "DiskFull", "team": "db"})).await;
    let (cookie, csrf) = sign_in(&deck).await;
    let asked = [("matchers", "team=~\"db|web\""), ("comment", "moving <it>"), ("for", "4h"), ("by", "ann")];
    let (_, shown) = page_as(&deck, &format!("/console/silences/new?{}", query(&asked)), &cookie).await;
    for expected in ["1 of 2 alerts that fire now", "DiskFull", "now 1 alert.", "action=\"/console/silences\""] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("moving <it>"));
    let fields = |more: &[(&'static str, String)]| {
        let mut all: Vec<(&str, String)> = asked.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        all.extend(more.iter().cloned());
        all
    };
    let send = async |path: &str, all: Vec<(&str, String)>| {
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post(&deck, path, &cookie, &all).await
    };
    assert_eq!(send("/console/silences", fields(&[])).await.status, 403, "without the secret");
    let made = send("/console/silences", fields(&[("csrf", csrf.clone())])).await;
    assert_eq!(made.status, 303, "{}", String::from_utf8_lossy(&made.body));
    let at = made.header("location").to_owned();
    let id = at.rsplit('/').next().unwrap().to_owned();
    let kept = async || deck.get(&format!("/api/v1/silences/{id}")).await.json();
    assert_eq!(kept().await["ends_at"], START.plus(Span::from_secs(4 * 3600)).to_string());
    assert_eq!(kept().await["created_by"], "ann");
    shows(&deck, &at, &["moving &lt;it&gt;", "1 of 2 alerts", "DiskFull"]).await;
    shows(&deck, "/console/silences", &["moving &lt;it&gt;", "team=~", "Planned work", "move", "active"]).await;
    shows(&deck, "/console/alerts", &["silenced"]).await;
    shows(&deck, "/console/alerts?muted=yes", &["DiskFull"]).await;

    let seen_now = async || seen(&page_as(&deck, &at, &cookie).await.1);
    let hour = |seen: String| vec![("csrf", csrf.clone()), ("for", "1h".to_owned()), ("seen", seen)];
    let now = seen_now().await;
    deck.clock.advance(Span::from_secs(1));
    let longer = send(&format!("{at}/prolong"), hour(now.clone())).await;
    assert_eq!(longer.header("location"), at);
    assert_eq!(kept().await["ends_at"], START.plus(Span::from_secs(5 * 3600)).to_string());
    assert_eq!(send(&format!("{at}/prolong"), hour(now.clone())).await.status, 412, "two people prolong it once");
    let ends = START.plus(Span::from_secs(60)).to_string();
    let change = [("csrf", csrf.clone()), ("id", id.clone()), ("starts", START.to_string()), ("ends", ends.clone())];
    let stale: Vec<_> = change.iter().cloned().chain([("seen", now)]).collect();
    assert_eq!(send("/console/silences", fields(&stale)).await.status, 412);
    assert_eq!(send("/console/silences", fields(&change)).await.status, 422, "what was seen is needed");
    let change: Vec<_> = change.iter().cloned().chain([("seen", seen_now().await)]).collect();
    let changed = send("/console/silences", fields(&change)).await;
    assert_eq!(changed.header("location"), at, "{}", String::from_utf8_lossy(&changed.body));
    assert_eq!(kept().await["ends_at"], ends);
    assert_eq!(send(&format!("{at}/expire"), Vec::new()).await.status, 403);
    assert_eq!(send(&format!("{at}/expire"), vec![("csrf", csrf.clone())]).await.status, 422);
    assert_eq!(
        send(&format!("{at}/expire"), vec![("csrf", csrf.clone()), ("seen", seen_now().await)]).await.status,
        303
    );
    let over = shows(&deck, &at, &["expired", "Make it again"]).await;
    assert!(!over.contains("/expire\""), "{over}");
    assert_eq!(send("/console/silences/none/expire", vec![("csrf", csrf)]).await.status, 404);
}

#[tokio::test]
async fn a_silence_that_can_t_be_made_says_why_and_keeps_what_was_typed() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    for (asked, expected) in [
        (vec![("matchers", "team"), ("comment", "x"), ("for", "1h")], "can't be read"),
        (vec![("matchers", "team=~\"(\""), ("comment", "x"), ("for", "1h")], "can't be read"),
        (vec![("matchers", "team=db"), ("for", "1h")], "say why"),
        (vec![("matchers", "team=db"), ("comment", "x"), ("for", "soon")], "is no time"),
        (vec![("matchers", "team=db"), ("comment", "x"), ("ends", "2020-01-01 00:00")], "is over"),
        (vec![("matchers", "team=~\".*\""), ("comment", "x"), ("for", "1h")], "must hold"),
    ] {
        let (status, shown) = page_as(&deck, &format!("/console/silences/new?{}", query(&asked)), &cookie).await;
        assert!(status == 200 && shown.contains(expected), "{asked:?}: {shown}");
        assert!(!shown.contains("action=\"/console/silences\""), "{asked:?} is not offered");
        assert!(shown.contains(&asked[0].1.replace('"', "&quot;")), "{asked:?} is kept");
        let sent: Vec<(&str, &str)> = asked.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        assert_eq!(post(&deck, "/console/silences", &cookie, &sent).await.status, 422, "{asked:?}");
    }
}

#[tokio::test]
async fn rules_say_how_their_evaluation_went() {
    let deck = world().await;
    shows(&deck, "/console/rules", &["cpu", "threshold/default", "1 firing", "1 of 1 rules"]).await;
    let none = shows(&deck, "/console/rules?name=other", &["No rule is like that"]).await;
    assert!(!none.contains("threshold/default"), "{none}");
}

#[tokio::test]
async fn expressions_are_charted_and_their_values_shown() {
    let deck = world().await;
    let asked = query(&[("q", "up"), ("q", "up * 3"), ("range", "15m"), ("step", "15s")]);
    let both = shows(
        &deck,
        &format!("/console/metrics?{asked}"),
        &["data-chart", "All expressions", "instance", ">3<", "15s"],
    )
    .await;
    assert_eq!(both.matches("<svg role=\"img\"").count(), 1);
    let apart = shows(&deck, &format!("/console/metrics?{asked}&charts=apart"), &[]).await;
    assert_eq!(apart.matches("<svg role=\"img\"").count(), 2, "{apart}");
    let noted =
        shows(&deck, "/console/metrics?q=up&range=1h", &["deployment", "shop r2", "href=\"/console/incidents/one\""])
            .await;
    assert!(noted.contains("stroke=\"#0000F2\"") && noted.contains("stroke=\"#0000F3\""), "{noted}");
    let exact = query(&[("q", "up"), ("from", "2026-09-21 12:00"), ("to", "2026-09-21T13:00:00Z")]);
    shows(&deck, &format!("/console/metrics?{exact}"), &["No values in this time", "No series has a value then"]).await;
    shows(&deck, "/console/metrics", &["href=\"/console/metrics?q=up\"", "All metrics"]).await;
    for bad in ["q=up&range=x", "q=up&step=1s&range=90d", "q=up&from=later", "q=up&renew=1s"] {
        assert_eq!(page(&deck, &format!("/console/metrics?{bad}")).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_expression_that_can_t_be_evaluated_is_pointed_at_and_others_are_shown() {
    let deck = world().await;
    let asked = query(&[("q", "sum(up))"), ("q", "up")]);
    shows(
        &deck,
        &format!("/console/metrics?{asked}"),
        &["Expression A can", "sum(up))\n       ^", "What to do", "data-chart"],
    )
    .await;
    shows(&deck, "/console/metrics?q=rate(up)", &["Expression A can", "[5m]"]).await;
}

#[tokio::test]
async fn words_are_offered_while_an_expression_is_typed() {
    let deck = world().await;
    for (asked, expected) in [
        ("word=u", "data-word=\"up\""),
        ("word=rat", "data-insert=\"rate(\""),
        ("metric=up&word=in", "data-insert=\"instance=&quot;\""),
        ("metric=up&label=instance&word=", "data-insert=\"a\""),
        ("metric=up&grouped=yes&word=in", "data-insert=\"instance\""),
        ("label=instance&word=", "data-insert=\"a\""),
    ] {
        shows(&deck, &format!("/console/metrics/words?{asked}"), &[expected]).await;
    }
    let (_, none) = page(&deck, "/console/metrics/words?metric=none&grouped=yes").await;
    assert!(!none.contains("data-word"));
}

#[tokio::test]
async fn examples_of_expressions_are_those_that_have_values_here_and_now() {
    let deck = deck().await;
    assert!(!page(&deck, "/console/metrics").await.1.contains("For example"));
    let pushed = |name: &str| json!([{"name": name, "value": 1.0, "at": START.to_string()}]);
    assert_eq!(deck.post("/api/v1/metrics", &pushed("my_own")).await.status, 202);
    shows(&deck, "/console/metrics", &["For example: <a href=\"/console/metrics?q=my_own\">", "PromQL: my_own"]).await;
    for name in ["load1", "disk_used_percent"] {
        assert_eq!(deck.post("/api/v1/metrics", &pushed(name)).await.status, 202);
    }
    let grouped = "max+by+%28mount%29+%28disk_used_percent%29";
    let shown = shows(&deck, "/console/metrics", &[&format!("q={grouped}"), "q=load1", "PromQL: max by (mount)"]).await;
    assert!(!shown.contains("cpu_usage_percent"));
    deck.clock.advance(Span::from_secs(600));
    assert!(!page(&deck, "/console/metrics").await.1.contains("For example"), "what has ended is no example");
}

#[tokio::test]
async fn a_dashboard_shows_its_panels_over_the_time_that_is_chosen() {
    let deck = world().await;
    shows(&deck, "/console/dashboards", &["The &lt;host&gt;", "href=\"/console/dashboards/host\"", ">4<"]).await;
    let none = shows(&deck, "/console/dashboards?text=other", &["No dashboard is like that"]).await;
    assert!(!none.contains("&lt;host&gt;"), "{none}");
    let expected = [
        "The &lt;host&gt;",
        "data-chart",
        "up * 3",
        "20 <bdi>kB</bdi>",
        "instance",
        "unexpected `)`",
        "q=up&amp;q=up+*+3",
        "data-every=\"30\"",
    ];
    let shown = shows(&deck, "/console/dashboards/host?range=15m&renew=30s", &expected).await;
    assert_eq!(shown.matches("<svg role=\"img\"").count(), 1, "{shown}");
    let past = "/console/dashboards/host?from=2026-09-21T12:00:00Z&to=2026-09-21T13:00:00Z&renew=30s";
    let past = shows(&deck, past, &["No values in this time", "No value now"]).await;
    assert!(!past.contains("data-every"), "what is over is not looked at again");
    assert_eq!(page(&deck, "/console/dashboards/none").await.0, 404);
}

#[tokio::test]
async fn what_others_have_named_is_text_on_the_pages_of_alerts_and_metrics() {
    let deck = world().await;
    let long = format!("{HOSTILE}{}", "x".repeat(3_000));
    alert_posted(&deck, json!({"alertname": HOSTILE, "team": long})).await;
    let (cookie, csrf) = sign_in(&deck).await;
    let made = [("csrf", csrf.as_str()), ("matchers", "team=db"), ("comment", HOSTILE), ("by", HOSTILE), ("for", "1h")];
    assert_eq!(post(&deck, "/console/silences", &cookie, &made).await.status, 303);
    let pushed = json!([{"name": "weird", "labels": {"a": HOSTILE}, "value": 1.0, "at": START.to_string()}]);
    assert_eq!(deck.post("/api/v1/metrics", &pushed).await.status, 202);
    let mut found = crawl(&deck, &cookie).await;
    for path in [
        format!("/console/metrics?{}", query(&[("q", HOSTILE)])),
        "/console/metrics?q=weird".to_owned(),
        "/console/metrics/words?metric=weird&label=a&word=".to_owned(),
        format!("/console/silences/new?{}", query(&[("matchers", HOSTILE), ("comment", HOSTILE), ("for", HOSTILE)])),
        format!("/console/alerts?{}", query(&[("filter", HOSTILE)])),
        format!("/console/rules?{}", query(&[("name", HOSTILE)])),
    ] {
        let (status, shown) = page_as(&deck, &path, &cookie).await;
        assert_eq!(status, 200, "{path}: {shown}");
        found.push((path, shown));
    }
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    for (path, shown) in &found {
        for unwanted in ["<script>alert", "<img", "onerror=alert(1)>"] {
            assert!(!shown.contains(unwanted), "{path}: {unwanted}");
        }
        if path.starts_with("/console/alerts")
            && !path.contains("filter")
            && !path.contains("state=")
            && !path.contains("/one")
        {
            assert!(shown.contains(escaped), "{path}: {shown}");
        }
    }
}

#[tokio::test]
async fn what_is_open_is_counted_and_found_however_much_was_closed_since() {
    let deck = deck().await;
    let incident = |number: usize, state: &str| {
        let id = format!("inc_{number:05}");
        let title = format!("Incident {number:05}");
        (id.clone(), like(Incident::COLLECTION, &id, &json!({"title": title, "state": state, "severity": "critical"})))
    };
    let put = async |all: Vec<(String, serde_json::Value)>| {
        let put = all
            .into_iter()
            .fold(Transition::new(), |put, (id, value)| put.put(Incident::COLLECTION, &id, Expected::Any, value));
        deck.store.commit(put).await.unwrap();
    };
    let open = async || {
        let (_, shown) = page(&deck, "/console").await;
        let figure = shown.split("<span class=\"label\">open incidents</span>").next().unwrap();
        let counted = figure.rsplit("<span class=\"value\">").next().unwrap().split('<').next().unwrap().to_owned();
        (counted, deck.get("/api/v1/status").await.json()["open"]["incidents"].as_u64().unwrap())
    };
    assert_eq!(open().await, ("0".to_owned(), 0));
    // More than are looked at from time to time, so that all of them are read anew, and then one by one.
    for begin in (0..4_500).step_by(100) {
        put((begin..begin + 100).map(|number| incident(number, "resolved")).collect()).await;
    }
    put(vec![incident(0, "open"), incident(7, "acknowledged")]).await;
    assert_eq!(open().await, ("2".to_owned(), 2));
    put(vec![incident(0, "resolved")]).await;
    assert_eq!(open().await, ("1".to_owned(), 1));
    shows(&deck, "/console/search?q=incident+00007", &["href=\"/console/incidents/inc_00007\""]).await;
    shows(&deck, "/console", &["Incident 00007"]).await;
    deck.store.commit(Transition::new().delete(Incident::COLLECTION, "inc_00007", Expected::Any)).await.unwrap();
    assert_eq!(open().await, ("0".to_owned(), 0));
}

#[tokio::test]
async fn ten_thousand_findings_and_alerts_are_listed_searched_and_counted_in_no_more_time_than_a_person_notices() {
    let deck = deck().await;
    for begin in (0..10_000).step_by(500) {
        let put = (begin..begin + 500).fold(Transition::new(), |put, number| {
            let id = format!("default/secrets/files/{number:05}");
            let changes = json!({"subject": format!("folder/file-{number}.pem"), "message": format!("key {number}")});
            put.put(Finding::COLLECTION, &id, Expected::Any, like(Finding::COLLECTION, &id, &changes))
        });
        deck.store.commit(put).await.unwrap();
        let alert = |number: usize| json!({"labels": {"alertname": format!("Disk{}", number % 50), "host": format!("host-{number}")}});
        let alerts: Vec<_> = (begin..begin + 500).map(alert).collect();
        assert_eq!(deck.post("/alertmanager/api/v2/alerts", &json!(alerts)).await.status, 200);
    }
    for (path, expected) in [
        ("/console/findings", "10000 findings"),
        ("/console/findings?target=file-9999.pem", "1 finding: "),
        ("/console/alerts", ">10000<"),
        ("/console/search?q=nowhere-to-be-found", "Nothing has all of"),
        ("/console/search?q=host-9999", "host-9999"),
        ("/console", ">10000<"),
    ] {
        let mut fastest = Duration::MAX;
        for _ in 0..6 {
            let begun = Instant::now();
            shows(&deck, path, &[expected]).await;
            fastest = fastest.min(begun.elapsed());
        }
        println!("MEASURED {path}: {fastest:?}");
        // The bound of the benchmark is a fifth of it; this may be neither optimised nor alone.
        assert!(fastest < Duration::from_millis(100), "{path}: {fastest:?}");
    }
}
