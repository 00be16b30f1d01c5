//! A real Chromium, driven over WebDriver: what a person sees and presses. The protocol is JSON over HTTP, and of it a dozen calls are
//! needed, some of which are Chromium's own (sizes, colours, its console), so there is no library between.

use super::counterpart;
use super::eventually;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything on a page may take to appear.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Keys as WebDriver writes those that print nothing.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const DOWN: &str = "\u{e015}";
pub(crate) const RIGHT: &str = "\u{e014}";
pub(crate) const CONTROL: &str = "\u{e009}";

/// A button or a link of the content by what it says; what opens something ends in dots. What is hidden is not offered.
const OFFERED: &str = "return [...document.querySelectorAll('main button, main summary.button, main a')] \
    .find((it) => it.checkVisibility() && it.textContent.trim().replace(/…$/, '') === arguments[0]) ?? null";

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    http: reqwest::Client,
    /// Of what Chromium keeps.
    folder: tempfile::TempDir,
}

/// A chromedriver and its port. It takes a free one for IPv4 and wants the same for IPv6: where that is taken it ends, and another one is
/// started.
fn started(program: &Path) -> (Child, u16) {
    for _ in 0..5 {
        let mut driver =
            Command::new(program).arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        if let Some(port) = port {
            // What it says later is read, so that it can go on saying it.
            std::thread::spawn(move || said.for_each(drop));
            return (driver, port);
        }
        driver.wait().unwrap();
    }
    panic!("chromedriver says no port");
}

impl Browser {
    /// `None`, after saying which test is left out, where Chromium is missing.
    pub(crate) async fn start(test: &str) -> Option<Browser> {
        let (chromium, driver) = (counterpart::find("chromium", test)?, counterpart::find("chromedriver", test)?);
        let (driver, port) = started(&driver);
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut browser = Browser { driver, port, session: String::new(), http, folder };
        browser.open(&chromium).await;
        Some(browser)
    }

    async fn open(&mut self, chromium: &Path) {
        let profile = format!("--user-data-dir={}", self.folder.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let url = format!("http://127.0.0.1:{}/session", self.port);
        let answer: Value = self.http.post(url).json(&wanted).send().await.unwrap().json().await.unwrap();
        let session = answer["value"]["sessionId"].as_str();
        self.session = session.unwrap_or_else(|| panic!("no session: {answer:#}")).to_owned();
    }

    async fn ask(&self, command: &str, body: &Value) -> Result<Value, Value> {
        self.answer(self.http.post(self.at(command)).json(body)).await
    }

    fn at(&self, command: &str) -> String {
        format!("http://127.0.0.1:{}/session/{}/{command}", self.port, self.session)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, Value> {
        let answer = request.send().await.unwrap();
        let (ok, mut answer) = (answer.status().is_success(), answer.json::<Value>().await.unwrap());
        if ok { Ok(answer["value"].take()) } else { Err(answer["value"].take()) }
    }

    async fn must(&self, command: &str, body: &Value) -> Value {
        self.ask(command, body).await.unwrap_or_else(|error| panic!("{command}: {}", error["message"]))
    }

    /// A command of Chromium's own protocol.
    pub(crate) async fn own(&self, command: &str, parameters: &Value) -> Value {
        self.must("goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// The window that is driven.
    pub(crate) async fn window(&self) -> String {
        self.answer(self.http.get(self.at("window"))).await.unwrap().as_str().unwrap().to_owned()
    }

    /// Opens another window beside it; both are seen. It is not driven yet.
    pub(crate) async fn open_window(&self) -> String {
        self.must("window/new", &json!({"type": "window"})).await["handle"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn drive(&self, window: &str) {
        self.must("window", &json!({ "handle": window })).await;
        self.own("Emulation.setFocusEmulationEnabled", &json!({"enabled": true})).await;
    }

    /// Closes the window that is driven: another one has to be driven then.
    pub(crate) async fn close_window(&self) {
        self.answer(self.http.delete(self.at("window"))).await.unwrap();
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) async fn go(&self, url: &str) {
        self.must("url", &json!({ "url": url })).await;
    }

    /// What the function with this body returns.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.must("execute/sync", &json!({"script": script, "args": arguments})).await
    }

    /// The same; it hands its result to `arguments[arguments.length - 1]`.
    pub(crate) async fn run_to_the_end(&self, script: &str) -> Value {
        self.must("execute/async", &json!({"script": script, "args": []})).await
    }

    /// What people see, without what is hidden.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText", &[]).await.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows it.
    pub(crate) async fn shows(&self, text: &str) {
        let text = text.to_lowercase();
        // A page that is just being left has no text.
        let seen = async || {
            let shown =
                self.ask("execute/sync", &json!({"script": "return document.body.innerText", "args": []})).await;
            shown.ok()?.as_str()?.to_lowercase().contains(&text).then_some(())
        };
        let end = std::time::Instant::now() + SOON;
        while seen().await.is_none() {
            let at = self.run("return location.href", &[]).await;
            assert!(std::time::Instant::now() < end, "{at} does not show `{text}`:\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the script gives true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        self.until_within(SOON, what, script).await;
    }

    pub(crate) async fn until_within(&self, within: Duration, what: &str, script: &str) {
        eventually(what, within, async || {
            let value = self.ask("execute/sync", &json!({"script": script, "args": []})).await;
            (value.ok()? == true).then_some(())
        })
        .await;
    }

    /// Width and height of what a person sees.
    pub(crate) async fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.own("Emulation.setDeviceMetricsOverride", &size).await;
    }

    /// `light` or `dark`, as the system has it.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.own("Emulation.setEmulatedMedia", &features).await;
    }

    /// Presses keys one after the other; all are let go at the end, the last one first.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let down = keys.iter().map(|key| json!({"type": "keyDown", "value": key}));
        let up = keys.iter().rev().map(|key| json!({"type": "keyUp", "value": key}));
        let actions: Vec<Value> = down.chain(up).collect();
        self.must("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).await;
    }

    pub(crate) async fn write(&self, text: &str) {
        for letter in text.chars() {
            self.press(&[&letter.to_string()]).await;
        }
    }

    /// What the script gives, an element, or null.
    async fn element(&self, script: &str, arguments: &[Value]) -> Option<String> {
        let found = self.ask("execute/sync", &json!({"script": script, "args": arguments})).await.ok()?;
        Some(found.as_object()?.values().next()?.as_str()?.to_owned())
    }

    /// Presses with the pointer what the script gives. What is not seen, or lies under something else, can't be pressed: that is an error
    /// after a while, in which pages may renew themselves.
    pub(crate) async fn click(&self, script: &str, arguments: &[Value]) {
        let end = std::time::Instant::now() + SOON;
        loop {
            let pressed = match self.element(script, arguments).await {
                Some(id) => {
                    self.ask(&format!("element/{id}/click"), &json!({})).await.map_err(|e| e["message"].to_string())
                }
                None => Err("there is none".to_owned()),
            };
            let Err(why) = pressed else { return };
            assert!(std::time::Instant::now() < end, "{script} {arguments:?}: {why}\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses the button or the link of the page's content that says this.
    pub(crate) async fn press_on(&self, words: &str) {
        self.click(OFFERED, &[json!(words)]).await;
    }

    /// Opens the action that says this, fills in its fields, and confirms it. What it would do has to be said there.
    pub(crate) async fn act(&self, words: &str, fields: &[(&str, &str)]) {
        self.press_on(words).await;
        let effect = "return document.querySelector('details.action[open] .panel form > p')?.innerText ?? ''";
        let said = self.run(effect, &[]).await;
        assert!(said.as_str().is_some_and(|said| said.len() > 20), "{words}: what it does is not said: {said}");
        for (name, value) in fields {
            self.fill(&format!("details.action[open] [name={name}]"), value).await;
        }
        self.click("return document.querySelector('details.action[open] .panel button[type=submit]')", &[]).await;
    }

    /// Writes into a field over what is there, or chooses that of a choice.
    pub(crate) async fn fill(&self, selector: &str, value: &str) {
        let field = "return document.querySelector(arguments[0])";
        let is_choice = "return document.querySelector(arguments[0])?.matches('select') ?? false";
        if self.run(is_choice, &[json!(selector)]).await == true {
            let option = format!("{selector} option[value={}]", json!(value));
            self.click(field, &[json!(option)]).await;
        } else {
            self.click(field, &[json!(selector)]).await;
            let id = self.element(field, &[json!(selector)]).await.unwrap_or_else(|| panic!("there is no {selector}"));
            self.must(&format!("element/{id}/clear"), &json!({})).await;
            self.must(&format!("element/{id}/value"), &json!({"text": value})).await;
        }
    }

    /// Chooses a file of this machine.
    pub(crate) async fn choose_file(&self, selector: &str, path: &Path) {
        let field = "return document.querySelector(arguments[0])";
        let id = self.element(field, &[json!(selector)]).await.unwrap_or_else(|| panic!("there is no {selector}"));
        self.must(&format!("element/{id}/value"), &json!({"text": path})).await;
    }

    /// Drops a file of this machine in the middle of what is selected, as somebody drags it out of a folder.
    pub(crate) async fn drop_file(&self, selector: &str, path: &Path) {
        let (x, y, ..) = self.place(selector).await;
        let data = json!({"items": [], "files": [path], "dragOperationsMask": 1});
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({"type": kind, "x": x, "y": y, "data": data});
            self.own("Input.dispatchDragEvent", &event).await;
        }
    }

    /// Where the middle of it is, after it was scrolled to, and its width and height.
    pub(crate) async fn place(&self, selector: &str) -> (f64, f64, f64, f64) {
        let script = "const it = document.querySelector(arguments[0]); it.scrollIntoView({block: 'center'}); \
            const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2, box.width, box.height]";
        let place = self.run(script, &[json!(selector)]).await;
        let part = |index: usize| place[index].as_f64().unwrap();
        (part(0), part(1), part(2), part(3))
    }

    /// Moves the pointer from one place to the next; `drags`: with its button down from the first to the last.
    pub(crate) async fn point(&self, places: &[(f64, f64)], drags: bool) {
        let mut actions = Vec::new();
        for (index, (x, y)) in places.iter().enumerate() {
            actions.push(json!({"type": "pointerMove", "duration": 30, "x": x.round(), "y": y.round()}));
            if drags && index == 0 {
                actions.push(json!({"type": "pointerDown", "button": 0}));
            }
        }
        if drags {
            actions.push(json!({"type": "pointerUp", "button": 0}));
        }
        let pointer =
            json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.must("actions", &json!({"actions": [pointer]})).await;
    }

    /// Touches a place with a finger, for a moment.
    pub(crate) async fn tap(&self, x: f64, y: f64) {
        let actions = json!([
            {"type": "pointerMove", "duration": 0, "x": x.round(), "y": y.round()},
            {"type": "pointerDown", "button": 0},
            {"type": "pause", "duration": 30},
            {"type": "pointerUp", "button": 0},
        ]);
        let finger =
            json!({"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"}, "actions": actions});
        self.must("actions", &json!({"actions": [finger]})).await;
    }

    /// The zone of the machine that it believes to be on.
    pub(crate) async fn zone(&self, zone: &str) {
        self.own("Emulation.setTimezoneOverride", &json!({"timezoneId": zone})).await;
    }

    /// Goes from one to the next with the tabulator until what has the focus says this.
    pub(crate) async fn tab_to(&self, words: &str) {
        let mut passed = Vec::new();
        for _ in 0..120 {
            self.press(&[TAB]).await;
            let script = "const at = document.activeElement; \
                return (at.getAttribute('aria-label') || at.labels?.[0]?.textContent || at.textContent || at.name || '').trim()";
            let at = self.run(script, &[]).await.as_str().unwrap_or_default().to_owned();
            // What opens something ends in dots.
            if at.trim_end_matches('…') == words {
                return;
            }
            passed.push(at);
        }
        panic!("`{words}` can't be reached by the keyboard; what can: {passed:?}");
    }

    /// From the top of the page past the navigation, as somebody does who has only keys.
    pub(crate) async fn skip_to_the_content(&self) {
        self.tab_to("Skip to the content").await;
        self.press(&[ENTER]).await;
    }

    /// What went wrong in the page since this was asked last.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let said = self.must("se/log", &json!({"type": "browser"})).await;
        let wrong = said.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        wrong.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its Chromium when it is asked to, and not when it is killed.
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = driver.set_read_timeout(Some(Duration::from_secs(10)));
            let end =
                format!("DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
            let _ = driver.write_all(end.as_bytes());
            let _ = driver.read(&mut [0; 256]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
