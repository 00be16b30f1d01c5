//! What goes on while somebody looks: times that count on, and a palette that is slower than who types.

use super::World;
use crate::harness::browser::{CONTROL, DOWN, ENTER, SOON};
use crate::harness::eventually;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_on_tells_for_how_long_and_counts_on() {
    let test = "what_goes_on_tells_for_how_long";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    world.daemon.post("/api/v1/runs", &json!({"runbook": "wait-long"})).await;
    let run = eventually("the run", SOON, async || world.daemon.items("/api/v1/runs").await.pop()).await;
    let one = format!("/runs/{}", run["id"].as_str().unwrap());
    for path in ["/runs", one.as_str()] {
        browser.go(&world.at(path)).await;
        // Seconds, then minutes and seconds: never when it began.
        let told = "return document.querySelector('main [data-since]')?.textContent ?? ''";
        browser.until("it is told", "return /^([0-9]+ min )?[0-9]+ s$|^[0-9]+ min$/.test(document.querySelector('main [data-since]')?.textContent)").await;
        let first = browser.run(told, &[]).await;
        eventually("it counts on", SOON, async || (browser.run(told, &[]).await != first).then_some(())).await;
    }
    // What changes without an event is looked at again by itself.
    let renewed = "return performance.getEntriesByType('resource').some((entry) => entry.initiatorType === 'fetch' && entry.name === location.href)";
    browser.until("the page of the run is renewed", renewed).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_palette_opens_what_was_typed_also_when_its_results_come_later() {
    let test = "the_palette_opens_what_was_typed";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    browser.go(&world.at("/jobs")).await;
    let answered = "return document.querySelectorAll('[data-results] a').length > 1 && !!document.querySelector('[data-results] a.chosen')";
    browser.press(&[CONTROL, "k"]).await;
    browser.until("all pages are offered", answered).await;
    // No answer comes until the key was pressed.
    world.daemon.freeze();
    browser.write("silences").await;
    browser.press(&[ENTER]).await;
    assert_eq!(browser.run("return location.pathname", &[]).await, "/console/jobs", "not what stood there before");
    world.daemon.thaw();
    browser.until("it leads there", "return location.pathname === '/console/silences'").await;

    browser.until("the page is there", "return document.readyState === 'complete'").await;
    browser.press(&[CONTROL, "k"]).await;
    browser.until("all pages are offered", answered).await;
    browser.press(&[DOWN]).await;
    browser.press(&[DOWN]).await;
    let third = "const all = [...document.querySelectorAll('[data-results] a')]; return [all.findIndex((link) => link.matches('.chosen')), all[2].pathname]";
    let third = browser.run(third, &[]).await;
    assert_eq!(third[0], 2, "{third}");
    browser.press(&[ENTER]).await;
    browser.until("it leads to the third", &format!("return location.pathname === {}", third[1])).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}
