//! The console's pages about the configuration, and the host itself.

use crate::configuration::Fixed;
use crate::console::{HOSTILE, check, page, page_as, post, seen, send, sign_in};
use crate::support::{Deck, START, deck, deck_with, request};
use axum::body::Body;
use http::Method;
use quarterdeck_api::Version;
use quarterdeck_model::domain::Catalog;
use serde_json::{Value, json};
use std::sync::Arc;

const SHOP: &str = "/console/configuration/objects/instances/http-probe%2Fshop";
const OVER_THE_API: &str = "/api/v1/configuration/objects/instances/http-probe%2Fshop";

async fn put(deck: &Deck, value: &Value) {
    assert!(deck.ask(Method::PUT, OVER_THE_API, Some(value), &[]).await.status.is_success());
}

/// The tag that the page's form hands back.
#[tokio::test]
async fn what_is_in_force_is_shown_with_where_it_comes_from() {
    let deck = deck().await;
    let (status, shown) = page(&deck, "/console/configuration").await;
    assert_eq!(status, 200, "{shown}");
    for expected in [
        "api.listen",
        "127.0.0.1:7700",
        "quarterdeck.toml:3",
        "cfg_now",
        "waits for a restart",
        "storage",
        "section=instances",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("method=\"post\""));
    assert_eq!(page(&deck, "/console/configuration?all=true").await.0, 200);
    assert!(page(&deck, "/console/configuration/problems").await.1.contains("Nothing is wrong"));
}

#[tokio::test]
async fn files_are_read_again_or_it_is_said_what_is_wrong_with_them() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    let path = "/console/configuration/reload";
    let refused = post(&deck, path, &cookie, &[("csrf", &csrf)]).await;
    let shown = String::from_utf8(refused.body.clone()).unwrap();
    assert!(refused.status == 422 && shown.contains("quarterdeck.toml:3:10: expected an address"), "{shown}");
    let sound = deck_with(Catalog::default(), |options| {
        options.configuration = Arc::new(Fixed { sound: true, ..Fixed::default() });
    });
    let deck = sound.await;
    let (cookie, csrf) = sign_in(&deck).await;
    assert_eq!(post(&deck, path, &cookie, &[("csrf", &csrf)]).await.status, 303);
}

#[tokio::test]
async fn an_object_is_changed_as_text_and_mistakes_have_their_line() {
    let deck = deck().await;
    put(&deck, &json!({"plugin": "http-probe", "config": {"url": "http://a.example"}})).await;
    let (cookie, csrf) = sign_in(&deck).await;
    let (_, shown) = page_as(&deck, SHOP, &cookie).await;
    assert!(
        shown.contains("plugin = &quot;http-probe&quot;") && shown.contains("[config]") && shown.contains("the API"),
        "{shown}"
    );
    let tag = seen(&shown);
    let set = async |text: &str, format: &str, tag: &str| {
        post(&deck, SHOP, &cookie, &[("csrf", &csrf), ("seen", tag), ("format", format), ("text", text)]).await
    };
    for (text, format, says) in [
        ("plugin = \"log\"\nevery = = 3\n", "toml", "Line 2, column"),
        ("{\"plugin\": \"log\",\n \"every\": [}", "json", "Line 2, column"),
        ("plugin = \"log\"\r\n\r\nwrong = 1\r\n", "toml", "Line 3, column"),
        ("{\"plugin\": \"log\",\n\n\n \"wrong\": 1}", "json", "Line 4, column"),
        ("[1]", "json", "a table of keys and values"),
    ] {
        let refused = set(text, format, &tag).await;
        let shown = String::from_utf8(refused.body.clone()).unwrap();
        assert_eq!(refused.status, 422, "{shown}");
        check(SHOP, &refused, &shown);
        assert!(shown.contains(says), "{says}: {shown}");
        assert!(
            shown.contains("role=\"alert\"") && shown.contains("plugin") && shown.contains("<textarea"),
            "it stays as typed: {shown}"
        );
    }
    let done = set("plugin = \"http-probe\"\n[config]\nurl = \"http://b.example\"\n", "toml", &tag).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, SHOP));
    assert_eq!(deck.get(OVER_THE_API).await.json()["value"]["config"]["url"], "http://b.example");
    let stale = set("plugin = \"log\"\n", "toml", &tag).await;
    let shown = String::from_utf8(stale.body.clone()).unwrap();
    assert!(stale.status == 412 && shown.contains("changed meanwhile") && shown.contains("b.example"), "{shown}");
    let newest = seen(&shown);
    let mistaken = set("plugin = = 1\n", "toml", &tag).await;
    let kept = seen(&String::from_utf8(mistaken.body.clone()).unwrap());
    assert!(mistaken.status == 422 && kept == tag, "a mistake shows nothing new, and is no leave to write over it");
    assert_eq!(set("plugin = \"log\"\n", "toml", &kept).await.status, 412);
    let again = set("plugin = \"log\"\n", "toml", &newest).await;
    assert_eq!(again.status, 303, "who sends it again has seen what it replaces");
}

#[tokio::test]
async fn an_object_is_made_deleted_and_reset() {
    let deck = deck().await;
    let (cookie, csrf) = sign_in(&deck).await;
    assert!(page_as(&deck, "/console/configuration/objects", &cookie).await.1.contains("class=\"empty\""));
    let (_, shown) = page_as(&deck, "/console/configuration/new?section=instances", &cookie).await;
    assert!(shown.contains("<option value=\"instances\" selected>"), "{shown}");
    let new = [
        ("csrf", csrf.as_str()),
        ("section", "instances"),
        ("name", "http-probe/shop"),
        ("format", "toml"),
        ("text", "plugin = \"log\""),
    ];
    let made = post(&deck, "/console/configuration/new", &cookie, &new).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, SHOP), "{}", String::from_utf8_lossy(&made.body));
    let again = post(&deck, "/console/configuration/new", &cookie, &new).await;
    assert!(again.status == 412 && String::from_utf8(again.body).unwrap().contains("there is an object of that name"));
    assert!(page(&deck, "/console/configuration/objects?section=instances&api=true").await.1.contains(SHOP));
    assert_eq!(page(&deck, "/console/configuration/objects?section=instancse").await.0, 400);
    let tag = seen(&page_as(&deck, SHOP, &cookie).await.1);
    for action in ["delete", "reset"] {
        let path = format!("{SHOP}/{action}");
        assert_eq!(post(&deck, &path, &cookie, &[("csrf", &csrf)]).await.status, 422, "what was seen is needed");
        assert_eq!(post(&deck, &path, &cookie, &[("csrf", &csrf), ("seen", "1")]).await.status, 412);
        assert_eq!(post(&deck, &path, "", &[("csrf", &csrf), ("seen", &tag)]).await.status, 401);
        assert_eq!(post(&deck, &path, &cookie, &[("seen", &tag)]).await.status, 403);
        let done = post(&deck, &path, &cookie, &[("csrf", &csrf), ("seen", &tag)]).await;
        assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/configuration/objects"));
        assert_eq!(page(&deck, SHOP).await.0, 404);
        put(&deck, &json!({"plugin": "log"})).await;
    }
}

#[tokio::test]
async fn versions_are_compared_and_restored() {
    let deck = deck().await;
    for (id, filter) in [("cfg_1", "info"), ("cfg_2", HOSTILE)] {
        let value = json!({"log": {"filter": filter}});
        let version = Version {
            id: id.to_owned(),
            digest: "sha256:0".to_owned(),
            applied_at: START,
            principal: HOSTILE.to_owned(),
            value,
        };
        deck.put(Version::COLLECTION, id, &version).await;
    }
    let (cookie, csrf) = sign_in(&deck).await;
    let (_, list) = page(&deck, "/console/configuration/versions").await;
    assert!(list.contains("/console/configuration/versions/cfg_1?to=cfg_2"), "{list}");
    let (_, compared) = page(&deck, "/console/configuration/versions/cfg_1?to=cfg_2").await;
    assert!(
        compared.contains("log.filter") && compared.contains("changed") && compared.contains("&quot;info&quot;"),
        "{compared}"
    );
    for shown in [&list, &compared] {
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>alert"), "{shown}");
    }
    let (_, one) = page_as(&deck, "/console/configuration/versions/cfg_1", &cookie).await;
    assert!(one.contains("Makes every object what it was in cfg_1") && one.contains("2 are of settings"), "{one}");
    let path = "/console/configuration/versions/cfg_1/restore";
    assert_eq!(post(&deck, path, "", &[("csrf", &csrf)]).await.status, 401);
    assert_eq!(post(&deck, path, &cookie, &[]).await.status, 403);
    assert_eq!(post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", "cfg_0")]).await.status, 412);
    let done = post(&deck, path, &cookie, &[("csrf", &csrf), ("seen", &seen(&one))]).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/configuration/versions/cfg_1"));
    assert!(
        page_as(&deck, "/console/configuration/versions/cfg_1", &cookie).await.1.contains("version cfg_2 is in force")
    );
    assert_eq!(
        post(&deck, "/console/configuration/versions/cfg_9/restore", &cookie, &[("csrf", &csrf), ("seen", "cfg_now")])
            .await
            .status,
        404
    );
    assert_eq!(page(&deck, "/console/configuration/versions/cfg_9").await.0, 404);
}

#[tokio::test]
async fn the_export_is_shown_and_downloaded() {
    let deck = deck().await;
    let (_, shown) = page(&deck, "/console/configuration/export").await;
    assert!(
        shown.contains("built-ins = true") && shown.contains("href=\"/console/configuration/export/quarterdeck.toml\""),
        "{shown}"
    );
    let asked = request(Method::GET, "/console/configuration/export/quarterdeck.toml").body(Body::empty()).unwrap();
    let file = send(&deck, asked).await;
    assert_eq!(
        (file.body.as_slice(), file.header("content-disposition")),
        (b"built-ins = true\n".as_slice(), "attachment; filename=\"quarterdeck.toml\"")
    );
    assert!(file.header("content-type").starts_with("text/plain"));
    assert_eq!(page(&deck, "/console/configuration/export/other.toml").await.0, 404);
}

#[tokio::test]
async fn the_host_says_how_it_is() {
    let deck = deck().await;
    let (status, shown) = page(&deck, "/console/host").await;
    assert_eq!(status, 200, "{shown}");
    for expected in [
        "0.0.0",
        "takes writes",
        "Free on its disk",
        "Consumers of the bus",
        "Outbox",
        "Event loop",
        "configuration refused",
        "events",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[tokio::test]
async fn plugins_instances_objects_and_processes_are_found_by_the_search() {
    let deck = deck().await;
    put(&deck, &json!({"plugin": "http-probe"})).await;
    for (words, to) in [
        ("http-probe", "/console/plugins/http-probe"),
        ("probe/api", "/console/instances/http-probe/api"),
        ("probe/shop", SHOP),
        ("web/s1", "/console/processes/haproxy/web/s1"),
        ("free space", "/console/host"),
    ] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", words).finish();
        let (_, shown) = page(&deck, &format!("/console/search?{query}")).await;
        assert!(shown.contains(&format!("href=\"{to}\"")), "{words}: {shown}");
    }
}
