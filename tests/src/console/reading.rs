//! How somebody reads the console: charts under the pointer and by keys, the zone of times, the colours, and what follows when the
//! page is smaller, or asked for in odd ways.

use super::World;
use super::world::{MARKUP, alert, event};
use crate::harness::browser::{Browser, CONTROL, DOWN, ENTER, ESCAPE, RIGHT};
use serde_json::{Value, json};
use std::time::Duration;

/// The explorer with two charts, one beside the other.
const CHARTS: &str = "/metrics?q=shop_up&q=shop_up*2&charts=apart&range=15m";

async fn charts(world: &World, browser: &Browser) {
    let written = |value: f64| json!([{"name": "shop_up", "labels": {"path": MARKUP}, "value": value}]);
    for value in [1.0, 2.0] {
        world.daemon.post("/api/v1/metrics", &written(value)).await;
    }
    browser.size(1280, 1000).await;
    browser.go(&world.at(CHARTS)).await;
    browser.until("both charts are drawn", "return document.querySelectorAll('figure.chart > svg').length === 2").await;
}

/// What the legends say under the pointer, and at which moments.
async fn readings(browser: &Browser) -> Value {
    let script = "return [...document.querySelectorAll('figure.chart')].map((figure) => [figure.querySelector('.when').textContent, \
        figure.querySelector('.legend .now').textContent, figure.querySelector('.cross').getAttribute('visibility'), figure.querySelector('.cross').getAttribute('x1')])";
    browser.run(script, &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pointer_reads_all_charts_at_one_moment_and_chooses_a_part_by_dragging() {
    let test = "the_pointer_reads_all_charts_at_one_moment";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    charts(&world, &browser).await;
    let (x, y, width, _) = browser.place("figure.chart svg").await;
    // The end, where the samples are.
    let late = x + width * 0.49;
    browser.point(&[(x, y), (late, y)], false).await;
    let read = readings(&browser).await;
    assert_eq!((&read[0][0], &read[0][2], &read[0][3]), (&read[1][0], &read[1][2], &read[1][3]), "{read}");
    assert_eq!(read[0][2], "visible", "{read}");
    assert!(read[0][0].as_str().unwrap().ends_with(" UTC"), "{read}");
    assert_eq!((&read[0][1], &read[1][1]), (&json!("2"), &json!("4")), "each says its own value: {read}");
    browser.point(&[(late, y), (2.0, 2.0)], false).await;
    assert_eq!(readings(&browser).await[0][2], "hidden");

    browser.point(&[(x, y), (x + 60.0, y), (late, y)], true).await;
    browser.until("the part is shown", "return new URL(location.href).searchParams.has('from')").await;
    browser
        .until(
            "the page is there",
            "return document.readyState === 'complete' && !!document.querySelector('figure.chart')",
        )
        .await;
    let part = "const found = new URL(location.href).searchParams; return [Date.parse(found.get('to')) - Date.parse(found.get('from')), found.get('q'), found.has('range')]";
    let part = browser.run(part, &[]).await;
    let length = part[0].as_f64().unwrap() / 1000.0;
    assert!(length > 60.0 && length < 14.0 * 60.0, "{part}");
    assert_eq!((&part[1], &part[2]), (&json!("shop_up"), &json!(false)));
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_read_a_chart_and_choose_a_part_of_it() {
    let test = "keys_read_a_chart_and_choose_a_part_of_it";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    charts(&world, &browser).await;
    browser.run("document.querySelector('figure.chart svg').focus()", &[]).await;
    for _ in 0..10 {
        browser.press(&[RIGHT]).await;
    }
    let read = readings(&browser).await;
    assert_eq!((&read[0][2], &read[0][0]), (&json!("visible"), &read[1][0]), "{read}");
    browser.press(&[ESCAPE]).await;
    assert_eq!(readings(&browser).await[0][2], "hidden");
    browser.press(&[RIGHT]).await;
    browser.press(&[ENTER]).await;
    for _ in 0..20 {
        browser.press(&[RIGHT]).await;
    }
    browser.press(&[ENTER]).await;
    browser.until("the part is shown", "return new URL(location.href).searchParams.has('from')").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_differ_without_colours_and_keys_go_from_one_to_the_next() {
    let test = "lines_differ_without_colours_and_keys_go_from_one_to_the_next";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    // Over two minutes: a single point has no room for dashes.
    for before in [120_000, 60_000, 0] {
        let at = browser.run(&format!("return new Date(Date.now() - {before}).toISOString()"), &[]).await;
        world.daemon.post("/api/v1/metrics", &json!([{"name": "custom_dashes", "value": 2.0, "at": at}])).await;
    }
    browser.size(1280, 1000).await;
    browser.go(&world.at("/metrics?q=custom_dashes&q=custom_dashes*2&range=15m")).await;
    browser.until("the chart is drawn", "return !!document.querySelector('figure.chart > svg .cross')").await;
    let dashes = "return ['figure.chart > svg', '.legend'].map((place) => [...new Set([...document.querySelectorAll(`${place} [stroke^=\"#00000\"]`)].map((line) => getComputedStyle(line).strokeDasharray))].sort())";
    let dashes = browser.run(dashes, &[]).await;
    assert_eq!(dashes[0], dashes[1], "as in the plot, so beside the name");
    assert_eq!(dashes[0].as_array().unwrap().len(), 2, "{dashes}");

    let chosen = async || {
        let script = "return [[...document.querySelectorAll('.legend .chosen')].map((row) => row.dataset.line), \
            [...new Set([...document.querySelectorAll('figure.chart > svg .back')].map((line) => line.dataset.line))], \
            document.querySelector('figure.chart [data-told]').textContent.trim() !== '']";
        browser.run(script, &[]).await
    };
    browser.run("document.querySelector('figure.chart > svg').focus()", &[]).await;
    assert_eq!(chosen().await, json!([[], [], false]));
    browser.press(&[DOWN]).await;
    assert_eq!(chosen().await, json!([["0"], ["1"], true]));
    browser.press(&[DOWN]).await;
    assert_eq!(chosen().await, json!([["1"], ["0"], true]));
    browser.press(&[DOWN]).await;
    assert_eq!(chosen().await, json!([[], [], false]), "behind the last one are all of them");
    browser.press(&[DOWN]).await;
    browser.press(&[ESCAPE]).await;
    assert_eq!(chosen().await, json!([[], [], false]));
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_told_as_how_long_ago_or_exactly_as_somebody_chooses_and_it_stays_so() {
    let test = "times_are_told_as_how_long_ago_or_exactly";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    let exact = async || {
        let script = "const all = [...document.querySelectorAll('time[data-time]')]; \
            return [all.length > 0, all.filter((time) => /^[0-9]{4}-/.test(time.textContent)).length / all.length]";
        browser.run(script, &[]).await
    };
    let press = "return document.querySelector('[data-times]')";
    // A page that has both.
    browser.go(&world.at("")).await;
    browser.until("the script has begun", "return !document.querySelector('[data-times]').hidden").await;
    let mixed = exact().await[1].as_f64().unwrap();
    assert!(mixed > 0.0 && mixed < 1.0, "{mixed}");
    browser.click(press, &[]).await;
    assert_eq!(exact().await, json!([true, 0]), "all as how long ago");
    browser.click(press, &[]).await;
    assert_eq!(exact().await, json!([true, 1]), "all exactly");
    browser.go(&world.at("/incidents")).await;
    browser.until("the choice is there", "return document.querySelector('[data-times]').textContent === 'Exact'").await;
    assert_eq!(exact().await, json!([true, 1]), "on every page");
    // What renews itself is told in the same way.
    alert(&world.daemon, "Later", &json!({"severity": "warning"})).await;
    browser.shows("Later").await;
    assert_eq!(exact().await, json!([true, 1]));
    browser.click(press, &[]).await;
    assert_eq!(exact().await, json!([true, 0]), "each as it says more");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_chart_shows_the_part_that_was_chosen_of_it_and_leads_back() {
    let test = "every_chart_shows_the_part_that_was_chosen_of_it";
    let Some(world) = World::with_everything(test).await else { return };
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 1000).await;
    let deployment = world.daemon.items("/api/v1/deployments").await[0]["id"].as_str().unwrap().to_owned();
    let alerts = world.daemon.items("/api/v1/alerts").await;
    let load = alerts.iter().find(|alert| alert["rule"] == "load").unwrap();
    for path in [
        format!("/deployments/{deployment}"),
        format!("/alerts/{}", load["fingerprint"].as_str().unwrap()),
        "/services/web".to_owned(),
    ] {
        browser.go(&world.at(&path)).await;
        browser.until("the chart is drawn", "return !!document.querySelector('figure.chart svg .cross')").await;
        let (x, y, width, _) = browser.place("figure.chart svg").await;
        browser.point(&[(x, y), (x + 30.0, y), (x + width * 0.4, y)], true).await;
        browser.until("the part is asked for", "return new URL(location.href).searchParams.has('from')").await;
        let shown = "if (document.readyState !== 'complete') return false; const figure = document.querySelector('figure.chart'); \
            const asked = new URL(location.href).searchParams; \
            return !figure.dataset.chart || JSON.parse(figure.dataset.chart).from === Date.parse(asked.get('from')) && JSON.parse(figure.dataset.chart).to === Date.parse(asked.get('to'))";
        browser.until(&format!("{path} shows the part"), shown).await;
    }
    browser.go(&world.at(&format!("/deployments/{deployment}?from=2026-01-01&to=2026-01-02"))).await;
    browser.press_on("Show the whole time").await;
    browser
        .until("all of it again", "return location.search === '' && !!document.querySelector('figure.chart svg')")
        .await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_and_charts_are_told_in_the_zone_that_was_chosen_and_it_stays_so() {
    let test = "times_and_charts_are_told_in_the_zone_that_was_chosen";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    // Half an hour off, so that no whole hour of the one is one of the other.
    browser.zone("Asia/Kolkata").await;
    charts(&world, &browser).await;
    let labels = async || {
        let script = "return [...document.querySelectorAll('figure.chart .moments text')].map((text) => text.textContent.trim())";
        browser.run(script, &[]).await
    };
    let seen = "return [document.querySelector('[data-zone]').textContent, document.querySelector('[data-zone-name]').textContent]";
    let in_utc = labels().await;
    assert!(!in_utc.as_array().unwrap().is_empty());
    assert_eq!(browser.run(seen, &[]).await, json!(["UTC", "UTC"]));
    // Where each label stands, and which moment that is.
    let agree = "const zone = arguments[0]; return [...document.querySelectorAll('figure.chart')].every((figure) => { \
        const data = JSON.parse(figure.dataset.chart); const [left, , width] = data.plot; \
        return [...figure.querySelectorAll('.moments text')].every((text) => { \
            const at = data.from + (Number(text.getAttribute('x')) - left) / width * (data.to - data.from); \
            const shown = new Intl.DateTimeFormat('en-GB', {timeZone: zone, hour: '2-digit', minute: '2-digit'}).format(new Date(at + 1000)); \
            return text.textContent.trim() === shown || /^[0-9]{2}-[0-9]{2}$/.test(text.textContent.trim()); }); })";
    assert_eq!(browser.run(agree, &[json!("UTC")]).await, true, "{in_utc}");
    let press = "return document.querySelector('[data-zone]')";
    browser.click(press, &[]).await;
    assert_eq!(browser.run(seen, &[]).await, json!(["Local", "local time"]));
    let local = labels().await;
    assert_ne!(local, in_utc);
    assert_eq!(browser.run(agree, &[json!("Asia/Kolkata")]).await, true, "{local}");

    // On another page, and after that page was loaded anew.
    for path in ["/incidents", "/metrics?q=shop_up&range=7d"] {
        browser.go(&world.at(path)).await;
        browser
            .until(
                "times are local",
                "return [...document.querySelectorAll('time')].every((time) => !time.title.endsWith('UTC'))",
            )
            .await;
        assert_eq!(browser.run("return document.querySelector('[data-zone]').textContent", &[]).await, "Local");
    }
    // A week has days, each where it begins here.
    let days = labels().await;
    assert!(days.as_array().unwrap().len() >= 6 && days[0].as_str().unwrap().contains('-'), "{days}");
    assert_eq!(browser.run(agree, &[json!("Asia/Kolkata")]).await, true, "{days}");
    browser.click(press, &[]).await;
    assert_eq!(browser.run("return document.querySelector('[data-zone-name]').textContent", &[]).await, "UTC");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_follow_the_system_until_somebody_chooses_and_the_choice_stays() {
    let test = "colours_follow_the_system_until_somebody_chooses";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    let ground = async || browser.run("return getComputedStyle(document.body).backgroundColor", &[]).await;
    browser.scheme("light").await;
    let light = ground().await;
    browser.scheme("dark").await;
    let dark = ground().await;
    assert_ne!(light, dark);
    let press = "return document.querySelector('[data-theme-switch]')";
    browser.click(press, &[]).await;
    assert_eq!(ground().await, light, "light, though the system is dark");
    browser.click(press, &[]).await;
    browser.scheme("light").await;
    assert_eq!(ground().await, dark, "dark, though the system is light");
    browser.go(&world.at("/jobs")).await;
    assert_eq!(ground().await, dark, "on every page");
    assert_eq!(browser.run("return document.querySelector('[data-theme-switch]').textContent", &[]).await, "Dark");
    browser.click(press, &[]).await;
    assert_eq!(ground().await, light, "as the system has it again");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_focus_is_it_stays_when_a_part_renews_itself() {
    let test = "where_the_focus_is_it_stays_when_a_part_renews_itself";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    // Every three seconds there are other numbers in it.
    browser.go(&world.at("/jobs")).await;
    let marked = "const link = document.querySelectorAll('main table a')[2]; link.focus(); link.closest('table').dataset.before = ''; return link.textContent";
    let before = browser.run(marked, &[]).await;
    let renewed = "return !document.querySelector('main table').hasAttribute('data-before')";
    browser.until("the part is another one", renewed).await;
    assert_eq!(browser.run("return document.activeElement.textContent", &[]).await, before);
    // What has neither an address nor an id.
    browser.go(&world.at("/silences/new?matchers=alertname%3DDiskFull&comment=known&for=2h")).await;
    browser.act("Silence", &[]).await;
    let firing = "return Number(document.body.innerText.match(/1 of (\\d+) alerts that fire now/)?.[1] ?? 0)";
    let before = browser.run(firing, &[]).await.as_u64().unwrap();
    assert!(before >= 2);
    browser.run("document.querySelector('main details.action > summary').focus()", &[]).await;
    alert(&world.daemon, "Another", &json!({"severity": "warning"})).await;
    browser.shows(&format!("1 of {} alerts that fire now", before + 1)).await;
    assert_eq!(browser.run("return document.activeElement.textContent", &[]).await, "Prolong…");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_palette_is_opened_by_its_keys_and_the_single_one_can_be_switched_off() {
    let test = "the_palette_is_opened_by_its_keys";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    browser.go(&world.at("/jobs")).await;
    let open = async || browser.run("return document.querySelector('[data-palette]').open", &[]).await;
    browser.press(&["/"]).await;
    assert_eq!(open().await, true);
    browser.write("silences").await;
    browser
        .until(
            "what is chosen is told",
            "return document.querySelector('[data-told]').textContent.includes('Silences')",
        )
        .await;
    browser.click("return document.querySelector('[data-slash]')", &[]).await;
    browser.press(&[ESCAPE]).await;
    browser.press(&["/"]).await;
    assert_eq!(open().await, false, "it was switched off");
    browser.go(&world.at("/events")).await;
    browser.press(&["/"]).await;
    assert_eq!(open().await, false, "and stays so");
    browser.press(&[CONTROL, "k"]).await;
    assert_eq!(open().await, true);
    browser.write("silences").await;
    browser
        .until(
            "it is found",
            "return document.querySelector('[data-results] a.chosen')?.textContent.includes('Silences')",
        )
        .await;
    browser.press(&[ENTER]).await;
    browser.until("it leads there", "return location.pathname === '/console/silences'").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_moves_stands_still_when_that_is_wanted_and_what_was_opened_stays_open() {
    let test = "a_page_that_moves_stands_still_when_that_is_wanted";
    let world = World::start().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    event(&world.daemon, "the-first").await;
    browser.go(&world.at("/events?type=custom")).await;
    browser.shows("the-first").await;
    let told = json!({"type": "custom.test", "subject": "the-second", "data": {"words": "that are read"}});
    world.daemon.post("/api/v1/events", &told).await;
    browser.shows("the-second").await;
    browser.click("return document.querySelector('main details.plain-details summary')", &[]).await;
    browser.shows("that are read").await;
    event(&world.daemon, "the-third").await;
    browser.shows("the-third").await;
    let open = "return [...document.querySelectorAll('main details[open]')].map((it) => it.closest('tr').textContent.includes('the-second'))";
    assert_eq!(browser.run(open, &[]).await, json!([true]), "what comes in on top does not close it, or open another");

    let switch = "return document.querySelector('[data-pause]')";
    browser.click(switch, &[]).await;
    event(&world.daemon, "the-fourth").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!browser.text().await.contains("the-fourth"), "it stands still");
    browser.click(switch, &[]).await;
    browser.shows("the-fourth").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_offered_where_is_grouped_by_them_and_values_within_quotes() {
    let test = "labels_are_offered_where_is_grouped_by_them";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    let written = json!([{"name": "words_total", "labels": {"color": "blue", "shape": "round"}, "value": 1.0},
        {"name": "others_total", "labels": {"weight": "light"}, "value": 1.0}]);
    world.daemon.post("/api/v1/metrics", &written).await;
    browser.go(&world.at("/metrics")).await;
    browser.until("the script is there", "return !!document.querySelector('[role=combobox]')").await;
    // What is typed, up to the bar; what is behind it; and what is offered.
    for (typed, expected) in [
        ("sum by (|) (words_total)", "color shape"),
        ("sum by (color, |) (rate(words_total[5m]))", "color shape"),
        ("sum without (sh|) (words_total)", "shape"),
        ("sum(rate(words_total{color=\"blue\"}[5m])) by (|", "color shape"),
        ("others_total / on (|) words_total", "weight"),
        ("words_total{|", "color shape"),
        ("words_total{color=\"|", "blue"),
        ("sum by (color) (words_total{shape=\"ro|", "round"),
    ] {
        let script = "const [before, after] = arguments[0].split('|'); const field = document.querySelector('[data-promql]'); \
            field.focus(); field.value = before + after; field.setSelectionRange(before.length, before.length); \
            field.dispatchEvent(new Event('input', { bubbles: true })); return true";
        browser.run(script, &[json!(typed)]).await;
        let offered = format!(
            "return [...document.querySelectorAll('.offered:not([hidden]) li')].map((item) => item.dataset.insert.replace('=\"', '')).join(' ') === '{expected}'"
        );
        browser.until(&format!("{typed} offers {expected}"), &offered).await;
    }
    assert_eq!(browser.errors().await, Vec::<String>::new());
}
