//! How pages hear of what happens: one stream for all windows of a browser, and a server that is away or hangs.

use super::World;
use super::world::event;
use crate::harness::Daemon;
use crate::harness::browser::{Browser, SOON};
use crate::harness::eventually;
use serde_json::{Value, json};
use std::time::Duration;

const PAGE: &str = "/events?type=custom";
/// Until a page says that it hears nothing: two and a half beats of the stream, what it looks at them apart, and some room.
const SILENCE: Duration = Duration::from_secs(60);
const BANNER: &str = "document.querySelector('[data-away]')";
const STILL: &str = "document.querySelector('[data-still]')";

/// Waits until the server has so many streams: a connection that has ended is noticed a little later.
async fn streams(daemon: &Daemon, wanted: &str) {
    eventually(&format!("{wanted} streams"), SOON, async || {
        let asked = daemon.http().get(format!("{}/metrics", daemon.url)).bearer_auth(&daemon.token);
        let page = asked.send().await.unwrap().text().await.unwrap();
        let open = page.lines().find_map(|line| line.strip_prefix("quarterdeck_event_streams "));
        (open == Some(wanted)).then_some(())
    })
    .await;
}

/// Opens the page in eight windows, all of which are seen.
async fn eight_windows(world: &World, browser: &Browser) -> Vec<String> {
    let mut windows = vec![browser.window().await];
    for _ in 1..8 {
        windows.push(browser.open_window().await);
    }
    for window in &windows {
        browser.drive(window).await;
        browser.go(&world.at(PAGE)).await;
        browser.until("the window is seen", "return document.visibilityState === 'visible'").await;
    }
    windows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_windows_are_live_over_one_connection_whichever_of_them_closes() {
    let test = "eight_windows_are_live_over_one_connection";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    let mut windows = eight_windows(&world, &browser).await;
    streams(&world.daemon, "1").await;
    let all_show = async |windows: &[String], subject: &str| {
        for window in windows {
            browser.drive(window).await;
            browser.shows(subject).await;
        }
    };
    event(&world.daemon, "told-to-eight").await;
    all_show(&windows, "told-to-eight").await;
    // The first one began the stream; what happens while it closes is not lost.
    for (number, subject) in ["while-the-first-closed", "while-the-second-closed"].into_iter().enumerate() {
        browser.drive(&windows.remove(0)).await;
        browser.close_window().await;
        event(&world.daemon, subject).await;
        all_show(&windows, subject).await;
        assert_eq!(windows.len(), 7 - number);
    }
    // Another kind of page has its events told as well, and the others theirs.
    browser.drive(&windows[0]).await;
    browser.go(&world.at("/alerts")).await;
    super::world::alert(&world.daemon, "ToldToOne", &json!({"severity": "warning"})).await;
    browser.shows("ToldToOne").await;
    event(&world.daemon, "told-to-the-others").await;
    all_show(&windows[1..], "told-to-the-others").await;
    streams(&world.daemon, "1").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_windows_can_share_nothing_each_has_a_stream_of_its_own() {
    let test = "where_windows_can_share_nothing";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    let windows = [browser.window().await, browser.open_window().await];
    for window in &windows {
        browser.drive(window).await;
        let source = json!({"source": "delete globalThis.SharedWorker"});
        browser.own("Page.addScriptToEvaluateOnNewDocument", &source).await;
        browser.go(&world.at(PAGE)).await;
        assert_eq!(browser.run("return 'SharedWorker' in globalThis", &[]).await, false);
    }
    streams(&world.daemon, "2").await;
    event(&world.daemon, "told-to-both").await;
    for window in &windows {
        browser.drive(window).await;
        browser.shows("told-to-both").await;
    }
    browser.close_window().await;
    streams(&world.daemon, "1").await;
    browser.drive(&windows[0]).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_server_that_hangs_the_page_says_so_and_goes_on_by_itself() {
    let test = "of_a_server_that_hangs_the_page_says_so";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.go(&world.at(PAGE)).await;
    browser.run("window.kept = true", &[]).await;
    event(&world.daemon, "before-it-hung").await;
    browser.shows("before-it-hung").await;
    assert_eq!(browser.run(&format!("return {STILL}.hidden"), &[]).await, true);
    world.daemon.freeze();
    let said = format!("return !{BANNER}.hidden && {BANNER}.textContent.includes('does not answer')");
    browser.until_within(SILENCE, "the page says that nothing is heard", &said).await;
    let still = browser.run(&format!("return {STILL}.innerText"), &[]).await;
    assert!(still.as_str().unwrap().starts_with("Stands still since "), "{still}");
    world.daemon.thaw();
    browser.until("the banner goes", &format!("return {BANNER}.hidden && {STILL}.hidden")).await;
    event(&world.daemon, "after-it-hung").await;
    browser.shows("after-it-hung").await;
    browser.shows("before-it-hung").await;
    assert_eq!(browser.run("return window.kept", &[]).await, true, "without being loaded anew");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stands_still_says_since_when_in_the_zone_that_was_chosen() {
    let test = "a_page_that_stands_still_says_since_when";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    browser.zone("Asia/Kolkata").await;
    browser.go(&world.at(PAGE)).await;
    let told = async || browser.run(&format!("return {STILL}.innerText"), &[]).await;
    let press = "return document.querySelector('[data-pause]')";
    assert_eq!(told().await, "");
    browser.click(press, &[]).await;
    // One of the minutes in which the pressing may have been.
    let minutes = "const at = (zone, before) => new Intl.DateTimeFormat('en-GB', {timeZone: zone, hour: '2-digit', minute: '2-digit'}).format(Date.now() - before); \
        return [0, 60000].map((before) => `Stands still since ${at(arguments[0], before)}${arguments[1]}`)";
    let one_of =
        |told: Value, minutes: Value| assert!(minutes.as_array().unwrap().contains(&told), "{told}: {minutes}");
    one_of(told().await, browser.run(minutes, &[json!("UTC"), json!(" UTC")]).await);
    browser.click("return document.querySelector('[data-zone]')", &[]).await;
    one_of(told().await, browser.run(minutes, &[json!("Asia/Kolkata"), json!("")]).await);
    assert_eq!(browser.run(super::SIDEWAYS, &[]).await, "");
    browser.click(press, &[]).await;
    assert_eq!(told().await, "");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}
