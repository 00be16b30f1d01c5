//! The console on a wall, and on what is held in a hand.

use super::{SIDEWAYS, World};
use serde_json::Value;

/// Where each part of the overview begins, from the left.
const COLUMNS: &str = "return [...new Set([...document.querySelectorAll('.columns > section')].map((part) => Math.round(part.getBoundingClientRect().left)))]";
/// Running text that is longer than can be read, in characters.
const TOO_LONG: &str = "const out = []; for (const part of document.querySelectorAll('main :is(p, dd, .timeline li, .lines li)')) { \
    if (part.closest('table, nav, .columns')) continue; \
    const style = getComputedStyle(part); const canvas = document.createElement('canvas').getContext('2d'); canvas.font = style.font; \
    const width = part.getBoundingClientRect().width / canvas.measureText('0').width; if (width > 91) out.push(`${Math.round(width)}: ${part.textContent.slice(0, 60)}`); } return out";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_is_used_in_columns_and_no_line_is_too_long_to_be_read() {
    let test = "a_wall_is_used_in_columns";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    let incident = world.daemon.items("/api/v1/incidents").await[0]["id"].as_str().unwrap().to_owned();
    let incident = format!("/incidents/{incident}");
    for path in
        ["", "/incidents", incident.as_str(), "/events", "/metrics?q=shop_up", "/host", "/instances", "/configuration"]
    {
        browser.size(1920, 1080).await;
        browser.go(&world.at(path)).await;
        assert_eq!(browser.run(SIDEWAYS, &[]).await, "", "{path}");
        let used = browser.run("return document.querySelector('main').getBoundingClientRect().right", &[]).await;
        assert!(used.as_f64().unwrap() > 1880.0, "{path}: {used}");
        assert_eq!(browser.run(TOO_LONG, &[]).await, Value::Array(Vec::new()), "{path}");
        if path.is_empty() {
            let columns = browser.run(COLUMNS, &[]).await;
            assert!(columns.as_array().unwrap().len() >= 3, "{columns}");
        }
        browser.size(360, 800).await;
        assert_eq!(browser.run(SIDEWAYS, &[]).await, "", "{path}");
    }
    assert_eq!(browser.errors().await, Vec::<String>::new());
}
