//! Changes that are taken back where they were made, and what is refused because somebody else was there before.

use crate::console::{page_as, post, seen, send, sign_in};
use crate::support::{Answer, Deck, deck, request};
use crate::world::world;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const SHOP: &str = "/console/configuration/objects/instances/http-probe%2Fshop";
const OVER_THE_API: &str = "/api/v1/configuration/objects/instances/http-probe%2Fshop";

/// What the page offers behind what it says: where the form goes, and its fields.
fn undo(shown: &str) -> Option<(String, Vec<(String, String)>)> {
    let banner = shown.split("<div class=\"banner said\">").nth(1)?.split("</div>").next()?;
    let unescaped =
        |text: &str| text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let to = banner.split("action=\"").nth(1)?.split('"').next()?;
    let fields = banner.split("type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        (name.to_owned(), unescaped(rest.split('"').next().unwrap()))
    });
    Some((unescaped(to), fields.collect()))
}

/// Follows an answer to where it leads, and takes back there what was done. Gives the answer to that.
async fn take_back(deck: &Deck, cookie: &str, done: &Answer) -> Answer {
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", String::from_utf8_lossy(&done.body));
    let (_, shown) = page_as(deck, done.header("location"), cookie).await;
    let (to, fields) = undo(&shown).unwrap_or_else(|| panic!("nothing is offered: {shown}"));
    assert!(fields.iter().any(|(name, _)| name == "csrf"));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    post(deck, &to, cookie, &fields).await
}

async fn spec(deck: &Deck) -> Value {
    let answer = deck.ask(Method::GET, OVER_THE_API, None, &[]).await;
    if answer.status == StatusCode::NOT_FOUND { Value::Null } else { answer.json()["value"].clone() }
}

#[tokio::test]
async fn an_object_is_what_it_was_before_when_its_change_is_taken_back_and_again_when_that_is() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let new = [("csrf", csrf.as_str()), ("section", "instances"), ("name", "http-probe/shop"), ("format", "toml")];
    let first = "plugin = \"log\"\nconfig = { text = \"<a> & \\\"b\\\"\" }";
    let made = post(&deck, "/console/configuration/new", &cookie, &[new.as_slice(), &[("text", first)]].concat()).await;
    let before = spec(&deck).await;
    let gone = take_back(&deck, &cookie, &made).await;
    assert_eq!(spec(&deck).await, Value::Null, "{}", String::from_utf8_lossy(&gone.body));
    let back = take_back(&deck, &cookie, &gone).await;
    assert_eq!(spec(&deck).await, before, "{}", String::from_utf8_lossy(&back.body));

    let tag = seen(&page_as(&deck, SHOP, &cookie).await.1);
    let set = [("csrf", csrf.as_str()), ("seen", &tag), ("format", "toml"), ("text", "plugin = \"http-probe\"")];
    let changed = post(&deck, SHOP, &cookie, &set).await;
    assert_eq!(spec(&deck).await, json!({"plugin": "http-probe"}));
    assert_eq!(take_back(&deck, &cookie, &changed).await.status, 303);
    assert_eq!(spec(&deck).await, before);
}

#[tokio::test]
async fn what_somebody_else_has_done_since_is_not_taken_back() {
    let deck = deck().await;
    let value = json!({"plugin": "log"});
    assert!(deck.ask(Method::PUT, OVER_THE_API, Some(&value), &[]).await.status.is_success());
    let (cookie, csrf) = sign_in(&deck).await;
    let tag = seen(&page_as(&deck, SHOP, &cookie).await.1);
    let set = [("csrf", csrf.as_str()), ("seen", &tag), ("format", "toml"), ("text", "plugin = \"http-probe\"")];
    let changed = post(&deck, SHOP, &cookie, &set).await;
    let other = json!({"plugin": "other"});
    assert!(deck.ask(Method::PUT, OVER_THE_API, Some(&other), &[]).await.status.is_success());
    let refused = take_back(&deck, &cookie, &changed).await;
    assert_eq!(refused.status, 412);
    assert_eq!(spec(&deck).await, other);
}

#[tokio::test]
async fn a_silence_that_was_ended_is_there_again_and_one_that_was_made_is_gone() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let wanted = [("csrf", csrf.as_str()), ("matchers", "team=\"db\""), ("comment", "<moving>"), ("for", "4h")];
    let made = post(&deck, "/console/silences", &cookie, &wanted).await;
    let active = async || {
        let all = deck.get("/api/v1/silences?state=active").await.json()["items"].clone();
        all.as_array().unwrap().iter().filter(|one| one["comment"] == "<moving>").cloned().collect::<Vec<_>>()
    };
    let ends = active().await[0]["ends_at"].clone();
    let ended = take_back(&deck, &cookie, &made).await;
    assert_eq!(active().await, Vec::<Value>::new());
    let again = take_back(&deck, &cookie, &ended).await;
    assert_eq!(
        active().await.iter().map(|one| one["ends_at"].clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&ends)
    );
    let at = again.header("location").to_owned();
    let _ = page_as(&deck, &at, &cookie).await;
    deck.clock.advance(quarterdeck_model::Span::from_secs(1));
    let tag = seen(&page_as(&deck, &at, &cookie).await.1);
    let longer = [("csrf", csrf.as_str()), ("for", "1h"), ("seen", &tag)];
    let longer = post(&deck, &format!("{at}/prolong"), &cookie, &longer).await;
    assert_ne!(active().await[0]["ends_at"], ends);
    assert_eq!(take_back(&deck, &cookie, &longer).await.status, 303);
    assert_eq!(active().await[0]["ends_at"], ends);
}

#[tokio::test]
async fn of_two_who_change_a_silence_as_they_both_saw_it_one_does() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let wanted = [("csrf", csrf.as_str()), ("matchers", "team=\"db\""), ("comment", "moving"), ("for", "4h")];
    let made = post(&deck, "/console/silences", &cookie, &wanted).await;
    let at = made.header("location").to_owned();
    let all = async || deck.get("/api/v1/silences").await.json()["items"].clone();
    let ends = async || {
        let id = at.rsplit('/').next().unwrap();
        let found = all().await.as_array().unwrap().iter().find(|one| one["id"] == id).cloned().unwrap();
        quarterdeck_model::Timestamp::parse(found["ends_at"].as_str().unwrap()).unwrap()
    };
    let tag = seen(&page_as(&deck, &at, &cookie).await.1);
    let before = ends().await;
    let fields = [("csrf", csrf.as_str()), ("for", "1h"), ("seen", &tag)];
    // Both are under way before either is done.
    let prolong = format!("{at}/prolong");
    let (one, other) = tokio::join!(post(&deck, &prolong, &cookie, &fields), post(&deck, &prolong, &cookie, &fields));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 412]);
    assert_eq!(ends().await, before.plus(quarterdeck_model::Span::from_secs(3600)), "by an hour, not by two");
    let stale = post(&deck, &format!("{at}/expire"), &cookie, &fields).await;
    assert_eq!(stale.status, 412);
    let odd = [("csrf", csrf.as_str()), ("for", "1h"), ("seen", "anything")];
    assert_eq!(post(&deck, &prolong, &cookie, &odd).await.status, 412);
}

#[tokio::test]
async fn a_version_is_restored_over_the_one_that_was_seen_only() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let path = "/console/configuration/versions/one/restore";
    for (seen, status) in [("cfg_now", 303), ("cfg_before", 412), ("none", 412)] {
        let answer = post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", seen)]).await;
        assert_eq!(answer.status.as_u16(), status, "{seen}");
    }
}

#[tokio::test]
async fn what_was_said_is_offered_to_be_taken_back_once_and_to_its_session_only() {
    let deck = deck().await;
    let ((cookie, csrf), (other, _)) = (sign_in(&deck).await, sign_in(&deck).await);
    let new = [
        ("csrf", csrf.as_str()),
        ("section", "instances"),
        ("name", "http-probe/shop"),
        ("format", "toml"),
        ("text", "plugin = \"log\""),
    ];
    assert_eq!(post(&deck, "/console/configuration/new", &cookie, &new).await.status, 303);
    assert!(undo(&page_as(&deck, SHOP, &other).await.1).is_none());
    assert!(undo(&page_as(&deck, SHOP, "").await.1).is_none());
    assert!(undo(&page_as(&deck, SHOP, &cookie).await.1).is_some());
    assert!(undo(&page_as(&deck, SHOP, &cookie).await.1).is_none());
}

#[tokio::test]
async fn a_component_of_somebody_who_is_not_signed_in_is_not_taken_in() {
    let deck = deck().await;
    // A body that never ends: it is refused before it is waited for.
    let endless = || Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    for (path, media) in [
        ("/console/upload/plugin-files/a.wasm", "application/octet-stream"),
        ("/console/upload/shadows/judge", "application/octet-stream"),
    ] {
        let asked = request(Method::POST, path)
            .header(CONTENT_TYPE, media)
            .header(ORIGIN, "http://127.0.0.1:7700")
            .header(COOKIE, format!("quarterdeck-7700={}", "0".repeat(64)));
        let answer = send(&deck, asked.body(endless()).unwrap());
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), answer).await;
        assert_eq!(answer.expect("it is not waited for").status, 401, "{path}");
    }
    let long = format!("code={}", "0".repeat(5_000));
    let asked = request(Method::POST, "/console/sign-in")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(long));
    assert_eq!(send(&deck, asked.unwrap()).await.status, 413);
}

#[tokio::test]
async fn who_signs_in_anew_is_not_signed_in_by_the_cookie_before() {
    let deck = deck().await;
    let (before, _) = sign_in(&deck).await;
    let link =
        deck.ask(Method::POST, "/api/v1/console/links", None, &[]).await.json()["path"].as_str().unwrap().to_owned();
    let code = link.split('=').nth(1).unwrap();
    let answer = post(&deck, "/console/sign-in", &before, &[("code", code)]).await;
    assert_eq!(answer.status, 303);
    assert!(!page_as(&deck, "/console", &before).await.1.contains("Sign out"));
    let now = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(page_as(&deck, "/console", &now).await.1.contains("Sign out"));
}
