//! The console, as people use it: in a real Chromium, over the real binary, with real data.

mod acting;
mod charts;
mod going_on;
mod reading;
mod streams;
mod wide;
mod world;

use crate::harness::browser::{Browser, CONTROL, DOWN, ENTER, ESCAPE, SOON};
use crate::harness::counterpart::{npm_file, say};
use crate::harness::web::free_port;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;
use world::{BACKWARDS, MARKUP, World, alert, event};

/// Bytes over the wire until the first page is complete.
const FIRST_VIEW: f64 = 150_000.0;

/// Milliseconds until the largest part of a page is painted.
const LARGEST_PAINT: f64 = 1_000.0;

/// What axe-core finds against WCAG 2.2, levels A and AA, and against what is good practice: rule and place.
const CHECK: &str = "const done = arguments[arguments.length - 1]; \
    requestAnimationFrame(() => setTimeout(() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations']}) \
    .then((found) => done(found.violations.flatMap((rule) => rule.nodes.slice(0, 3).map((node) => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary.slice(0, 300)}`))), \
    (error) => done([String(error)]))))";

/// All links of the navigation, and where it leads nowhere else, one object of each list.
const PAGES: &str = "return [...document.querySelectorAll('.side nav a')].map((link) => link.pathname)";
const FIRST_OBJECTS: &str = "const here = location.pathname.replace(/\\/$/, ''); const seen = {}; \
    for (const link of document.querySelectorAll('main a')) { \
        const path = link.pathname; if (!path.startsWith('/console/') || path === here) continue; \
        seen[path.split('/').slice(0, 3).join('/') + path.split('/').length] ??= path + link.search; } \
    return Object.values(seen)";
/// The focus is where an action is confirmed.
const CONFIRMS: &str = "return document.activeElement.matches('.panel button')";
/// By how much a page is wider than its window, and what sticks out.
const SIDEWAYS: &str = "const root = document.documentElement, width = root.clientWidth;
    if (root.scrollWidth === width) return '';
    const out = [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 0.5);
    return root.scrollWidth - width + ': ' + out.slice(0, 4).map(one => one.outerHTML.slice(0, 120)).join(' | ')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_read_by_everybody_at_both_widths_in_both_colours_and_nothing_goes_wrong_in_it() {
    let test = "every_page_can_be_read_by_everybody";
    let Some(axe) = npm_file("axe-core/axe.min.js", test) else { return };
    let axe = std::fs::read_to_string(axe).unwrap();
    let Some(world) = World::with_everything(test).await else { return };
    let Some(browser) = world.browser(test).await else { return };
    // Those that are looked at whatever else is of their kind, with what must be there to be seen.
    let full = world.full_pages().await;
    let mut left: Vec<String> = texts(&browser.run(PAGES, &[]).await);
    assert!(left.len() > 20, "{left:?}");
    left.extend(full.iter().map(|(path, _)| path.clone()));
    let (mut seen, mut wrong): (BTreeSet<String>, Vec<String>) = (BTreeSet::new(), Vec::new());
    while let Some(path) = left.pop() {
        let expected = full.iter().find(|(full, _)| *full == path).map(|(_, expected)| *expected);
        if !seen.insert(if expected.is_some() { path.clone() } else { kind_of(&path) }) {
            continue;
        }
        browser.size(1280, 800).await;
        browser.scheme("light").await;
        browser.go(&format!("{}{path}", world.daemon.url)).await;
        if let Some(expected) = expected {
            browser.shows(expected).await;
        }
        left.extend(texts(&browser.run(FIRST_OBJECTS, &[]).await).into_iter().filter(|path| is_a_page(path)));
        browser.run(&axe, &[]).await;
        for (width, scheme, checked) in [
            (1280, "light", true),
            (1280, "dark", false),
            (360, "dark", true),
            (360, "light", false),
            (320, "light", false),
        ] {
            browser.size(width, 800).await;
            browser.scheme(scheme).await;
            let over = browser.run(SIDEWAYS, &[]).await;
            if over != "" {
                wrong.push(format!("{path} at {width}: scrolls sideways by {over}"));
            }
            if checked {
                let found = texts(&browser.run_to_the_end(CHECK).await);
                wrong.extend(found.into_iter().map(|found| format!("{path} at {width} in {scheme}: {found}")));
            }
        }
        wrong.extend(browser.errors().await.into_iter().map(|error| format!("{path}: {error}")));
    }
    say(&format!("MEASURED: {} pages of the console were looked at", seen.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 40, "{seen:?}");
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Pages of one kind differ in their objects: one of each is enough.
fn kind_of(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [console, noun, _, _, rest @ ..] => format!("{console}/{noun}/*/*{}", rest.join("/")),
        [console, noun, word @ ("new" | "groups" | "versions" | "objects" | "export" | "problems")] => {
            format!("{console}/{noun}/{word}")
        }
        [console, noun, _] => format!("{console}/{noun}/*"),
        _ => path.to_owned(),
    }
}

/// And nothing that is downloaded, or that signs in.
fn is_a_page(path: &str) -> bool {
    !path.starts_with("/console/configuration/export/") && !path.starts_with("/console/sign-in")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_keys_alone_somebody_signs_in_finds_acknowledges_silences_starts_and_switches_off_and_on() {
    let test = "by_keys_alone_somebody_signs_in_and_acts";
    let world = World::with_data().await;
    let Some(browser) = Browser::start(test).await else { return };
    browser.size(1280, 800).await;
    let log = world.daemon.log();
    let link = log.lines().find_map(|line| line.trim_start().strip_prefix("console ")).expect("the daemon says it");
    browser.go(link.trim()).await;
    browser.skip_to_the_content().await;
    browser.tab_to("Sign in").await;
    browser.press(&[ENTER]).await;
    browser.shows("Sign out").await;

    // By the palette to the incidents, and to the one that matters.
    browser.press(&[CONTROL, "k"]).await;
    browser.write("incidents").await;
    browser.until("the palette finds it", "return !!document.querySelector('[data-results] a.chosen')").await;
    browser.press(&[DOWN]).await;
    browser.press(&[ESCAPE]).await;
    browser.until("the palette closes", "return !document.querySelector('[data-palette]').open").await;
    browser.go(&world.at("/incidents")).await;
    browser.skip_to_the_content().await;
    let incidents = world.daemon.items("/api/v1/incidents").await;
    let full = incidents.iter().find(|incident| incident["members"].to_string().contains("DiskFull")).unwrap();
    browser.tab_to(full["title"].as_str().unwrap()).await;
    browser.press(&[ENTER]).await;
    browser.shows("Time line").await;
    browser.skip_to_the_content().await;
    browser.tab_to("Acknowledge").await;
    browser.press(&[ENTER]).await;
    browser.shows("The incident is acknowledged").await;

    browser.go(&world.at("/runbooks/restart-shop")).await;
    browser.skip_to_the_content().await;
    browser.tab_to("Start").await;
    browser.press(&[ENTER]).await;
    eventually("the run's end", SOON, async || {
        let runs = world.daemon.items("/api/v1/runs").await;
        let done = |run: &Value| run["principal"] == "console" && run["state"] == "succeeded";
        runs.iter().any(done).then_some(())
    })
    .await;
    browser.shows("succeeded").await;

    browser.go(&world.at("/silences/new?matchers=alertname%3DDiskFull&comment=known&for=2h")).await;
    browser.shows("DiskFull").await;
    browser.skip_to_the_content().await;
    browser.tab_to("Silence").await;
    browser.press(&[ENTER]).await;
    browser.until("it is to be confirmed", CONFIRMS).await;
    browser.press(&[ENTER]).await;
    browser.shows("The silence holds until").await;
    eventually("the silence", SOON, async || {
        let silences = world.daemon.items("/api/v1/silences").await;
        silences.iter().any(|silence| silence["created_by"] == "console").then_some(())
    })
    .await;

    browser.go(&world.at("/instances/webhook/ops")).await;
    browser.skip_to_the_content().await;
    browser.tab_to("Disable").await;
    browser.press(&[ENTER]).await;
    // What it does is named, and the focus is where it is confirmed.
    browser.until("it is to be confirmed", CONFIRMS).await;
    browser.shows("It is not called any more").await;
    browser.press(&[ENTER]).await;
    let enabled = async |wanted: bool| {
        eventually("the instance is switched", SOON, async || {
            let instance = world.daemon.get("/api/v1/instances/webhook/ops").await;
            (instance["spec"]["enabled"] == wanted).then_some(())
        })
        .await;
    };
    enabled(false).await;
    browser.shows("Enable").await;
    browser.skip_to_the_content().await;
    browser.tab_to("Enable").await;
    browser.press(&[ENTER]).await;
    enabled(true).await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_appears_by_itself_and_a_host_that_was_away_leaves_no_gap() {
    let test = "what_happens_appears_by_itself";
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let setup = Setup::new();
    let mut command = setup.command(&["run", "--listen", &listen]);
    let daemon = Daemon::launch(setup, &mut command).await;
    let Some(browser) = Browser::start(test).await else { return };
    browser.size(1280, 800).await;
    browser.go(&format!("{}/console/alerts", daemon.url)).await;
    browser.run("window.kept = true", &[]).await;
    alert(&daemon, "AppearsByItself", &json!({"severity": "warning"})).await;
    browser.shows("AppearsByItself").await;
    assert_eq!(browser.run("return window.kept", &[]).await, true, "without being loaded anew");
    assert_eq!(browser.errors().await, Vec::<String>::new());

    browser.go(&format!("{}/console/events", daemon.url)).await;
    browser.run("window.kept = true", &[]).await;
    event(&daemon, "before-it-was-away").await;
    browser.shows("before-it-was-away").await;
    let setup = daemon.kill();
    browser.shows("The server can't be reached").await;
    let mut command = setup.command(&["run", "--listen", &listen]);
    let daemon = Daemon::launch(setup, &mut command).await;
    event(&daemon, "right-after-it-came-back").await;
    browser.shows("right-after-it-came-back").await;
    browser.until("the banner goes", "return document.querySelector('[data-away]').hidden").await;
    event(&daemon, "later-on").await;
    browser.shows("later-on").await;
    let text = browser.text().await;
    for subject in ["before-it-was-away", "right-after-it-came-back"] {
        assert!(text.contains(subject), "{subject}: {text}");
    }
    assert_eq!(browser.run("return window.kept", &[]).await, true, "without being loaded anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_text_wherever_they_stand() {
    let test = "hostile_names_are_text_wherever_they_stand";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(360, 800).await;
    for path in ["", "/alerts", "/alerts/groups", "/incidents", "/events", "/metrics?q=shop_up", "/search?q=img"] {
        browser.go(&world.at(path)).await;
        browser.shows(MARKUP).await;
        let images = browser.run("return document.querySelectorAll('img, script:not([src])').length", &[]).await;
        assert_eq!(images, 0, "{path}");
        assert_ne!(browser.run("return document.title", &[]).await, "taken", "{path}");
        assert_eq!(browser.run(SIDEWAYS, &[]).await, "", "{path}");
    }
    browser.go(&world.at("/alerts")).await;
    let kept_apart =
        "return [...document.querySelectorAll('bdi')].some((bdi) => bdi.textContent.includes(arguments[0]))";
    assert_eq!(browser.run(kept_apart, &[json!(BACKWARDS)]).await, true, "its direction stays its own");
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test]
async fn without_script_every_page_can_be_read_and_times_are_absolute() {
    let world = World::with_data().await;
    let read = async |path: &str| {
        let answer = world.daemon.http().get(world.at(path)).header("accept", "text/html").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        answer.text().await.unwrap()
    };
    let first = read("").await;
    let paths: BTreeSet<&str> =
        first.split("href=\"/console/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths.into_iter().filter(|path| !path.contains(['?', '&']) && !path.starts_with("assets")) {
        let page = read(&format!("/{path}")).await;
        assert!(page.contains("<h1"), "{path}");
        for times in page.split("<time").skip(1) {
            let shown = times.split_once('>').and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default();
            assert!(shown.ends_with("UTC"), "{path}: `{shown}` is no absolute time");
        }
        assert!(!page.contains(" style=") && !page.contains(" onclick="), "{path}");
    }
    assert!(read("/incidents").await.contains("DiskFull"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_thousand_instances_and_ten_thousand_events_the_first_view_is_small_and_soon_there() {
    let test = "with_a_thousand_instances_the_first_view_is_small";
    let mut config = "[events]\nproducer-rate = 0\n".to_owned();
    for n in 0..1_000 {
        config.push_str(&format!("[instances.\"threshold/n{n}\"]\nplugin = \"threshold\"\n"));
    }
    let daemon = Setup::new().config(&config).start().await;
    let send = async |from: u32| {
        for n in from..from + 1_000 {
            let event = json!({"type": "custom.test", "subject": format!("event {n}")});
            let sent =
                daemon.http().post(format!("{}/api/v1/events", daemon.url)).bearer_auth(&daemon.token).json(&event);
            assert!(sent.send().await.unwrap().status().is_success());
        }
    };
    futures::future::join_all((0..10).map(|part| send(part * 1_000))).await;
    let Some(browser) = Browser::start(test).await else { return };
    browser.size(1280, 800).await;
    let measure = "const done = arguments[arguments.length - 1]; let paint = 0; \
        new PerformanceObserver((list) => { paint = Math.max(paint, list.getEntries().at(-1).startTime); }) \
            .observe({type: 'largest-contentful-paint', buffered: true}); \
        setTimeout(() => { \
            const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]; \
            done([all.reduce((sum, entry) => sum + entry.transferSize, 0), paint, all.length]); }, 1500)";
    for path in ["", "/instances", "/events"] {
        let (mut bytes, mut paint, mut measured) = (0.0_f64, f64::INFINITY, Value::Null);
        // Other tests take their part of the machine: the best of three is what the page itself takes.
        for _ in 0..3 {
            // Nothing is kept from the page before.
            browser.own("Network.clearBrowserCache", &json!({})).await;
            browser.go(&format!("{}/console{path}", daemon.url)).await;
            measured = browser.run_to_the_end(measure).await;
            let painted = measured[1].as_f64().unwrap();
            assert!(painted > 0.0, "/console{path}: {measured}");
            bytes = bytes.max(measured[0].as_f64().unwrap());
            paint = paint.min(painted);
        }
        let begin = Instant::now();
        let page =
            daemon.http().get(format!("{}/console{path}", daemon.url)).send().await.unwrap().text().await.unwrap();
        say(&format!(
            "MEASURED: /console{path} with 1,000 instances and 10,000 events: {bytes:.0} bytes over the wire (bound: 150 KB), largest paint \
             after {paint:.0} ms (bound: 1 s), answered whole in {:.1?}",
            begin.elapsed()
        ));
        assert!(bytes > 1_000.0 && bytes < FIRST_VIEW, "/console{path}: {measured}");
        assert!(paint < LARGEST_PAINT && page.contains("</html>"), "/console{path}: {paint} ms, {measured}");
    }
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_on_a_page_is_done_by_it() {
    let test = "what_is_offered_on_a_page_is_done_by_it";
    let world = World::with_data().await;
    let Some(browser) = world.browser(test).await else { return };
    browser.size(1280, 800).await;
    let incidents = world.daemon.items("/api/v1/incidents").await;
    let open = incidents.iter().find(|incident| incident["state"] == "open").unwrap();
    let incident = format!("/incidents/{}", open["id"].as_str().unwrap());
    // Page, what the button says, and what the page says after it.
    for (path, button, said) in [
        (incident.as_str(), "Run a runbook", "is under way"),
        (&incident, "Resolve", "The incident is resolved"),
        ("/configuration", "Read the files again", ""),
        ("/plugin-files", "Look at the folder again", ""),
        ("/scans", "Scan now", ""),
        ("/jobs/scan%2Fdefault", "Run now", ""),
    ] {
        browser.go(&world.at(path)).await;
        // It opens what names the effect, where there is such; then it is confirmed.
        let press = "const found = [...document.querySelectorAll('main button, main summary')].find((it) => it.textContent.trim().startsWith(arguments[0])); \
            if (!found) return false; \
            if (found.matches('summary')) { found.click(); found.parentElement.querySelector('form button').click(); } else found.click(); \
            return true";
        assert_eq!(
            browser.run(press, &[json!(button)]).await,
            true,
            "{path} offers `{button}`:\n{}",
            browser.text().await
        );
        browser.until("the page says what was done", "return !!document.querySelector('.said')").await;
        let text = browser.run("return document.querySelector('.said').textContent", &[]).await;
        assert!(text.as_str().unwrap().contains(said), "{path}: {text}");
        assert_eq!(browser.errors().await, Vec::<String>::new(), "{path}");
    }
}
