//! Sessions of the console: who is signed in, the end of that, and where signing in leads.

use crate::console::{page, page_as, post, send, sign_in};
use crate::support::{Answer, Deck, deck, deck_with, request};
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, ORIGIN, REFERER};
use http::{Method, Request};
use http_body_util::BodyExt;
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use tower::ServiceExt;

async fn sessions(deck: &Deck) -> Vec<Value> {
    deck.get("/api/v1/sessions").await.json()["items"].as_array().unwrap().clone()
}

async fn is_in(deck: &Deck, cookie: &str) -> bool {
    page_as(deck, "/console", cookie).await.1.contains("Sign out")
}

/// Signs in with these headers and fields beside the code.
async fn sign_in_with(deck: &Deck, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    let link = deck.ask(Method::POST, "/api/v1/console/links", None, &[]).await.json();
    let code = link["path"].as_str().unwrap().split('=').nth(1).unwrap().to_owned();
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("code", &code).extend_pairs(fields).finish();
    let asked = request(Method::POST, "/console/sign-in")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ORIGIN, "http://127.0.0.1:7700");
    let asked = headers.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
    send(deck, asked.body(Body::from(body)).unwrap()).await
}

fn cookies(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_session_says_when_from_where_and_by_what_as_text() {
    let deck = deck().await;
    let agent = format!("<b>Browser</b>{}", "x".repeat(1000));
    sign_in_with(&deck, &[("user-agent", &agent), ("x-forwarded-for", "10.0.0.9")], &[]).await;
    let one = sessions(&deck).await.pop().unwrap();
    assert_eq!((&one["created_at"], &one["used_at"]), (&json!(crate::support::START), &json!(crate::support::START)));
    assert!(one["from"].as_str().unwrap().starts_with("10.0.0.9"), "{one}");
    assert_eq!(one["agent"].as_str().unwrap().chars().count(), 200);
    let (cookie, _) = sign_in(&deck).await;
    let (status, shown) = page_as(&deck, "/console/sessions", &cookie).await;
    assert_eq!(status, 200);
    for expected in ["&lt;b&gt;Browser&lt;/b&gt;", "10.0.0.9", "this one", "End all others"] {
        assert!(shown.contains(expected), "{expected}");
    }
    let (_, shown) = page(&deck, "/console/sessions").await;
    assert!(shown.contains("10.0.0.9") && !shown.contains("method=\"post\""), "nobody is offered to end one");
}

#[tokio::test]
async fn a_session_is_listed_until_it_is_over() {
    let deck = deck().await;
    sign_in(&deck).await;
    deck.clock.advance(Span::from_secs(30 * 86_400 - 1));
    assert_eq!(sessions(&deck).await.len(), 1);
    deck.clock.advance(Span::from_secs(1));
    assert_eq!(sessions(&deck).await.len(), 0);
}

#[tokio::test]
async fn one_session_or_all_others_are_ended_by_the_page() {
    let deck = deck().await;
    let (own, csrf) = sign_in(&deck).await;
    let mine = sessions(&deck).await[0]["id"].clone();
    let (first, _) = sign_in(&deck).await;
    let id = sessions(&deck).await.into_iter().map(|one| one["id"].clone()).find(|id| *id != mine).unwrap();
    let others = [sign_in(&deck).await.0, sign_in(&deck).await.0];
    let to = format!("/console/sessions/{}/end", id.as_str().unwrap());
    assert_eq!(post(&deck, &to, &own, &[]).await.status, 403, "it needs the secret of the form");
    assert!(is_in(&deck, &first).await);
    assert_eq!(post(&deck, &to, &own, &[("csrf", &csrf)]).await.status, 303);
    assert!(!is_in(&deck, &first).await && is_in(&deck, &others[0]).await);
    assert_eq!(post(&deck, &to, &own, &[("csrf", &csrf)]).await.status, 404);
    assert_eq!(post(&deck, "/console/sessions/end-others", &own, &[("csrf", &csrf)]).await.status, 303);
    // Said once, on the next page.
    assert!(page_as(&deck, "/console/sessions", &own).await.1.contains("2 sessions are over."));
    assert!(is_in(&deck, &own).await);
    assert!(!is_in(&deck, &others[0]).await && !is_in(&deck, &others[1]).await);
}

#[tokio::test]
async fn the_stream_of_a_session_ends_with_it_and_no_other_does() {
    let deck = deck().await;
    let (first, _) = sign_in(&deck).await;
    let id = sessions(&deck).await[0]["id"].as_str().unwrap().to_owned();
    let (other, _) = sign_in(&deck).await;
    let mut streams = Vec::new();
    for cookie in [&first, &other] {
        let asked = request(Method::GET, "/console/stream?type=custom.").header(COOKIE, cookie.as_str());
        streams.push(deck.router.clone().oneshot(asked.body(Body::empty()).unwrap()).await.unwrap().into_body());
    }
    assert_eq!(deck.ask(Method::DELETE, &format!("/api/v1/sessions/{id}"), None, &[]).await.status, 200);
    let ends = async |body: &mut Body| while body.frame().await.is_some() {};
    timeout(Duration::from_secs(5), ends(&mut streams[0])).await.expect("it is over");
    assert!(timeout(Duration::from_millis(500), ends(&mut streams[1])).await.is_err(), "that of the other goes on");
}

#[tokio::test]
async fn sessions_are_ended_by_the_api_for_whoever_has_the_token() {
    let deck = deck().await;
    for _ in 0..3 {
        sign_in(&deck).await;
    }
    let ids: Vec<String> = sessions(&deck).await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let one = format!("/api/v1/sessions/{}", ids[0]);
    let without = request(Method::DELETE, &one).body(Body::empty()).unwrap();
    assert_eq!(deck.send(without).await.status, 401);
    let delete = async |path: &str| deck.ask(Method::DELETE, path, None, &[]).await;
    assert_eq!(delete(&one).await.json(), json!({"ended": 1}));
    assert_eq!(delete(&one).await.status, 404);
    for wrong in ["", "0", "a%00b", "0123456789abcdeg", "zzzz"] {
        assert_ne!(delete(&format!("/api/v1/sessions/{wrong}")).await.status, 200, "{wrong}");
    }
    assert_eq!(delete("/api/v1/sessions?except=me").await.status, 400);
    assert_eq!(sessions(&deck).await.len(), 2);
    assert_eq!(delete(&format!("/api/v1/sessions?except={}", ids[1])).await.json(), json!({"ended": 1}));
    assert_eq!(sessions(&deck).await[0]["id"], json!(ids[1]));
    assert_eq!(delete("/api/v1/sessions").await.json(), json!({"ended": 1}));
}

#[tokio::test]
async fn signing_in_leads_back_to_the_page_that_was_asked_for() {
    let deck = deck_with(Catalog::default(), |options| options.reads_need_token = true).await;
    let asked = |method: Method, path: &str| request(method, path).header("accept", "text/html");
    let away = asked(Method::GET, "/console/events?type=incident").body(Body::empty()).unwrap();
    let refused = send(&deck, away).await;
    assert_eq!(refused.status, 401);
    let kept = cookies(&refused)[0].split(';').next().unwrap().to_owned();
    assert!(cookies(&refused)[0].contains("; Path=/console/sign-in;") && cookies(&refused)[0].contains("; HttpOnly"));
    let (_, shown) = page_as(&deck, "/console/sign-in?code=00", &kept).await;
    let field = "<input type=\"hidden\" name=\"back\" value=\"/console/events?type=incident\">";
    assert!(shown.contains(field), "the link of the daemon knows nothing of it");
    let answer = sign_in_with(&deck, &[], &[("back", "/console/events?type=incident")]).await;
    assert_eq!(answer.header("location"), "/console/events?type=incident");
    assert!(cookies(&answer).iter().any(|cookie| cookie.starts_with("quarterdeck-back-7700=;")), "it is forgotten");
    // Whoever sends a form without a session comes back to its page.
    let form = asked(Method::POST, "/console/incidents/one/acknowledge")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ORIGIN, "http://127.0.0.1:7700")
        .header(REFERER, "http://127.0.0.1:7700/console/incidents/one");
    let refused = send(&deck, form.body(Body::from("csrf=00")).unwrap()).await;
    assert!(cookies(&refused)[0].contains("=%2Fconsole%2Fincidents%2Fone;"), "{:?}", cookies(&refused));
    let script = request(Method::GET, "/console/stream").header("accept", "text/event-stream");
    assert!(cookies(&send(&deck, script.body(Body::empty()).unwrap()).await).is_empty());
}

#[tokio::test]
async fn the_button_of_a_page_leads_back_to_it() {
    let deck = deck().await;
    let (_, shown) = page(&deck, "/console/events?type=incident").await;
    assert!(shown.contains("href=\"/console/sign-in?back=%2Fconsole%2Fevents%3Ftype%3Dincident\""));
    assert!(page(&deck, "/console").await.1.contains("href=\"/console/sign-in\""));
    let (_, shown) = page(&deck, "/console/sign-in?code=00&back=%2Fconsole%2Fevents").await;
    assert!(shown.contains("name=\"back\" value=\"/console/events\""));
}

#[tokio::test]
async fn signing_in_leads_to_no_page_of_others() {
    let deck = deck().await;
    for bad in [
        "//evil.example",
        "https://evil.example/console",
        "/console/../api/v1/status",
        "/console/%2e%2E/api",
        "/console/\\evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/console/sign-in",
        "/console/sign-out",
        "/consoles",
        "/console\r\nSet-Cookie: a=b",
    ] {
        let answer = sign_in_with(&deck, &[], &[("back", bad)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/console"), "{bad}");
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("back", bad).finish();
        let asked = request(Method::GET, &format!("/console/sign-in?code=00&{query}")).body(Body::empty()).unwrap();
        let answer = send(&deck, asked).await;
        assert_eq!((answer.status.as_u16(), cookies(&answer).len()), (200, 0), "{bad}");
        assert!(!String::from_utf8(answer.body).unwrap().contains("name=\"back\""), "{bad}");
    }
}

#[tokio::test]
async fn the_address_with_a_slash_at_its_end_leads_to_the_overview() {
    let deck = deck().await;
    for (path, to) in [("/console/", "/console"), ("/console/?x=1", "/console?x=1")] {
        let answer = send(&deck, request(Method::GET, path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, to), "{path}");
    }
    let rebound = Request::builder().uri("/console/").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(send(&deck, rebound).await.status, 403);
}

#[tokio::test]
async fn a_session_that_cannot_be_read_signs_nobody_in_and_is_named() {
    let deck = deck().await;
    let (cookie, _) = sign_in(&deck).await;
    let page = quarterdeck_model::store::Page::all();
    let all = quarterdeck_model::store::Store::list(&*deck.store, "console-sessions", &page).unwrap();
    deck.put("console-sessions", &all[0].id, &json!({"used_at": "yesterday"})).await;
    let asked = request(Method::GET, "/console").header(COOKIE, &cookie).body(Body::empty()).unwrap();
    assert_eq!(send(&deck, asked).await.status, 200);
    assert!(!is_in(&deck, &cookie).await);
    let list = deck.get("/api/v1/sessions").await.json();
    assert_eq!((&list["items"], list["unreadable"].as_array().unwrap().len()), (&json!([]), 1));
}
