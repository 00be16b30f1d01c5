//! Every action that the console offers, pressed by somebody, and what the host has done then.

use super::World;
use super::world::alert;
use crate::harness::browser::{Browser, SOON};
use crate::harness::eventually;
use crate::harness::guest::{bundled, louder_threshold, renumbered, sha256, variant};
use serde_json::{Value, json};

async fn nothing_went_wrong(browser: &Browser) {
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

/// Refusals are errors to a browser: those that were meant.
async fn only_refusals_went_wrong(browser: &Browser) {
    let errors = browser.errors().await;
    assert!(errors.iter().all(|error| error.contains("the server responded with a status of 4")), "{errors:?}");
}

/// Waits until the object is like this.
async fn is(world: &World, path: &str, pointer: &str, wanted: &Value) {
    eventually(&format!("{path}: {pointer} is {wanted}"), SOON, async || {
        let object = world.daemon.get(path).await;
        (object.pointer(pointer) == Some(wanted)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_is_deployed_promoted_promoted_in_full_and_taken_back() {
    let test = "a_revision_is_deployed_promoted_promoted_in_full_and_taken_back";
    let Some(world) = World::with_service(test).await else { return };
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    let newest = async || world.daemon.items("/api/v1/deployments?limit=1").await.remove(0);

    // From the page of the service, and out of its pause.
    browser.go(&world.at("/services/web")).await;
    browser.act("Deploy", &[("revision", "good-2")]).await;
    browser.shows("The deployment of good-2 is under way").await;
    browser.shows("waits for a person").await;
    assert_eq!(newest().await["principal"], "console");
    browser.act("Promote", &[]).await;
    browser.shows("It is promoted").await;
    let id = newest().await["id"].as_str().unwrap().to_owned();
    is(&world, &format!("/api/v1/deployments/{id}"), "/state", &json!("succeeded")).await;
    browser.shows("100 %").await;
    browser.shows("succeeded").await;

    // From the list, and past all that is left.
    browser.go(&world.at("/deployments")).await;
    browser.act("Deploy", &[("service", "web"), ("revision", "good-3")]).await;
    browser.shows("waits for a person").await;
    browser.act("Promote in full", &[]).await;
    browser.shows("It is promoted in full").await;
    browser.shows("succeeded").await;
    is(&world, "/api/v1/services/web", "/current/stable", &json!("good-3")).await;

    // And back.
    browser.go(&world.at("/services/web")).await;
    browser.act("Deploy", &[("revision", "good-4")]).await;
    browser.shows("waits for a person").await;
    browser.act("Abort and roll back", &[("reason", "it looks <b>odd</b>")]).await;
    browser.shows("It is being rolled back").await;
    browser.shows("it looks <b>odd</b>").await;
    eventually("the way back", SOON, async || (newest().await["state"] == "rolled-back").then_some(())).await;
    browser.shows("rolled back").await;
    is(&world, "/api/v1/services/web", "/current/stable", &json!("good-3")).await;
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_who_promote_out_of_one_pause_do_it_once() {
    let test = "two_people_who_promote_out_of_one_pause_do_it_once";
    let Some(world) = World::with_service(test).await else { return };
    let (Some(one), Some(other)) = (world.browser(test).await, world.browser(test).await) else { return };
    one.go(&world.at("/services/web")).await;
    one.act("Deploy", &[("revision", "good-2")]).await;
    one.shows("waits for a person").await;
    let id = world.daemon.items("/api/v1/deployments").await[0]["id"].as_str().unwrap().to_owned();
    other.go(&world.at(&format!("/deployments/{id}"))).await;
    // What somebody has opened stays as it was.
    other.press_on("Promote").await;
    one.act("Promote", &[]).await;
    one.shows("It is promoted").await;
    is(&world, &format!("/api/v1/deployments/{id}"), "/state", &json!("succeeded")).await;
    other.click("return document.querySelector('details.action[open] .panel button[type=submit]')", &[]).await;
    other.shows("It was changed meanwhile").await;
    nothing_went_wrong(&one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_chosen_or_dropped_put_into_use_taken_back_compared_and_removed() {
    let test = "a_component_is_chosen_or_dropped";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 900).await;
    let digest = async || {
        world.daemon.items("/api/v1/plugins").await.into_iter().find(|one| one["name"] == "threshold").unwrap()["digest"].clone()
    };
    let in_use = async |bytes: &[u8]| {
        let wanted = json!(sha256(bytes));
        eventually("the version in use", SOON, async || (digest().await == wanted).then_some(())).await;
    };
    let bundled_one = bundled("threshold");
    let (first, second) = (renumbered(&bundled_one, "0.1.7"), renumbered(&bundled_one, "0.1.8"));
    let (first_file, second_file) =
        (world.daemon.setup.file("threshold.wasm", &first), world.daemon.setup.file("dropped.wasm", &second));

    browser.go(&world.at("/plugins")).await;
    browser.press_on("Upload").await;
    browser.shows("Choose a file first").await;
    browser.choose_file("[data-upload] input[type=file]", &first_file).await;
    browser.press_on("Upload").await;
    browser.shows("threshold 0.1.7 (").await;
    browser.shows("comes into use in place of threshold").await;
    assert_eq!(digest().await, json!(sha256(&bundled_one)), "what is only looked at does nothing");
    browser.press_on("Put it into use").await;
    browser.shows("threshold 0.1.7 is in use").await;
    in_use(&first).await;
    browser.shows("0.1.7").await;

    // Dropped on the page of the plugin, and taken back where that is said.
    browser.drop_file("[data-upload]", &second_file).await;
    browser.shows("dropped.wasm is chosen").await;
    assert_eq!(digest().await, json!(sha256(&first)), "what is dropped by mistake does nothing");
    browser.press_on("Upload").await;
    browser.shows("in place of threshold 0.1.7 (").await;
    browser.press_on("Put it into use").await;
    browser.shows("threshold 0.1.8 is in use, in place of threshold 0.1.7").await;
    in_use(&second).await;
    browser.press_on("Undo").await;
    browser.shows("threshold went back from 0.1.8 to 0.1.7").await;
    in_use(&first).await;
    browser.press_on("Undo").await;
    browser.shows("threshold went back from 0.1.7 to 0.1.8").await;
    in_use(&second).await;
    browser.act("Roll back", &[]).await;
    browser.shows("threshold went back from 0.1.8").await;
    nothing_went_wrong(&browser).await;

    // What can't be used is refused in words, and nothing is changed.
    let before = digest().await;
    let broken = world.daemon.setup.file("broken.wasm", b"no component");
    browser.choose_file("[data-upload] input[type=file]", &broken).await;
    browser.press_on("Upload").await;
    browser.until("it is said", "return !!document.querySelector('[data-upload] .result.tone-bad')?.textContent").await;
    assert_eq!(digest().await, before);
    only_refusals_went_wrong(&browser).await;

    // A candidate, its differences, and its end.
    let candidate = world.daemon.setup.file("candidate.wasm", &louder_threshold());
    let sent = async || {
        browser.go(&world.at("/plugins/threshold")).await;
        browser.choose_file("[data-upload*=shadows] input[type=file]", &candidate).await;
        browser.click("return document.querySelector('[data-upload*=shadows] [data-send]')", &[]).await;
        browser.shows("is asked beside the version in use").await;
    };
    sent().await;
    world
        .daemon
        .post("/api/v1/metrics", &json!([{"name": "custom_load", "labels": {"host": "a"}, "value": 97.0}]))
        .await;
    world.differs().await;
    browser.shows("Newest differences").await;
    browser.shows("of threshold/default").await;
    browser.act("End the comparison", &[]).await;
    browser.shows("is not asked any more").await;
    eventually("the end of the comparison", SOON, async || {
        world.daemon.items("/api/v1/shadows").await.is_empty().then_some(())
    })
    .await;
    sent().await;
    browser.act("Promote", &[]).await;
    browser.shows("is in use in place of").await;
    in_use(&louder_threshold()).await;

    browser.go(&world.at("/plugin-files")).await;
    browser.act("Remove", &[]).await;
    browser.shows("is removed").await;
    in_use(&bundled_one).await;
    browser.press_on("Look at the folder again").await;
    browser.shows("The folder was looked at").await;
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_waits_gets_its_grants_loses_them_and_has_them_again() {
    let test = "a_version_that_waits_gets_its_grants";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    let instance = "/api/v1/instances/http-probe/shop";
    let other = variant(&bundled("http-probe"), 82);
    let path = world.daemon.setup.file("http-probe.wasm", &other);
    browser.go(&world.at("/plugins/http-probe")).await;
    browser.choose_file("[data-upload] input[type=file]", &path).await;
    browser.press_on("Upload").await;
    browser.shows("comes into use in place of http-probe").await;
    browser.press_on("Put it into use").await;
    browser.shows("Waiting for a grant: ").await;
    browser.go(&world.at("/instances/http-probe/shop")).await;
    browser.shows("A version waits for a grant").await;
    assert_ne!(world.daemon.get(instance).await["plugin"]["digest"], sha256(&other));
    browser.act("Grant", &[]).await;
    browser.shows("The grants are given").await;
    is(&world, instance, "/plugin/digest", &json!(sha256(&other))).await;
    browser.act("Revoke", &[]).await;
    browser.shows("The grants are taken away").await;
    is(&world, instance, "/awaiting/plugin/digest", &json!(sha256(&other))).await;
    // Where it was said, it is taken back: they are given again.
    browser.press_on("Undo").await;
    browser.shows("http-probe/shop is in force").await;
    is(&world, instance, "/plugin/digest", &json!(sha256(&other))).await;
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_made_changed_deleted_reset_and_a_version_restored() {
    let test = "an_object_is_made_changed_deleted_reset_and_a_version_restored";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 900).await;
    let object = "/api/v1/configuration/objects/instances/log%2Fsecond";
    let before = world.daemon.get("/api/v1/configuration").await["version"].as_str().unwrap().to_owned();

    browser.go(&world.at("/configuration/objects?section=instances")).await;
    browser.press_on("Make a new one").await;
    browser.shows("New object").await;
    browser.fill(".editor [name=name]", "log/second").await;
    browser.fill(".editor [name=text]", "plugin = \"log\"\nevery = = 3\n").await;
    browser.press_on("Put in force").await;
    browser.shows("Line 2, column").await;
    browser.fill(".editor [name=text]", "plugin = \"log\"\nconfig = { prefix = \"one:\" }\n").await;
    browser.press_on("Put in force").await;
    browser.shows("log/second is in force").await;
    is(&world, object, "/value/config/prefix", &json!("one:")).await;
    only_refusals_went_wrong(&browser).await;

    browser.fill(".editor [name=text]", "plugin = \"log\"\nconfig = { prefix = \"two:\" }\n").await;
    browser.press_on("Put in force").await;
    is(&world, object, "/value/config/prefix", &json!("two:")).await;
    eventually("the editor holds what is in force", SOON, async || {
        let text = browser.run("return document.querySelector('.editor [name=text]').value", &[]).await;
        text.as_str().is_some_and(|text| text.contains("two:")).then_some(())
    })
    .await;
    browser.press_on("Undo").await;
    browser.shows("log/second is in force").await;
    is(&world, object, "/value/config/prefix", &json!("one:")).await;

    browser.act("Delete", &[]).await;
    browser.shows("log/second is not in force any more").await;
    assert_eq!(world.daemon.call(reqwest::Method::GET, object, None).await.0, 404);
    browser.press_on("Undo").await;
    browser.shows("log/second is in force").await;
    is(&world, object, "/value/config/prefix", &json!("one:")).await;
    browser.act("Reset to the files", &[]).await;
    browser.shows("What the files say of log/second holds again").await;
    browser.press_on("Undo").await;
    browser.shows("log/second is in force").await;

    // Somebody else is faster: what they have said is shown, and stays.
    browser.fill(".editor [name=text]", "plugin = \"log\"\nconfig = { prefix = \"mine:\" }\n").await;
    let theirs = json!({"plugin": "log", "config": {"prefix": "theirs:"}});
    let answer = world.daemon.call(reqwest::Method::PUT, object, Some(&theirs)).await;
    assert!(answer.0.is_success(), "{:#}", answer.1);
    browser.press_on("Put in force").await;
    browser.shows("the object was changed meanwhile").await;
    browser.shows("theirs:").await;
    is(&world, object, "/value/config/prefix", &json!("theirs:")).await;
    only_refusals_went_wrong(&browser).await;

    browser.go(&world.at(&format!("/configuration/versions/{before}"))).await;
    browser.act("Restore", &[]).await;
    browser.shows(&format!("Every object is what it was in {before}")).await;
    assert_eq!(world.daemon.call(reqwest::Method::GET, object, None).await.0, 404);
    browser.press_on("Undo").await;
    browser.shows("Every object is what it was in").await;
    is(&world, object, "/value/config/prefix", &json!("theirs:")).await;
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_on_is_tried_again_and_what_goes_on_is_cancelled() {
    let test = "what_was_given_up_on_is_tried_again_and_what_goes_on_is_cancelled";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    world.lose("a lost word").await;
    world.refuses.answer(200);
    let before = world.refuses.received().len();
    browser.go(&world.at("/dead-letters")).await;
    browser.click("return document.querySelector('main table a')", &[]).await;
    browser.shows("As it was").await;
    browser.act("Retry", &[]).await;
    browser.shows("It is being tried again").await;
    browser.shows("No dead letters").await;
    eventually("the delivery", SOON, async || (world.refuses.received().len() > before).then_some(())).await;
    assert_eq!(world.daemon.items("/api/v1/dead-letters").await, Vec::<Value>::new());

    browser.go(&world.at("/runbooks/wait-long")).await;
    browser.press_on("Start").await;
    browser.shows("running").await;
    browser.act("Cancel", &[]).await;
    browser.shows("cancelled").await;
    let run = world.daemon.items("/api/v1/runs?runbook=wait-long").await.remove(0);
    assert_eq!((&run["state"], &run["principal"]), (&json!("cancelled"), &json!("console")), "{run:#}");
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_is_made_prolonged_taken_back_changed_and_ended() {
    let test = "a_silence_is_made_prolonged_taken_back_changed_and_ended";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 900).await;
    let silence = async || world.daemon.items("/api/v1/silences?state=active").await.pop();
    browser.go(&world.at("/silences")).await;
    browser.press_on("New silence").await;
    browser.shows("Conditions on labels").await;
    browser.fill("main [name=matchers]", "alertname=\"DiskFull\"").await;
    browser.fill("main [name=comment]", "moving the disk").await;
    browser.press_on("Preview").await;
    browser.shows("alerts that fire now").await;
    browser.act("Silence", &[]).await;
    browser.shows("The silence holds until").await;
    let made = silence().await.unwrap();
    browser.act("Prolong", &[("for", "4h")]).await;
    browser.shows("The silence lasts until").await;
    assert_ne!(silence().await.unwrap()["ends_at"], made["ends_at"]);
    browser.press_on("Undo").await;
    browser.shows("The silence holds until").await;
    assert_eq!(silence().await.unwrap()["ends_at"], made["ends_at"]);

    browser.press_on("Change it").await;
    browser.shows("Change a silence").await;
    browser.fill("main [name=comment]", "moving both disks").await;
    browser.press_on("Preview").await;
    browser.act("Change it", &[]).await;
    browser.shows("moving both disks").await;
    assert_eq!(silence().await.unwrap()["comment"], "moving both disks");
    browser.act("Expire", &[]).await;
    browser.shows("The silence is expired").await;
    assert!(silence().await.is_none());
    browser.press_on("Undo").await;
    browser.shows("The silence holds until").await;
    assert_eq!(silence().await.unwrap()["comment"], "moving both disks");
    nothing_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_acknowledged_and_resolved_and_who_signs_out_can_change_nothing_any_more() {
    let test = "an_alert_is_acknowledged_and_resolved_and_who_signs_out";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    alert(&world.daemon, "QueueFull", &json!({"severity": "warning"})).await;
    browser.go(&world.at("/alerts")).await;
    browser.shows("QueueFull").await;
    browser.press_on("QueueFull").await;
    browser.shows("Why was somebody told").await;
    let of_it = async || {
        let alerts = world.daemon.items("/api/v1/alerts").await;
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "QueueFull").unwrap()
    };
    browser.act("Acknowledge", &[]).await;
    eventually("it is acknowledged", SOON, async || of_it().await["acknowledged_by"].is_string().then_some(())).await;
    browser.act("Resolve", &[]).await;
    eventually("it is resolved", SOON, async || (of_it().await["state"] == "resolved").then_some(())).await;
    nothing_went_wrong(&browser).await;

    browser.go(&world.at("/instances/webhook/ops")).await;
    browser.press_on("Disable").await;
    // Signed out in another window of the same browser: the page that is open still offers it.
    let leave = "const done = arguments[arguments.length - 1]; \
        fetch('/console/sign-out', {method: 'POST', body: new URLSearchParams({csrf: document.body.dataset.csrf})}).then(() => done(true))";
    assert_eq!(browser.run_to_the_end(leave).await, true);
    browser.click("return document.querySelector('details.action[open] .panel button[type=submit]')", &[]).await;
    browser.shows("who changes anything must be signed in").await;
    assert_eq!(world.daemon.get("/api/v1/instances/webhook/ops").await["spec"]["enabled"], true);
    browser.go(&world.at("/instances/webhook/ops")).await;
    browser.shows("Sign in to change anything").await;
    only_refusals_went_wrong(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_is_one_press_and_the_way_back_leads_to_nothing_that_can_be_changed() {
    let test = "signing_out_is_one_press";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    browser.go(&world.at("/instances/webhook/ops")).await;
    browser.shows("Disable").await;
    browser
        .click(
            "return [...document.querySelectorAll('header button')].find((it) => it.textContent.trim() === 'Sign out')",
            &[],
        )
        .await;
    browser.shows("Sign in").await;
    browser.run("history.back()", &[]).await;
    browser.shows("Sign in to change anything").await;
    nothing_went_wrong(&browser).await;
}
