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
pub(crate) const CONTROL: &str = "\u{e009}";

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    http: reqwest::Client,
    /// Of what Chromium keeps.
    folder: tempfile::TempDir,
}

impl Browser {
    /// `None`, after saying which test is left out, where Chromium is missing.
    pub(crate) async fn start(test: &str) -> Option<Browser> {
        let (chromium, driver) = (counterpart::find("chromium", test)?, counterpart::find("chromedriver", test)?);
        let mut driver =
            Command::new(driver).arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .expect("chromedriver says its port");
        // What it says later is read, so that it can go on saying it.
        std::thread::spawn(move || said.for_each(drop));
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
        let url = format!("http://127.0.0.1:{}/session/{}/{command}", self.port, self.session);
        let answer = self.http.post(url).json(body).send().await.unwrap();
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
        eventually(what, SOON, async || {
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
