//! Charts where there is little room, or much.

use super::world::MARKUP;
use super::{SIDEWAYS, World};
use crate::harness::browser::Browser;
use serde_json::{Value, json};

/// A chart of what was measured just now, drawn and fitted into its room.
async fn chart(world: &World, browser: &Browser, width: u32, height: u32) {
    for value in [1.0, 12_345.0] {
        let sample = json!([{"name": "shop_up", "labels": {"path": MARKUP}, "value": value}]);
        world.daemon.post("/api/v1/metrics", &sample).await;
    }
    browser.size(width, height).await;
    browser.go(&world.at("/metrics?q=shop_up*1&range=15m")).await;
    browser
        .until(
            "the chart is fitted",
            "return !!document.querySelector('figure.chart > svg[preserveAspectRatio] .cross')",
        )
        .await;
}

/// Of each text of the chart that is seen: how tall it is, how much wider than it was written, its ends, and whether it is one of the time.
async fn texts(browser: &Browser) -> Vec<Value> {
    let script = "return [...document.querySelectorAll('figure.chart > svg text')].filter((text) => getComputedStyle(text).visibility === 'visible').map((text) => { \
        const box = text.getBoundingClientRect(); \
        return [box.height, box.width / text.getComputedTextLength(), box.left, box.right, !!text.closest('.moments')]; })";
    browser.run(script, &[]).await.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chart_can_be_read_at_every_width_and_its_labels_do_not_meet() {
    let test = "a_chart_can_be_read_at_every_width";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    for (width, height) in [(320, 700), (360, 800), (1280, 800), (1920, 1080)] {
        chart(&world, &browser, width, height).await;
        let texts = texts(&browser).await;
        let number = |text: &Value, index: usize| text[index].as_f64().unwrap();
        assert!(texts.len() >= 6, "{width}: {texts:?}");
        let (mut moments, mut end) = (0, 0.0);
        for text in &texts {
            assert!(number(text, 0) >= 12.0, "{width}: too small: {text}");
            assert!((0.95..1.05).contains(&number(text, 1)), "{width}: squeezed or stretched: {text}");
            assert!(number(text, 2) >= 0.0 && number(text, 3) <= f64::from(width), "{width}: cut off: {text}");
            if text[4] == true {
                assert!(number(text, 2) >= end, "{width}: {texts:?}");
                (moments, end) = (moments + 1, number(text, 3));
            }
        }
        assert!(moments >= 2, "{width}: {texts:?}");
        assert_eq!(browser.run(SIDEWAYS, &[]).await, "", "{width}");
        // Nothing has to be moved to see all of it.
        let fits = "const figure = document.querySelector('figure.chart'); return figure.scrollWidth <= figure.clientWidth + 1 && figure.querySelector('svg').getBoundingClientRect().height < 300";
        assert_eq!(browser.run(fits, &[]).await, true, "{width}");
    }
    // A window that is made narrower.
    browser.size(360, 800).await;
    browser.until("it is fitted again", "return !!document.querySelector('figure.chart.narrow')").await;
    assert_eq!(browser.run(SIDEWAYS, &[]).await, "");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finger_reads_a_chart_as_the_pointer_does_and_what_it_reads_stays_until_it_touches_elsewhere() {
    let test = "a_finger_reads_a_chart";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    chart(&world, &browser, 360, 800).await;
    let read = "const figure = document.querySelector('figure.chart'); return [figure.querySelector('.when').textContent, \
        figure.querySelector('.legend .now').textContent, figure.querySelector('.cross').getAttribute('visibility')]";
    assert_eq!(browser.run(read, &[]).await, json!(["", "", "hidden"]));
    let (x, y, width, _) = browser.place("figure.chart > svg").await;
    browser.tap(x + width * 0.47, y).await;
    let shown = browser.run(read, &[]).await;
    assert_eq!(shown[2], "visible", "{shown}");
    assert!(shown[0].as_str().unwrap().ends_with(" UTC") && shown[1] != "" && shown[1] != "–", "{shown}");
    assert_eq!(browser.run(read, &[]).await, shown, "it stays when the finger is gone");
    browser.tap(x - width * 0.2, y).await;
    let other = browser.run(read, &[]).await;
    assert!(other[2] == "visible" && other[0] != shown[0], "{other}");
    let (x, y, ..) = browser.place("h1").await;
    browser.tap(x, y).await;
    browser
        .until(
            "it lets go",
            "return document.querySelector('figure.chart .cross').getAttribute('visibility') === 'hidden'",
        )
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}
