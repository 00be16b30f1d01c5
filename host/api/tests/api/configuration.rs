//! Objects and versions of the configuration.

use crate::support::{START, deck};
use async_trait::async_trait;
use http::{Method, StatusCode};
use quarterdeck_api::{Configuration, IfMatch, Mistake, Object, Order, Refused, Restored, Said, Standing, Version};
use quarterdeck_config::File;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Keeps what it is told; an object with a key `wrong` is wrong. Its files are `sound` or not.
#[derive(Default)]
pub(crate) struct Fixed {
    pub(crate) sound: bool,
    pub(crate) objects: Mutex<BTreeMap<String, Object>>,
}

#[async_trait]
impl Configuration for Fixed {
    fn effective(&self) -> Arc<Value> {
        Arc::new(json!({"api": {"listen": "127.0.0.1:7700"}}))
    }

    fn origin(&self, pointer: &str) -> Option<String> {
        (pointer == "/api/listen").then(|| "quarterdeck.toml:3".to_owned())
    }

    fn standing(&self) -> Standing {
        Standing { version: "cfg_now".to_owned(), pending_restart: vec!["storage".to_owned()], ..Standing::default() }
    }

    fn refused(&self) -> Vec<Mistake> {
        let refused =
            || Mistake { path: "/listen".to_owned(), detail: "quarterdeck.toml:3:10: expected an address".to_owned() };
        if self.sound { Vec::new() } else { vec![refused()] }
    }

    async fn reload(&self) -> Result<Value, Refused> {
        if self.sound {
            return Ok(json!({"changed": false}));
        }
        let detail = "quarterdeck.toml:3:10: expected an address".to_owned();
        Err(Refused::Invalid(vec![Mistake { path: "/listen".to_owned(), detail }]))
    }

    fn objects(&self) -> Vec<Object> {
        self.objects.lock().unwrap().values().cloned().collect()
    }

    fn object(&self, section: &str, name: &str) -> Option<Object> {
        self.objects.lock().unwrap().get(&format!("{section}/{name}")).cloned()
    }

    async fn change(&self, section: &str, name: &str, order: Order, if_match: IfMatch) -> Result<(), Refused> {
        let object = self.object(section, name);
        if_match.admit(object.as_ref())?;
        let mut objects = self.objects.lock().unwrap();
        let key = format!("{section}/{name}");
        match order {
            Order::Set(value) if value.contains_key("wrong") => {
                let path = format!("/{section}/{}/wrong", name.replace('/', "~1"));
                return Err(Refused::Invalid(vec![Mistake { path, detail: "unknown key".to_owned() }]));
            }
            Order::Set(value) => {
                objects.insert(
                    key,
                    Object {
                        section: section.to_owned(),
                        name: name.to_owned(),
                        value: Some(Value::Object(value)),
                        origin: Some("the API".to_owned()),
                        api: Some(Said::Set),
                        problem: None,
                    },
                );
            }
            Order::Delete | Order::Reset if object.is_none() => {
                return Err(Refused::Unknown(format!("there is no `{name}`")));
            }
            Order::Delete | Order::Reset => drop(objects.remove(&key)),
        }
        Ok(())
    }

    async fn restore(&self, version: &str, if_match: IfMatch) -> Result<Restored, Refused> {
        if_match.admit_version(&self.standing().version)?;
        match version {
            "cfg_1" | "one" => Ok(Restored { version: "cfg_2".to_owned(), changed: true, not_restored: Vec::new() }),
            _ => Err(Refused::Unknown(format!("there is no version `{version}`"))),
        }
    }

    fn export(&self) -> Result<Vec<File>, String> {
        Ok(vec![File { path: "quarterdeck.toml".to_owned(), text: "built-ins = true\n".to_owned() }])
    }
}

const SHOP: &str = "/api/v1/configuration/objects/instances/http-probe%2Fshop";

#[tokio::test]
async fn an_object_is_set_changed_only_as_it_was_seen_and_taken_away() {
    let deck = deck().await;
    let value = json!({"plugin": "http-probe"});
    assert_eq!(deck.get(SHOP).await.status, StatusCode::NOT_FOUND);
    let stale = deck.ask(Method::PUT, SHOP, Some(&value), &[("if-match", "\"0\"")]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "there is nothing that could match");
    let made = deck.ask(Method::PUT, SHOP, Some(&value), &[]).await;
    assert_eq!((made.status, &made.json()["name"]), (StatusCode::CREATED, &json!("http-probe/shop")));
    let tag = made.header("etag").to_owned();
    let again = deck.ask(Method::PUT, SHOP, Some(&value), &[("if-match", &tag)]).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, tag.as_str()));
    let known = deck.ask(Method::GET, SHOP, None, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    let other = deck.ask(Method::PUT, SHOP, Some(&json!({"plugin": "log"})), &[]).await;
    assert_ne!(other.header("etag"), tag);
    let stale = deck.ask(Method::DELETE, SHOP, None, &[("if-match", &tag)]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let listed = deck.get("/api/v1/configuration/objects?section=instances&api=true").await.json();
    assert_eq!(listed["items"][0]["api"], "set");
    let gone = deck.ask(Method::DELETE, SHOP, None, &[("if-match", "*")]).await;
    assert_eq!((gone.status, &gone.json()["value"]), (StatusCode::OK, &Value::Null));
    let reset = deck.ask(Method::POST, &format!("{SHOP}/reset"), Some(&json!({})), &[]).await;
    assert_eq!(reset.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_wants_a_new_thing_replaces_none() {
    let deck = deck().await;
    let value = json!({"plugin": "http-probe"});
    let put = async |headers: &[(&str, &str)]| deck.ask(Method::PUT, SHOP, Some(&value), headers).await;
    assert_eq!(put(&[("if-none-match", "*")]).await.status, StatusCode::CREATED);
    let again = put(&[("if-none-match", "*")]).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED);
    assert!(again.json()["detail"].as_str().unwrap().contains("there is an object of that name; hint: "));
    for headers in [&[("if-none-match", "\"1\"")][..], &[("if-none-match", "*"), ("if-match", "*")]] {
        let refused = put(headers).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("`If-None-Match"), "{headers:?}");
    }
    let file = async |name: &str, header| {
        deck.upload(&format!("/api/v1/plugin-files/{name}"), b"\0asm", &[("if-none-match", header)]).await.status
    };
    assert_eq!(file("new.wasm", "*").await, StatusCode::CREATED);
    assert_eq!(file("http-probe.wasm", "*").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(file("http-probe.wasm", "\"1\"").await, StatusCode::BAD_REQUEST);
    for put in ["configuration~1objects~1{section}~1{name}", "plugin-files~1{file}"] {
        let document: Value = serde_json::from_str(&quarterdeck_api::openapi()).unwrap();
        let operation = document.pointer(&format!("/paths/~1api~1v1~1{put}/put")).unwrap();
        let named = operation["parameters"].as_array().unwrap().iter().any(|given| given["name"] == "If-None-Match");
        assert!(named && operation["responses"]["304"].is_null() && !operation["responses"]["412"].is_null(), "{put}");
    }
}

#[tokio::test]
async fn an_object_is_changed_only_by_its_strong_tag_as_it_was_given() {
    let deck = deck().await;
    let value = json!({"plugin": "http-probe"});
    let put = async |tag: &str| deck.ask(Method::PUT, SHOP, Some(&value), &[("if-match", tag)]).await.status;
    let tag = deck.ask(Method::PUT, SHOP, Some(&value), &[]).await.header("etag").to_owned();
    for other in [format!("W/{tag}"), tag.trim_matches('"').to_owned()] {
        assert_eq!(put(&other).await, StatusCode::PRECONDITION_FAILED, "{other}");
    }
    assert_eq!(put(&format!("\"0\", {tag}")).await, StatusCode::OK);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_its_detail() {
    let refused = Refused::Invalid(vec![Mistake { path: String::new(), detail: "there is no section `x`".to_owned() }]);
    assert_eq!(quarterdeck_api::Problem::from(refused).detail, "there is no section `x`");
    let deck = deck().await;
    let unknown = deck.get("/api/v1/configuration/objects/instancse/a").await.json();
    assert_eq!(unknown["detail"], "there is no section `instancse`; hint: did you mean `instances`?");
    let keyed = async |subject| {
        let body = json!({"type": "custom.a", "subject": subject});
        deck.post_with("/api/v1/events", &body, &[("Idempotency-Key", "k")]).await
    };
    assert_eq!(keyed("a").await.status, StatusCode::CREATED);
    let reused = keyed("b").await.json();
    assert!(
        reused["detail"].as_str().unwrap().starts_with("the idempotency key stands for another request"),
        "{reused}"
    );
}

#[tokio::test]
async fn mistakes_name_their_place_by_json_pointer() {
    let deck = deck().await;
    let refused = deck.ask(Method::PUT, SHOP, Some(&json!({"wrong": 1})), &[]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json()["errors"][0]["path"], "/instances/http-probe~1shop/wrong");
    assert_eq!(deck.ask(Method::PUT, SHOP, Some(&json!([1])), &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let reload = deck.post("/api/v1/configuration/reload", &json!({})).await;
    assert_eq!(reload.json()["errors"][0]["path"], "/listen");
    assert_eq!(deck.get("/api/v1/configuration").await.json()["pending_restart"], json!(["storage"]));
}

#[tokio::test]
async fn versions_are_listed_shown_compared_and_restored() {
    let deck = deck().await;
    for (id, filter) in [("cfg_1", "info"), ("cfg_2", "warn")] {
        let version = Version {
            id: id.to_owned(),
            digest: "sha256:0".to_owned(),
            applied_at: START,
            principal: "operator".to_owned(),
            value: json!({"log": {"filter": filter}}),
        };
        deck.put(Version::COLLECTION, id, &version).await;
    }
    let listed = deck.get("/api/v1/configuration/versions?limit=1").await.json();
    assert_eq!((&listed["items"][0]["id"], listed["items"][0].get("value")), (&json!("cfg_2"), None));
    let shown = deck.get("/api/v1/configuration/versions/cfg_1").await.json();
    assert_eq!(shown["value"]["log"]["filter"], "info");
    let differences = deck.get("/api/v1/configuration/versions/cfg_1/differences?to=cfg_2").await.json();
    let expected = json!([{"pointer": "/log/filter", "change": "changed", "before": "info", "after": "warn"}]);
    assert_eq!(differences["items"], expected);
    let now = deck.get("/api/v1/configuration/versions/cfg_1/differences").await.json();
    assert_eq!((&now["to"], now["items"].as_array().map(Vec::len)), (&json!("cfg_now"), Some(2)));
    let unknown = deck.get("/api/v1/configuration/versions/cfg_1/differences?to=cfg_9").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let restored = deck.post("/api/v1/configuration/versions/cfg_1/restore", &json!({})).await;
    assert_eq!((restored.status, &restored.json()["version"]), (StatusCode::OK, &json!("cfg_2")));
    let unknown = deck.post("/api/v1/configuration/versions/cfg_9/restore", &json!({})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let exported = deck.get("/api/v1/configuration/export").await.json();
    assert_eq!(exported["files"][0]["path"], "quarterdeck.toml");
}
