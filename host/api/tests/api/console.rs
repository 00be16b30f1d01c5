//! The console: who may what, what is shown as text, and that every page is there, safe, and led to.

use crate::support::{Answer, Deck, START, TOKEN, deck, deck_with, request};
use crate::world::{like, world};
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN};
use http::{Method, Request};
use http_body_util::BodyExt;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::domain::scan::Scan;
use quarterdeck_model::event::Event;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use tower::ServiceExt;

/// Every character that markup, or a line of text, is turned by.
pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}gpj.exe\u{2066}&amp;";

/// Sends the request past the check of the API's document: pages are not in it.
pub(crate) async fn send(deck: &Deck, request: Request<Body>) -> Answer {
    let response = deck.router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
}

pub(crate) async fn page_as(deck: &Deck, path: &str, cookie: &str) -> (u16, String) {
    let asked = request(Method::GET, path).header(COOKIE, cookie).header("accept", "text/html");
    let answer = send(deck, asked.body(Body::empty()).unwrap()).await;
    (answer.status.as_u16(), String::from_utf8(answer.body).unwrap())
}

pub(crate) async fn page(deck: &Deck, path: &str) -> (u16, String) {
    page_as(deck, path, "").await
}

/// Sends a form as a browser does.
pub(crate) async fn post(deck: &Deck, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let asked = request(Method::POST, path)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ORIGIN, "http://127.0.0.1:7700")
        .header(COOKIE, cookie);
    send(deck, asked.body(Body::from(body)).unwrap()).await
}

/// What the first form of the page says that was seen.
pub(crate) fn seen(shown: &str) -> String {
    let value = shown.split("name=\"seen\" value=\"").nth(1).unwrap_or_else(|| panic!("{shown}"));
    value.split('"').next().unwrap().to_owned()
}

async fn link(deck: &Deck) -> String {
    let answer = deck.ask(Method::POST, "/api/v1/console/links", None, &[]).await;
    assert_eq!(answer.status, 201);
    answer.json()["path"].as_str().unwrap().to_owned()
}

/// Follows a new link; gives the cookie, and the secret of its forms.
pub(crate) async fn sign_in(deck: &Deck) -> (String, String) {
    let link = link(deck).await;
    let code = link.strip_prefix("/console/sign-in?code=").unwrap();
    let answer = post(deck, "/console/sign-in", "", &[("code", code)]).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/console"));
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let (_, shown) = page_as(deck, "/console", &cookie).await;
    let csrf = shown.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cookie, csrf)
}

/// Everything that can be reached by links from the overview, with its page.
pub(crate) async fn crawl(deck: &Deck, cookie: &str) -> Vec<(String, String)> {
    let mut seen = BTreeSet::from(["/console".to_owned()]);
    let mut waiting = VecDeque::from(["/console".to_owned()]);
    let mut found = Vec::new();
    while let Some(path) = waiting.pop_front() {
        let asked = request(Method::GET, &path).header(COOKIE, cookie);
        let answer = send(deck, asked.body(Body::empty()).unwrap()).await;
        let shown = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status, 200, "{path}: {shown}");
        if answer.header("content-type").starts_with("text/html") {
            check(&path, &answer, &shown);
        }
        for attribute in ["href=\"", "src=\"", "action=\""] {
            for link in shown.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                let link = link.replace("&amp;", "&");
                if attribute == "action=\""
                    || link.starts_with('#')
                    || !answer.header("content-type").starts_with("text/html")
                {
                    continue;
                }
                assert!(link.starts_with('/'), "{path} leads to {link}");
                if seen.insert(link.clone()) {
                    waiting.push_back(link);
                }
            }
        }
        found.push((path, shown));
    }
    found
}

/// What holds of every page.
pub(crate) fn check(path: &str, answer: &Answer, shown: &str) {
    let policy = answer.header("content-security-policy");
    for expected in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(expected), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}: its forms would have no origin");
    assert!(shown.len() < 400_000, "{path} is {} bytes", shown.len());
    let mut ids = BTreeSet::new();
    let mut rest = shown;
    while let Some(start) = rest.find('<') {
        // Attributes are quoted, and what is in them is escaped.
        let end = rest[start..].find('>').unwrap() + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let names: Vec<_> = tag
            .split('"')
            .step_by(2)
            .flat_map(|part| part.split_whitespace().skip(usize::from(!part.starts_with(' '))))
            .collect();
        for name in names.iter().map(|name| name.trim_end_matches('=')) {
            assert!(name != "style" && !name.starts_with("on"), "{path}: <{tag}>");
        }
        assert!(!tag.starts_with("style"), "{path}: a style within the page");
        if tag.starts_with("script") {
            assert!(tag.contains("src=\"/console/assets/") && rest.starts_with("</script>"), "{path}: <{tag}>");
        }
        if let Some(id) = tag.split(" id=\"").nth(1) {
            let id = id.split('"').next().unwrap();
            assert!(ids.insert(id.to_owned()), "{path}: the id {id} is there twice");
        }
    }
}

/// Every page of the navigation.
async fn pages(deck: &Deck) -> Vec<String> {
    let (status, shown) = page(deck, "/console").await;
    assert_eq!(status, 200, "{shown}");
    let navigation = shown.split("<div class=\"side\">").nth(1).unwrap().split("</nav>").next().unwrap();
    navigation.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_link_signs_in_once_and_not_by_being_looked_at() {
    let deck = deck().await;
    let link = link(&deck).await;
    for _ in 0..2 {
        let (status, shown) = page(&deck, &link).await;
        assert_eq!(status, 200);
        assert!(shown.contains("<form method=\"post\" action=\"/console/sign-in\">"), "{shown}");
    }
    let code = link.split('=').nth(1).unwrap();
    let first = post(&deck, "/console/sign-in", "", &[("code", code)]).await;
    assert_eq!(first.status, 303);
    let cookie = first.header("set-cookie");
    for part in ["quarterdeck-7700=", "; HttpOnly", "; SameSite=Lax", "; Path=/console"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "it came by http");
    let again = post(&deck, "/console/sign-in", "", &[("code", code)]).await;
    assert_eq!(again.status, 403);
    assert!(String::from_utf8(again.body).unwrap().contains("quarterdeck console"));
    assert_eq!(post(&deck, "/console/sign-in", "", &[]).await.status, 403);
    let (_, shown) = page_as(&deck, "/console", cookie.split(';').next().unwrap()).await;
    assert!(shown.contains("Sign out"), "{shown}");
}

#[tokio::test]
async fn a_link_is_good_for_ten_minutes_and_a_session_for_thirty_days_after_its_last_use() {
    let deck = deck().await;
    let late = link(&deck).await;
    deck.clock.advance(Span::from_secs(600));
    assert_eq!(post(&deck, "/console/sign-in", "", &[("code", late.split('=').nth(1).unwrap())]).await.status, 403);
    let (cookie, _) = sign_in(&deck).await;
    let signed_in = async || page_as(&deck, "/console", &cookie).await.1.contains("Sign out");
    for _ in 0..3 {
        deck.clock.advance(Span::from_secs(29 * 86_400));
        assert!(signed_in().await, "each use counts");
    }
    deck.clock.advance(Span::from_secs(30 * 86_400));
    assert!(!signed_in().await);
}

#[tokio::test]
async fn the_cookie_is_kept_from_plain_connections_where_the_page_came_by_tls() {
    let deck = deck().await;
    let link = link(&deck).await;
    let asked = Request::builder()
        .method(Method::POST)
        .uri("/console/sign-in")
        .header("host", "deck.example")
        .header(ORIGIN, "https://deck.example")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(link.split('?').nth(1).unwrap().to_owned()));
    let answer = send(&deck, asked.unwrap()).await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").contains("; Secure"));
}

#[tokio::test]
async fn links_are_made_for_whoever_has_the_token() {
    let deck = deck().await;
    let asked = request(Method::POST, "/api/v1/console/links").body(Body::empty()).unwrap();
    assert_eq!(deck.send(asked).await.status, 401);
}

#[tokio::test]
async fn a_change_needs_the_session_and_the_secret_of_its_forms() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let path = "/console/incidents/one/acknowledge";
    let state = async || deck.get("/api/v1/incidents/one").await.json()["state"].clone();
    for (cookie, fields, status) in [
        ("", vec![], 401),
        ("", vec![("csrf", csrf.as_str())], 401),
        ("quarterdeck-7700=00", vec![("csrf", csrf.as_str())], 401),
        (cookie.as_str(), vec![], 403),
        (cookie.as_str(), vec![("csrf", "")], 403),
        (cookie.as_str(), vec![("csrf", "00")], 403),
    ] {
        let answer = post(&deck, path, cookie, &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}");
        assert!(answer.header("content-type").starts_with("text/html"));
        assert_eq!(state().await, "open");
    }
    let (_, other) = sign_in(&deck).await;
    assert_eq!(post(&deck, path, &cookie, &[("csrf", &other)]).await.status, 403, "the secret is the session's own");
    let foreign = request(Method::POST, path)
        .header(ORIGIN, "http://evil.example")
        .header(COOKIE, &cookie)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={csrf}")));
    assert_eq!(send(&deck, foreign.unwrap()).await.status, 403);
    assert_eq!(state().await, "open");
    let done = post(&deck, path, &cookie, &[("csrf", &csrf)]).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/incidents/one"));
    let incident = deck.get("/api/v1/incidents/one").await.json();
    assert_eq!((&incident["state"], &incident["acknowledged_by"]), (&json!("acknowledged"), &json!("console")));
    let said = "The incident is acknowledged";
    assert!(page_as(&deck, "/console/incidents/one", &cookie).await.1.contains(said));
    assert!(!page_as(&deck, "/console/incidents/one", &cookie).await.1.contains(said), "it is said once");
}

#[tokio::test]
async fn an_incident_is_worked_on_to_its_end() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let (_, shown) = page_as(&deck, "/console/incidents/one", &cookie).await;
    for offered in ["Acknowledge", "Resolve", "Run a runbook", "System health check"] {
        assert!(shown.contains(offered), "{offered}: {shown}");
    }
    let run = post(&deck, "/console/incidents/one/run", &cookie, &[("csrf", &csrf), ("runbook", "health")]).await;
    assert_eq!(run.status, 303, "{}", String::from_utf8_lossy(&run.body));
    assert!(deck.get("/api/v1/runs").await.json()["items"].as_array().unwrap().iter().any(|run| run["cause"] == "one"));
    let note = "<b>rebooted</b>";
    let members = deck.get("/api/v1/incidents/one").await.json()["members"].as_array().unwrap().len().to_string();
    let blind = post(&deck, "/console/incidents/one/resolve", &cookie, &[("csrf", &csrf), ("seen", "99")]).await;
    assert_eq!(blind.status, 412, "what joined it meanwhile is looked at before");
    let done =
        post(&deck, "/console/incidents/one/resolve", &cookie, &[("csrf", &csrf), ("note", note), ("seen", &members)])
            .await;
    assert_eq!(done.status, 303);
    let (_, shown) = page_as(&deck, "/console/incidents/one", &cookie).await;
    assert!(shown.contains("&lt;b&gt;rebooted&lt;/b&gt;") && !shown.contains(note), "{shown}");
    assert!(!shown.contains("/acknowledge\""), "nothing is offered any more");
    let absent = post(&deck, "/console/incidents/none/resolve", &cookie, &[("csrf", &csrf)]).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn nobody_is_offered_what_only_a_session_may() {
    let deck = world().await;
    let (_, shown) = page(&deck, "/console/incidents/one").await;
    assert!(shown.contains("quarterdeck console") && !shown.contains("method=\"post\""), "{shown}");
}

#[tokio::test]
async fn the_cookie_opens_nothing_but_the_console() {
    let deck = deck_with(Catalog::default(), |options| options.reads_need_token = true).await;
    let (cookie, csrf) = sign_in(&deck).await;
    for (path, body) in [
        ("incidents/one/acknowledge", json!({})),
        ("events", json!({"type": "custom.a", "subject": "a"})),
        ("console/links", Value::Null),
    ] {
        let asked = request(Method::POST, &format!("/api/v1/{path}"))
            .header(COOKIE, &cookie)
            .header("x-csrf", &csrf)
            .header(CONTENT_TYPE, "application/json");
        assert_eq!(deck.send(asked.body(Body::from(body.to_string())).unwrap()).await.status, 401, "{path}");
    }
    let asked = request(Method::GET, "/api/v1/status").header(COOKIE, &cookie).body(Body::empty()).unwrap();
    assert_eq!(deck.send(asked).await.status, 401);
}

#[tokio::test]
async fn where_reading_needs_the_token_pages_need_the_session() {
    let deck = deck_with(Catalog::default(), |options| options.reads_need_token = true).await;
    let (cookie, _) = sign_in(&deck).await;
    for path in ["/console", "/console/events", "/console/search?q=a", "/console/stream", "/console/nothing"] {
        let (status, shown) = page(&deck, path).await;
        assert_eq!(status, 401, "{path}");
        assert!(shown.contains("/console/sign-in"), "{shown}");
    }
    for (path, cookie) in [
        ("/console/sign-in", ""),
        ("/console/assets/console.css", ""),
        ("/console", cookie.as_str()),
        ("/console/events", cookie.as_str()),
    ] {
        assert_eq!(page_as(&deck, path, cookie).await.0, 200, "{path}");
    }
    let elsewhere = Request::builder().uri("/console").header("host", "deck.example").body(Body::empty()).unwrap();
    assert_eq!(send(&deck, elsewhere).await.status, 401);
    let rebound = Request::builder().uri("/console").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(send(&deck, rebound).await.status, 403);
}

#[tokio::test]
async fn who_signs_out_is_out_wherever_the_cookie_is() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    assert_eq!(post(&deck, "/console/sign-out", &cookie, &[]).await.status, 403);
    let out = post(&deck, "/console/sign-out", &cookie, &[("csrf", &csrf)]).await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert!(!page_as(&deck, "/console", &cookie).await.1.contains("Sign out"));
}

#[tokio::test]
async fn every_page_answers_on_an_empty_store_and_says_what_to_do() {
    let deck = deck().await;
    for path in pages(&deck).await {
        let (status, shown) = page(&deck, &path).await;
        assert_eq!(status, 200, "{path}: {shown}");
    }
    let (cookie, _) = sign_in(&deck).await;
    crawl(&deck, &cookie).await;
    assert!(page(&deck, "/console/incidents").await.1.contains("class=\"empty\""));
}

#[tokio::test]
async fn every_page_that_is_led_to_is_there_and_safe() {
    let deck = world().await;
    deck.publish("custom.a", 0..130).await;
    let (cookie, _) = sign_in(&deck).await;
    let found = crawl(&deck, &cookie).await;
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    for expected in ["/console/incidents", "/console/incidents/one", "/console/events"] {
        assert!(paths.contains(&expected), "{expected} is not led to: {paths:?}");
    }
    assert!(paths.iter().any(|path| path.contains("cursor=")), "the list of events has a second part: {paths:?}");
}

#[tokio::test]
async fn names_of_others_are_shown_as_text_on_every_page() {
    let deck = world().await;
    let long = format!("{HOSTILE}{}", "x".repeat(10_000));
    for (id, title) in [("inc_hostile", HOSTILE), ("inc_long", &long)] {
        let mut incident =
            like(Incident::COLLECTION, id, &json!({"title": title, "key": title, "severity": "critical"}));
        incident["members"][0]["name"] = json!(title);
        incident["members"][0]["labels"] = json!({HOSTILE: title});
        incident["timeline"][0]["text"] = json!(title);
        incident["timeline"][0]["principal"] = json!(title);
        deck.put(Incident::COLLECTION, id, &incident).await;
    }
    let event = Event::new(&deck.ids, START, "custom.a", HOSTILE).principal(HOSTILE).data(json!({HOSTILE: HOSTILE}));
    deck.bus.publish("test", vec![event]).await.unwrap();
    let (cookie, _) = sign_in(&deck).await;
    let mut found = crawl(&deck, &cookie).await;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", HOSTILE).finish();
    for path in [
        format!("/console/search?{query}"),
        format!("/console/events?{}", query.replacen("q=", "subject=", 1)),
        format!("/console/{}", query.replacen("q=", "", 1).replace('+', "%20")),
    ] {
        let (_, shown) = page_as(&deck, &path, &cookie).await;
        found.push((path, shown));
    }
    let mut shown_in_full = 0;
    for (path, shown) in &found {
        for unwanted in ["<script>alert", "<img", "onerror=alert(1)>"] {
            assert!(!shown.contains(unwanted), "{path}: {unwanted}");
        }
        shown_in_full += usize::from(shown.contains(&"x".repeat(10_000)));
        if path == "/console/incidents" || path == "/console" {
            assert!(shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{path} shows it as text: {shown}");
            assert!(!shown.contains(&"x".repeat(1_000)), "{path} shows its beginning");
        }
    }
    assert_eq!(shown_in_full, 1, "the page of an object shows its whole name");
}

#[tokio::test]
async fn pages_and_objects_are_found_by_their_words() {
    let deck = world().await;
    let incident = like(Incident::COLLECTION, "inc_disk", &json!({"title": "Disk of db-3 is full"}));
    deck.put(Incident::COLLECTION, "inc_disk", &incident).await;
    let (_, shown) = page(&deck, "/console/search?q=DISK+full").await;
    assert!(shown.contains("href=\"/console/incidents/inc_disk\""), "{shown}");
    assert!(page(&deck, "/console/search?q=incid").await.1.contains("<a href=\"/console/incidents\">"));
    assert!(page(&deck, "/console/search?q=nothing-of-the-kind").await.1.contains("Nothing has all of"));
    assert_eq!(page(&deck, "/console/search").await.0, 200);
}

#[tokio::test]
async fn the_search_says_how_many_there_are_and_leads_to_all_of_them() {
    let deck = world().await;
    for number in 0..123 {
        let id = format!("inc_many{number:03}");
        let title = json!({"title": format!("Flood {number:03}")});
        deck.put(Incident::COLLECTION, &id, &like(Incident::COLLECTION, &id, &title)).await;
    }
    let (_, shown) = page(&deck, "/console/search?q=flood").await;
    let all = "/console/search?q=flood&amp;in=incidents";
    assert!(shown.contains(&format!("<a href=\"{all}\">8 of 123: all incidents")), "what is left out is told");
    let (_, first) = page(&deck, &all.replace("&amp;", "&")).await;
    assert_eq!(first.matches("href=\"/console/incidents/inc_many").count(), 100);
    assert!(first.contains("100 of 123 incidents"));
    let next = first.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let (_, second) = page(&deck, &next).await;
    assert_eq!(second.matches("href=\"/console/incidents/inc_many").count(), 23);
    assert!(!second.contains("rel=\"next\""));
    let (status, refused) = page(&deck, "/console/search?q=flood&in=floods").await;
    assert!(status == 400 && refused.contains("What to do: ") && refused.contains("`incidents`"));
    let asked = request(Method::GET, "/console/search?q=flood").header("accept", "application/json");
    let answer = send(&deck, asked.body(Body::empty()).unwrap()).await.json();
    let group = &answer["groups"][0];
    assert_eq!((&group["kind"], &group["total"], &group["partial"]), (&json!("Incident"), &json!(123), &json!(false)));
    assert_eq!((&group["href"], group["items"].as_array().unwrap().len()), (&json!(all.replace("&amp;", "&")), 8));
}

#[tokio::test]
async fn scans_runs_and_deployments_are_found_by_the_beginning_of_their_ids() {
    let deck = world().await;
    for (collection, id) in [
        (Scan::COLLECTION, "scan_01KQXA0001"),
        (Run::COLLECTION, "run_01KQXB0001"),
        (Deployment::COLLECTION, "dep_01KQXC0001"),
    ] {
        deck.put(collection, id, &like(collection, id, &json!({}))).await;
        for words in [id, &id[..id.len() - 4], &id.to_lowercase()] {
            let (_, shown) = page(&deck, &format!("/console/search?q={words}")).await;
            assert!(shown.contains(&format!("href=\"/console/{collection}/{id}\"")), "{words}");
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_page_that_says_what_to_do() {
    let deck = world().await;
    for (path, status) in [
        ("/console/nothing", 404),
        ("/console/incidents/none", 404),
        ("/console/incidents?state=loud", 400),
        ("/console/events?cursor=x", 400),
        ("/console/events/soon", 400),
        ("/console/metrics?range=long", 400),
        ("/console/jobs?state=asleep", 400),
    ] {
        let answer = send(&deck, request(Method::GET, path).body(Body::empty()).unwrap()).await;
        let shown = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status.as_u16(), status, "{path}");
        check(path, &answer, &shown);
        assert!(shown.contains("class=\"failure\"") && shown.contains("What to do: "), "{path}");
    }
    assert_eq!(post(&deck, "/console/events", "", &[]).await.status, 405);
}

#[tokio::test]
async fn filters_choose_what_a_list_shows_and_empty_ones_choose_nothing() {
    let deck = world().await;
    let shows = async |query: &str| {
        page(&deck, &format!("/console/incidents?{query}")).await.1.contains("/console/incidents/one")
    };
    assert!(shows("state=&severity=").await && shows("state=open").await && shows("severity=high").await);
    assert!(!shows("state=resolved").await && !shows("severity=low").await);
}

#[tokio::test]
async fn the_stream_of_pages_tells_what_happened_and_no_more() {
    let deck = deck().await;
    let asked = request(Method::GET, "/console/stream?after=0&type=custom.").body(Body::empty()).unwrap();
    let response = deck.router.clone().oneshot(asked).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    deck.publish("custom.a", 0..1).await;
    let mut body = response.into_body();
    let mut told = String::new();
    while !told.contains("custom.a") {
        let frame =
            tokio::time::timeout(std::time::Duration::from_secs(20), body.frame()).await.unwrap().unwrap().unwrap();
        told += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    assert!(told.contains("data: {\"subject\":\"0\",\"type\":\"custom.a\"}\n\n"), "{told}");
    assert!(!told.contains("event:"), "a name would hide it from a script that does not know the type");
}

#[tokio::test]
async fn the_first_view_is_small_and_what_dresses_it_is_kept() {
    let deck = world().await;
    let (_, shown) = page(&deck, "/console").await;
    let mut bytes = shown.len();
    for name in ["console.css", "console.js", "stream.js", "charts.js", "theme.js", "icon.svg"] {
        let address = shown.split('"').find(|part| part.starts_with(&format!("/console/assets/{name}?v="))).unwrap();
        let asked = request(Method::GET, address).header("accept-encoding", "gzip, br").body(Body::empty()).unwrap();
        let answer = send(&deck, asked).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, "gzip"));
        assert!(answer.header("cache-control").contains("immutable"));
        bytes += answer.body.len();
        let plain = page(&deck, address).await.1;
        if name.ends_with(".js") {
            assert!(plain.len() < 25_000, "{}", plain.len());
            assert!(!plain.contains("innerHTML ="), "nothing is made into markup");
        }
    }
    assert!(bytes < 150_000, "{bytes}");
    assert_eq!(page(&deck, "/console/assets/other.js").await.0, 404);
}

#[tokio::test]
async fn a_browser_that_asks_for_the_root_is_led_to_the_console() {
    let deck = deck().await;
    let asked = request(Method::GET, "/").header("accept", "text/html,*/*;q=0.8").body(Body::empty()).unwrap();
    let answer = deck.send(asked).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/console"));
    let with_token = request(Method::GET, "/").header(AUTHORIZATION, format!("Bearer {TOKEN}")).body(Body::empty());
    assert_eq!(deck.send(with_token.unwrap()).await.status, 200, "programs get the list of links");
}
