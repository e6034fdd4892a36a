//! Chromium, which is driven through its DevTools by `hullo connect`: a line is a message there.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Home, Program, peer};

/// How long a browser may take to start: it has to be read from the disk first, while everything else runs.
const START: Duration = Duration::from_secs(120);

/// A page in a browser without a window.
pub(crate) struct Browser {
    _chromium: Program,
    wire: Program,
    session: String,
    asked: u32,
}

impl Browser {
    /// Opens the page. Each browser has a memory of its own.
    pub(crate) fn open(home: &Home, url: &str) -> Option<Self> {
        let mut command = home.command(peer("chromium")?);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = format!("--user-data-dir={}", home.path(&format!("browser-{}", NEXT.fetch_add(1, Relaxed))));
        let words =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", &folder, "about:blank"];
        let chromium = Program::start(command.args(words));
        let said = |told: &str| {
            let (devtools, _) = told.split_once("DevTools listening on ")?.1.split_once('\n')?;
            Some(devtools.trim().to_owned())
        };
        let devtools = chromium.tells_within(START, said).unwrap_or_else(|| panic!("{}", chromium.so_far()));
        // Its messages may be long, as pictures are.
        let wire = Program::start(&mut home.hullo(&["connect", "--lines", &format!("{devtools}?max=64M")]));
        let mut browser = Self { _chromium: chromium, wire, session: String::new(), asked: 0 };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        browser.call("Runtime.enable", json!({}));
        browser.call("Log.enable", json!({}));
        // Several windows cannot all have the focus of a person.
        browser.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        browser.go(url);
        Some(browser)
    }

    /// Calls one of its methods.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answered(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    #[track_caller]
    fn answered(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.wire.say(format!("{message}\n"));
        let mark = format!("{{\"id\":{},", self.asked);
        let answer = |said: &str| {
            said.lines().find(|line| line.starts_with(&mark)).and_then(|line| serde_json::from_str::<Value>(line).ok())
        };
        let said = self.wire.heard_by(|said| answer(said).is_some());
        answer(&said).unwrap()
    }

    #[track_caller]
    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// What an expression comes to; a promise is waited for.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits in the page until that holds there.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let wait = format!(
            "new Promise((done, failed) => {{ const from = Date.now(); const look = () => {{ \
             if ({expression}) done(true); else if (Date.now() - from > 27000) failed(document.body.innerText); \
             else requestAnimationFrame(look); }}; look(); }})"
        );
        // What waits in a page that is left goes with it.
        let gone = |answer: &Value| {
            answer["error"]["message"].as_str().is_some_and(|why| why.contains("navigated") || why.contains("context"))
        };
        let params = json!({ "expression": wait, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.answered("Runtime.evaluate", params.clone());
        for _ in 0..3 {
            if gone(&answer) {
                answer = self.answered("Runtime.evaluate", params.clone());
            }
        }
        assert_eq!(answer["result"]["result"]["value"], true, "{expression}: {answer}");
    }

    /// Types that where the focus is.
    #[track_caller]
    pub(crate) fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key that is named so in `KeyboardEvent.key`.
    #[track_caller]
    pub(crate) fn presses(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            _ => panic!("this test knows no key {key}"),
        };
        for kind in ["rawKeyDown", "char", "keyUp"] {
            // Only this one of them is a character, too.
            if kind != "char" || key == "Enter" {
                let text = if kind == "char" { "\r" } else { "" };
                let event =
                    json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
                self.call("Input.dispatchKeyEvent", event);
            }
        }
    }

    /// Makes the window that large, and the colours that scheme's: `light` or `dark`.
    #[track_caller]
    pub(crate) fn looks(&mut self, (width, height): (u32, u32), scheme: &str) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        self.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": width < 600 }));
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// What the page complained of: scripts that failed, and what its policy forbids.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let said = self.wire.so_far();
        let bad = ["Runtime.exceptionThrown", "\"source\":\"security\""];
        said.lines().filter(|line| bad.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
    }
}
